"""What a file computes of constants: arithmetic of shapes, weights in another form. Sizes are checked first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .model import OnnxNode

SMALL = 1 << 16  # elements that what makes more of less may make
BUDGET = 1 << 24  # elements that all constants together may have beside four times those of the file
_TYPES: dict[int, Any] = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
    10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64, 16: np.float32,
}  # fmt: skip
Arrays = list[Any]


class Folding:
    """Computes nodes of constants, within a budget of elements."""

    def __init__(self, opset: int) -> None:
        self.opset, self.left = opset, BUDGET
        self._seen: dict[int, np.ndarray] = {}

    def compute(self, node: OnnxNode, arrays: Arrays) -> Any:
        """The values of a node of constants, an array or a list of them; ValueError where it cannot be had."""
        for array in arrays:
            if array is not None and id(array) not in self._seen:
                self._seen[id(array)] = array
                self.left += 4 * array.size
        try:
            with np.errstate(all="ignore"):
                result = FOLDED[node.op](self, node, arrays)
        except (TypeError, IndexError, OverflowError, KeyError, AttributeError, MemoryError) as error:
            raise ValueError(f"is of constants that do not fit: {' '.join(str(error).split())[:120]}") from None
        results = [np.asarray(array) for array in (result if isinstance(result, list) else [result])]
        for array in results:
            self._seen[id(array)] = array
            self.left -= array.size
        if self.left < 0:
            raise ValueError("computes more constants than the file has")
        return results if isinstance(result, list) else results[0]

    def axes(self, node: OnnxNode, arrays: Arrays, position: int, attribute: str, since: int) -> Any:
        """Integers that are an attribute before opset `since`, then an input; None where they are left out."""
        if self.opset < since:
            return node.attributes.get(attribute)
        return _ints(arrays[position]) if position < len(arrays) and arrays[position] is not None else None


def _ints(array: np.ndarray) -> list[int]:
    if array.size > SMALL:
        raise ValueError(f"reads {array.size:,} integers")
    return [int(n) for n in array.reshape(-1)]


def _small(shape: tuple[int, ...] | list[int], least: int = 0) -> tuple[int, ...]:
    """A shape that may be made of something smaller."""
    if any(n < 0 for n in shape) or math.prod(shape) > max(SMALL, least) or len(shape) > 16:
        raise ValueError(f"makes a constant of shape {str(tuple(shape))[:80]}, wanted at most {SMALL:,} elements")
    return tuple(shape)


def _constant(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    a = node.attributes
    for key, dtype in (("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64),
                       ("value_ints", np.int64)):  # fmt: skip
        if key in a:
            return np.array(a[key], dtype)
    if not isinstance(a.get("value"), np.ndarray):
        raise ValueError("holds no array of numbers")
    return a["value"]


def _constant_of_shape(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return np.full(_small(_ints(arrays[0])), value.reshape(-1)[0], value.dtype)


def _reshape(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    x, shape = arrays[0], _ints(arrays[1])
    if not node.attributes.get("allowzero", 0):
        shape = [x.shape[k] if n == 0 else n for k, n in enumerate(shape)]
    return x.reshape(shape)


def _unsqueeze(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    axes = folding.axes(node, arrays, 1, "axes", 13)
    if arrays[0].ndim + len(axes) > 16:
        raise ValueError("makes a constant of more than 16 axes")
    return np.expand_dims(arrays[0], tuple(axes))


def _squeeze(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    axes = folding.axes(node, arrays, 1, "axes", 13)
    return np.squeeze(arrays[0], None if axes is None else tuple(axes))


def _slice(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    starts, ends = (folding.axes(node, arrays, k, key, 10) for k, key in ((1, "starts"), (2, "ends")))
    axes = folding.axes(node, arrays, 3, "axes", 10) or range(len(starts))
    steps = (folding.axes(node, arrays, 4, "", 10) if folding.opset >= 10 else None) or [1] * len(starts)
    parts = [slice(None)] * arrays[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = arrays[0].shape[axis]
        low = max(end + size, -1) if step < 0 and end < 0 else end  # before the first element: None
        parts[axis] = slice(start, None if step < 0 and low < 0 else end, step)
    return arrays[0][tuple(parts)]


def _gather(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    x, wanted, axis = arrays[0], arrays[1], node.attributes.get("axis", 0)
    _small((*x.shape[: axis % x.ndim], *wanted.shape, *x.shape[axis % x.ndim + 1 :]), x.size)
    return np.take(x, wanted, axis)


def _concat(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    if sum(x.size for x in arrays) > max(SMALL, 2 * max(x.size for x in arrays)):
        raise ValueError("joins constants of too many elements")
    return np.concatenate(arrays, node.attributes.get("axis", 0))


def _split(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    axis = node.attributes.get("axis", 0)
    sizes = folding.axes(node, arrays, 1, "split", 13)
    size = arrays[0].shape[axis]
    if sizes is None:
        each = -(-size // len(node.outputs))
        sizes = [each] * (len(node.outputs) - 1)
        sizes.append(size - sum(sizes))
    if sum(sizes) != size or len(sizes) > SMALL:
        raise ValueError(f"splits {size} into {str(sizes)[:60]}")
    return np.split(arrays[0], np.cumsum(sizes)[:-1], axis)


def _expand(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    return np.broadcast_to(arrays[0], np.broadcast_shapes(arrays[0].shape, _small(_ints(arrays[1]), arrays[0].size)))


def _range(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    first, last, step = (x.reshape(-1)[0] for x in arrays)
    _small((max(0, math.ceil((float(last) - float(first)) / float(step))) if step else -1,))
    values: np.ndarray = np.arange(float(first), float(last), float(step)).astype(arrays[0].dtype)
    return values


def _cast(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    to = node.attributes.get("to")
    if to not in _TYPES:
        raise ValueError(f"makes constants of data type {to}")
    return arrays[0].astype(_TYPES[to])


def _along(values: np.ndarray, node: OnnxNode, shape: tuple[int, ...]) -> np.ndarray:
    """Scales or zero points, one for all, for each place of an axis or each block of them, to go with an array."""
    axis, block = node.attributes.get("axis", 1), node.attributes.get("block_size", 0)
    if values.size == 1:
        return values.reshape(())
    axis = axis % len(shape) if -len(shape) <= axis < len(shape) else 0
    wanted = (
        tuple(-(-n // block) if k == axis else n for k, n in enumerate(shape)) if block > 0 else shape[axis : axis + 1]
    )
    if values.shape != wanted:
        raise ValueError(f"has scales of shape {values.shape} for an array of {shape}, wanted {wanted}")
    if block > 0:
        return np.asarray(np.take(values, np.arange(shape[axis]) // block, axis))
    return values.reshape(-1, *(1,) * (len(shape) - axis - 1))


def _quantization(node: OnnxNode, arrays: Arrays) -> tuple[np.ndarray, Any]:
    """(scale, zero point) to go with the array that is quantized or to be quantized."""
    zero = arrays[2] if len(arrays) > 2 and arrays[2] is not None else None
    scale = _along(arrays[1], node, arrays[0].shape)
    return scale, 0 if zero is None else _along(zero, node, arrays[0].shape).astype(np.int64)


def _dequantize(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    if arrays[0].dtype.kind not in "iu":
        raise ValueError(f"reads {arrays[0].dtype}, wanted integers")
    scale, zero = _quantization(node, arrays)
    return (arrays[0].astype(np.int64) - zero).astype(scale.dtype) * scale


def _quantize(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
    zero = arrays[2] if len(arrays) > 2 and arrays[2] is not None else np.zeros(1, np.uint8)
    scale, offset = _quantization(node, arrays)
    limits = np.iinfo(zero.dtype)
    return np.clip(np.rint(arrays[0] / scale) + offset, limits.min, limits.max).astype(zero.dtype)


def _elementwise(function: Callable[..., Any]) -> Callable[[Folding, OnnxNode, Arrays], Any]:
    def compute(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
        _small(np.broadcast_shapes(*(x.shape for x in arrays)), max(x.size for x in arrays))
        return np.asarray(function(*arrays))

    return compute


def _divide(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """ONNX's: integers are cut off towards zero."""
    if x.dtype.kind == "f":
        return np.asarray(x / y)
    if (y == 0).any():
        raise ValueError("divides by zero")
    return np.asarray((np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))).astype(x.dtype))


