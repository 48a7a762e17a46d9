"""One convolution, 3x3, 64 to 64 channels on 56x56 (a layer of ResNet-18), beside onnxruntime.

    python -m benchmarks.speed inference_conv [--threads 1 2] [-o benchmarks/results/inference_conv.txt]

Timed are chains of such convolutions, each with a ReLU, and the mean at the end; the times are those of one of them, so
that what a call costs besides, and the change of layout at its ends, count little for anybody. Binary and ternary
weights; float activations beside onnxruntime and torch.compile in float32, int8 ones beside the int8 runtimes.
"""

import numpy as np

from elq_ref.graph.codes import pack_codes
from elq_ref.preprocessing import Normalization
from elq_ref.runtime import Graph, Metadata, Node, PackedNetwork, Weight

from .inference_common import FLOAT, INT8, QUANTIZE, Comparison, arguments, with_integers

CHANNELS, SIZE = 64, 56


def chain(levels: str, length: int) -> PackedNetwork:
    """`length` convolutions with ReLU, and the mean over the picture."""
    rng = np.random.default_rng(0)
    shape, geometry = (CHANNELS, CHANNELS, 3, 3), {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    nodes, source = [], "input"
    for k in range(length):
        codes, alpha = QUANTIZE[levels](rng.standard_normal(shape, np.float32))
        weight = Weight(levels, shape, pack_codes(codes, levels), alpha.reshape(-1))
        spread = np.sqrt(2 / (9 * CHANNELS * np.square(weight.values()).mean()))  # keeps the size of activations
        scale = np.full(CHANNELS, spread, np.float32)
        bias = rng.normal(0, 0.1, CHANNELS).astype(np.float32)
        nodes += [
            Node("conv", f"conv{k}", (source,), geometry, weight, scale, bias),
            Node("relu", f"relu{k}", (f"conv{k}",)),
        ]
        source = f"relu{k}"
    nodes.append(Node("global_avg_pool", "mean", (source,)))
    names = tuple(f"class {k}" for k in range(CHANNELS))
    metadata = Metadata(names, Normalization((0.5,) * CHANNELS, (0.25,) * CHANNELS))
    return PackedNetwork(Graph("input", (CHANNELS, SIZE, SIZE), tuple(nodes), "mean"), metadata)


def main() -> None:
    """Parse, run, print."""
    parser = arguments(__doc__)
    parser.add_argument("--length", type=int, default=8, help="convolutions of a chain")
    given = parser.parse_args()
    comparison = Comparison(f"Convolution 3x3, {CHANNELS} to {CHANNELS} channels on {SIZE}x{SIZE}", given)
    for levels in ("binary", "ternary"):
        network = chain(levels, given.length)
        comparison.compare(f"{levels} weights, float32 activations", network, FLOAT, (1,), given.length)
        comparison.compare(f"{levels} weights, int8 activations", with_integers(network), INT8, (1,), given.length)
    comparison.finish()
