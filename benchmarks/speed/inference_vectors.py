"""Peers of packed networks of linear layers, for elq_ref.timing: BLAS, and onnxruntime's product with 2-bit weights."""

import numpy as np

from elq_ref.runtime import PackedNetwork
from elq_ref.timing.runners import Call, Ready, Runner

BLOCK = 128  # weights of a row with a scale of their own
ZERO = 2  # what MatMulNBits takes from two bits


def sgemv(network: PackedNetwork, threads: int) -> Ready:
    """NumPy's float32 product of each linear layer's weights and a vector."""
    weights = [w.values() for w in network.layers.values()]
    vectors = [np.ones(w.shape[1], np.float32) for w in weights]

    def call() -> np.ndarray:
        for w, v in zip(weights, vectors, strict=True):
            w @ v
        return np.zeros((1, 0))

    return Ready(lambda pictures: call, {"version": np.__version__})


def two_bit(network: PackedNetwork, threads: int) -> Ready:
    """onnxruntime's MatMulNBits: the codes in two bits, float32 activations that it quantizes to 8 bits itself."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    model = two_bit_model(network).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def prepare(pictures: np.ndarray) -> Call:
        x = network.metadata.normalization.apply(pictures)
        return lambda: session.run(None, {network.graph.input: x})[0]

    return Ready(prepare, {"version": onnxruntime.__version__})


def two_bit_model(network: PackedNetwork):
    """The ONNX model of a network of flatten, linear and ReLU: a row's scale is that of each of its blocks."""
    from onnx import TensorProto, helper, numpy_helper

    graph, nodes, tensors = network.graph, [], []
    for node in graph.nodes:
        if node.op == "flatten":
            nodes.append(helper.make_node("Flatten", node.inputs, [node.name]))
        elif node.op == "relu":
            nodes.append(helper.make_node("Relu", node.inputs, [node.name]))
        else:
            outputs, inputs = node.weight.shape
            scale = np.repeat(node.weight.alpha * node.scale, inputs // BLOCK)
            arrays = {"codes": two_bits(node.weight.codes()), "scale": scale, "bias": node.bias}
            names = [f"{node.name}.{part}" for part in arrays]
            tensors += [numpy_helper.from_array(a, name) for a, name in zip(arrays.values(), names, strict=True)]
            sizes = {"K": inputs, "N": outputs, "bits": 2, "block_size": BLOCK, "accuracy_level": 4}  # 4: int8
            given = [*node.inputs, *names[:2]]
            product = f"{node.name}.product"
            nodes.append(helper.make_node("MatMulNBits", given, [product], domain="com.microsoft", **sizes))
            nodes.append(helper.make_node("Add", [product, names[2]], [node.name]))
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in ((graph.input, graph.input_shape), (graph.output, (outputs,)))
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_graph(nodes, "two bits", values[:1], values[1:], tensors)
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


def two_bits(codes: np.ndarray) -> np.ndarray:
    """codes int8 (O, I) of -1, 0, 1 as uint8 (O, I / BLOCK, BLOCK / 4): four a byte, the first in the lowest bits."""
    quads = (codes + ZERO).astype(np.uint8).reshape(len(codes), -1, BLOCK // 4, 4)
    return np.bitwise_or.reduce(quads << np.array([0, 2, 4, 6], np.uint8), -1)


_ONNX = ("onnxruntime", "onnx")
RUNNERS = {"BLAS sgemv": Runner(sgemv), "onnxruntime 2 bit": Runner(two_bit, _ONNX)}
