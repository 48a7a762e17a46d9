r"""Whole networks with ternary and binary weights beside the fastest float32 and int8 runtimes.

    python -m benchmarks.speed inference_networks [--models resnet20 resnet18] [--threads 1 2] [-o FILE]
    python -m benchmarks.speed inference_networks --models alexnet vgg16 googlenet resnet18 resnet50 [--size 224] \
        --batch 1 --without-torch [-o benchmarks/results/inference_imagenet.txt]

Random weights on the levels, BatchNorm's statistics those of random pictures: with float activations beside
onnxruntime and torch.compile in float32, with int8 activations beside onnxruntime's u8s8 QDQ and PyTorch's PT2E int8.
All compute the same function: their logits for one picture are compared. Every runtime is a process of its own with so
many threads, pinned to the same cores; they take turns. Run it on an idle machine.
"""

from .inference_common import FLOAT, INT8, Comparison, arguments, quantized_model, with_integers
from .networks import add_networks, sized


def main() -> None:
    """Parse, run, print."""
    parser = arguments(__doc__)
    add_networks(parser, "--models", ["resnet20", "resnet18"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--levels", nargs="+", choices=("ternary", "binary"), default=["binary", "ternary"])
    parser.add_argument("--activations", nargs="+", choices=("float32", "int8"), default=["float32", "int8"])
    given = parser.parse_args()
    comparison = Comparison("Whole networks", given)
    for name in given.models:
        network = sized(name, given.size)
        pictures = "x".join(map(str, network.picture))
        for levels in given.levels:
            packed, what = quantized_model(name, network, levels), f"{name}, {pictures}, {levels} weights"
            if "float32" in given.activations:
                comparison.compare(f"{what}, float32 activations", packed, FLOAT, given.batch)
            if "int8" in given.activations:
                comparison.compare(f"{what}, int8 activations", with_integers(packed), INT8, given.batch)
    comparison.finish()