def _reduce(function: Callable[..., Any]) -> Callable[[Folding, OnnxNode, Arrays], Any]:
    def compute(folding: Folding, node: OnnxNode, arrays: Arrays) -> Any:
        since = 13 if node.op == "ReduceSum" else 18
        axes = folding.axes(node, arrays, 1, "axes", since)
        keep = bool(node.attributes.get("keepdims", 1))
        result = function(arrays[0], axis=None if not axes else tuple(axes), keepdims=keep)
        return np.asarray(result).astype(arrays[0].dtype)

    return compute


# op of ONNX: what it gives of constants
FOLDED: dict[str, Callable[[Folding, OnnxNode, Arrays], Any]] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Identity": lambda f, node, x: x[0],
    "Cast": _cast,
    "CastLike": lambda f, node, x: x[0].astype(x[1].dtype),
    "Shape": lambda f, node, x: np.array(x[0].shape[node.attributes.get("start", 0) :
                                                    node.attributes.get("end", x[0].ndim)], np.int64),
    "Size": lambda f, node, x: np.array(x[0].size, np.int64),
    "Reshape": _reshape,
    "Flatten": lambda f, node, x: x[0].reshape(math.prod(x[0].shape[: node.attributes.get("axis", 1)]), -1),
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Transpose": lambda f, node, x: np.transpose(x[0], node.attributes.get("perm")),
    "Slice": _slice,
    "Gather": _gather,
    "Concat": _concat,
    "Split": _split,
    "Expand": _expand,
    "Range": _range,
    "DequantizeLinear": _dequantize,
    "QuantizeLinear": _quantize,
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _elementwise(_divide),
    "Mod": _elementwise(lambda x, y: np.fmod(x, y) if x.dtype.kind == "f" else np.mod(x, y)),
    "Pow": _elementwise(lambda x, y: np.power(x, y, dtype=x.dtype, casting="unsafe") if x.dtype.kind == "f"
                        else np.power(x.astype(np.float64), y).astype(x.dtype)),
    "Max": _elementwise(lambda *x: np.maximum.reduce(np.broadcast_arrays(*x))),
    "Min": _elementwise(lambda *x: np.minimum.reduce(np.broadcast_arrays(*x))),
    "Equal": _elementwise(np.equal),
    "Greater": _elementwise(np.greater),
    "Less": _elementwise(np.less),
    "And": _elementwise(np.logical_and),
    "Or": _elementwise(np.logical_or),
    "Not": _elementwise(np.logical_not),
    "Where": _elementwise(np.where),
    "Neg": _elementwise(np.negative),
    "Abs": _elementwise(np.abs),
    "Sqrt": _elementwise(np.sqrt),
    "Exp": _elementwise(np.exp),
    "Reciprocal": _elementwise(np.reciprocal),
    "Floor": _elementwise(np.floor),
    "Ceil": _elementwise(np.ceil),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceMean": _reduce(np.mean),
}  # fmt: skip
