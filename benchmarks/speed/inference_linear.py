"""A fully connected layer, 4096 x 4096 ternary or binary weights, one vector, beside the machine's limit and others.

    python -m benchmarks.speed inference_linear [--threads 1 2] [-o benchmarks/results/inference_linear.txt]
    ELQ_ISA=avx2 python -m benchmarks.speed inference_linear [-o benchmarks/results/inference_linear_avx2.txt]

int8 activations beside the time that as many multiply-adds take with every operand in a register (by vpdpbusd; with
ELQ_ISA=avx2 by vpmaddubsw and 16-bit sums, which only ternary and binary weights may use), onnxruntime's u8s8, and its
MatMulNBits of 2 bits in blocks of 128, which quantizes activations to 8 bits; float activations beside BLAS (sgemv) and
onnxruntime. Timed are one layer as a whole call, and chains of four with the time of one, for which what a call costs
besides counts less. ELQ_ISA chooses the instructions of elq_ref and of the limit: peers take all that the CPU has.
"""

import numpy as np

from elq_ref.graph.codes import pack_codes
from elq_ref.preprocessing import Normalization
from elq_ref.runtime import Graph, Metadata, Node, PackedNetwork, Weight

from .inference_common import QUANTIZE, Comparison, arguments, with_integers

SIZE, PICTURE = 4096, (16, 16, 16)
PEERS = "benchmarks.speed.inference_vectors"
INT8 = ("elq int8", "limit int8", "onnxruntime u8s8", f"{PEERS}:onnxruntime 2 bit")
FLOAT = ("elq float32", f"{PEERS}:BLAS sgemv", "onnxruntime fp32")


def chain(levels: str, length: int) -> PackedNetwork:
    """`length` layers with ReLU between them."""
    rng = np.random.default_rng(0)
    nodes, source = [Node("flatten", "flat", ("input",))], "flat"
    for k in range(length):
        if k:
            nodes.append(Node("relu", f"relu{k}", (source,)))
            source = f"relu{k}"
        codes, alpha = QUANTIZE[levels](rng.standard_normal((SIZE, SIZE), np.float32))
        weight = Weight(levels, (SIZE, SIZE), pack_codes(codes, levels), alpha.reshape(-1))
        spread = np.sqrt(2 / (SIZE * np.square(weight.values()).mean()))
        nodes.append(
            Node(
                "linear", f"fc{k}", (source,), {}, weight, np.full(SIZE, spread, np.float32), np.zeros(SIZE, np.float32)
            )
        )
        source = f"fc{k}"
    rule = Normalization((0.5,) * PICTURE[0], (0.25,) * PICTURE[0])
    metadata = Metadata(tuple(f"class {k}" for k in range(SIZE)), rule)
    return PackedNetwork(Graph("input", PICTURE, tuple(nodes), source), metadata)


def main() -> None:
    """Parse, run, print."""
    given = arguments(__doc__, seconds=2.0).parse_args()
    comparison = Comparison(f"Fully connected {SIZE} x {SIZE}, one vector", given)
    for levels in ("ternary", "binary"):
        for length in (1, 4):
            network, what = chain(levels, length), f"{levels} weights, {length} layer(s)"
            comparison.compare(f"{what}, int8 activations", with_integers(network), INT8, (1,), length)
            comparison.compare(f"{what}, float32 activations", network, FLOAT, (1,), length)
    comparison.finish()
