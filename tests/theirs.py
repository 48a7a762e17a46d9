"""Somebody else's ONNX file, made by the package onnx: a small mobile network whose BatchNorm an exporter folded."""

from pathlib import Path

import numpy as np


def mobile(path: Path, shape=(3, 24, 24), classes=7, *, seed=0, size_open=False, outputs=1) -> Path:
    """Conv 3x3 / 2, Clip, depthwise 3x3, Clip, Conv 1x1, mean, Gemm; every channel's weights of another size.

    size_open: height and width are symbolic in the file; outputs: a detector has several.
    """
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)

    def tensor(name, *dims):
        fan_in = int(np.prod(dims[1:])) if len(dims) > 1 else 1
        values = rng.standard_normal(dims) * (np.sqrt(2 / fan_in) if len(dims) > 1 else 0.1)
        if len(dims) == 4:
            values *= np.exp(rng.standard_normal(dims[0]))[:, None, None, None]
        return numpy_helper.from_array(values.astype(np.float32), name)

    arrays = [
        tensor("stem.weight", 8, shape[0], 3, 3),
        tensor("stem.bias", 8),
        tensor("deep.weight", 8, 1, 3, 3),
        tensor("deep.bias", 8),
        tensor("point.weight", 12, 8, 1, 1),
        tensor("point.bias", 12),
        tensor("head.weight", classes, 12),
        tensor("head.bias", classes),
        numpy_helper.from_array(np.float32(0), "low"),
        numpy_helper.from_array(np.float32(6), "high"),
    ]
    border = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "stem.weight", "stem.bias"], ["a"], "stem", strides=[2, 2], **border),
        helper.make_node("Clip", ["a", "low", "high"], ["b"], "stem_clip"),
        helper.make_node("Conv", ["b", "deep.weight", "deep.bias"], ["c"], "deep", group=8, **border),
        helper.make_node("Clip", ["c", "low", "high"], ["d"], "deep_clip"),
        helper.make_node("Conv", ["d", "point.weight", "point.bias"], ["e"], "point", kernel_shape=[1, 1]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"], "mean"),
        helper.make_node("Flatten", ["f"], ["g"], "flat"),
        helper.make_node("Gemm", ["g", "head.weight", "head.bias"], ["y"], "head", transB=1),
    ]
    sides = ["h", "w"] if size_open else list(shape[1:])
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", classes])]
    if outputs > 1:
        made += [helper.make_tensor_value_info("e", TensorProto.FLOAT, None)] * (outputs - 1)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", shape[0], *sides])
    graph = helper.make_graph(nodes, "theirs", [x], made, arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path
