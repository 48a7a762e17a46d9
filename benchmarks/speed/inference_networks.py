"""Whole networks with ternary and binary weights beside the fastest float32 and int8 runtimes.

    python -m benchmarks.speed inference_networks [--threads 1 2] [-o benchmarks/results/inference_networks.txt]

ResNet-20 (3x32x32) and ResNet-18 (3x224x224) with random weights on the levels: with float activations beside
onnxruntime and torch.compile in float32, with int8 activations beside onnxruntime's u8s8 QDQ and PyTorch's PT2E int8.
All compute the same function: their logits for one picture are compared. Every runtime is a process of its own with so
many threads, pinned to the same cores; they take turns. Run it on an idle machine.
"""

from .inference_common import FLOAT, INT8, Comparison, arguments, quantized_model, with_integers

MODELS = {"resnet20": ((3, 32, 32), 10), "resnet18": ((3, 224, 224), 1000)}


def main() -> None:
    """Parse, run, print."""
    parser = arguments(__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--levels", nargs="+", choices=("ternary", "binary"), default=["binary", "ternary"])
    parser.add_argument("--activations", nargs="+", choices=("float32", "int8"), default=["float32", "int8"])
    given = parser.parse_args()
    comparison = Comparison("Whole networks", given)
    for name in given.models:
        shape, classes = MODELS[name]
        for levels in given.levels:
            network = quantized_model(name, shape, classes, levels)
            if "float32" in given.activations:
                comparison.compare(f"{name}, {levels} weights, float32 activations", network, FLOAT, given.batch)
            if "int8" in given.activations:
                network = with_integers(network)
                comparison.compare(f"{name}, {levels} weights, int8 activations", network, INT8, given.batch)
    comparison.finish()
