"""The network as a value: what a file holds, an interpreter runs, a GraphNet trains and a tracer makes.

A Graph is a list of nodes in order of computation. Each computes one value, which bears the node's name,
from values before it. Activations are (C, H, W) or (C) for each picture; the batch axis is nowhere in the
graph.

Two forms of one language. In a trainable graph a node's arrays are Parameters, names of tensors of a state dict;
BatchNorm and dropout are nodes. In a packed graph they are the arrays themselves, and `graph.folded` has put BatchNorm
into scale and bias. docs/graph.md has the table of ops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from .codes import BITS, check_codes, from_rows, row_bytes, row_length, unpack_rows

LEVELS = (*BITS, "float")
ROLES = ("weight", "scale", "bias", "slope", "mean", "var")  # of a node's arrays
NO_BORDER = (0, 0, 0, 0)  # top, left, bottom, right
# What a node has that does not say it: older files, and most pools.
DEFAULTS: dict[str, dict[str, Any]] = {
    "max_pool": {"padding": NO_BORDER},
    "avg_pool": {"padding": NO_BORDER, "counted": NO_BORDER},
}
T = TypeVar("T")


@dataclass(frozen=True)
class Parameter:
    """The name and the shape of a tensor of a state dict, in the place of an array that a trainable graph has not."""

    name: str
    shape: tuple[int, ...]


def required(value: T | Parameter | None) -> T:
    """`value`, which the op of a checked node of a packed graph has."""
    assert value is not None
    assert not isinstance(value, Parameter)
    return value


def frozen_array(name: str, array: np.ndarray, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """`array` as a read-only contiguous view; TypeError / ValueError unless dtype, shape and finiteness are
    right.
    """
    if array.dtype != dtype:
        raise TypeError(f"{name} is {array.dtype}, wanted {np.dtype(dtype)}")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, wanted {shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds a value that is not finite")
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def remade(value: Any) -> tuple[Any, tuple[Any, ...]]:
    """`__reduce__` of a dataclass that checks itself: what is unpickled is made, and so checked, as before."""
    parts = (getattr(value, f.name) for f in fields(value) if f.init)
    return type(value), tuple(dict(part) if isinstance(part, MappingProxyType) else part for part in parts)


@dataclass(frozen=True, eq=False)
class Weight:
    """The weight of a conv (O, I/groups, KH, KW) or linear (O, I) node.

    levels "ternary" or "binary": `data` are packed codes, uint8 (O, row_bytes) (see graph.codes), and
    `alpha` float32 (1) or (O), finite and >= 0: W_hat = alpha_o * code. levels "float": `data` are the
    float32 weights, alpha None.
    """

    levels: str
    shape: tuple[int, ...]
    data: np.ndarray
    alpha: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.levels not in LEVELS:
            raise ValueError(f"levels are {self.levels!r}, wanted one of {', '.join(LEVELS)}")
        if self.levels == "float":
            if self.alpha is not None:
                raise ValueError("a float weight has no alpha")
            object.__setattr__(self, "data", frozen_array("weight", self.data, np.float32, self.shape))
            return
        wanted = (self.shape[0], row_bytes(self.levels, row_length(self.shape)))
        object.__setattr__(self, "data", frozen_array("codes", self.data, np.uint8, wanted))
        check_codes(self.data, self.levels, row_length(self.shape))
        if self.alpha is None or self.alpha.shape not in ((1,), (self.shape[0],)):
            given = None if self.alpha is None else self.alpha.shape
            raise ValueError(f"alpha has shape {given}, wanted (1,) or ({self.shape[0]},)")
        object.__setattr__(self, "alpha", frozen_array("alpha", self.alpha, np.float32, self.alpha.shape))
        if (self.alpha < 0).any():
            raise ValueError(f"alpha is {self.alpha.min()}, wanted at least 0")

    __reduce__ = remade

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.shape[0] * row_length(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the weight in memory: codes and alpha, or floats. On disk ternary codes take 1.6 bits, not 2."""
        return self.data.nbytes + (0 if self.alpha is None else self.alpha.nbytes)

    def codes(self) -> np.ndarray:
        """Codes int8 in the shape of the weight; ValueError for a float weight, which has none."""
        if self.levels == "float":
            raise ValueError("a float weight has no codes")
        return from_rows(unpack_rows(self.data, self.levels, row_length(self.shape)), self.shape)

    def values(self) -> np.ndarray:
        """W_hat float32 in the shape of the weight: alpha_o * code, every zero +0.0."""
        if self.alpha is None:
            return self.data
        values: np.ndarray = self.alpha.reshape(-1, *(1,) * (len(self.shape) - 1)) * self.codes()
        return values + np.float32(0)


@dataclass(frozen=True, eq=False)
class Node:
    """One computation: `name` = op(`inputs`), with the attributes that graph.shapes lists for its op.

    conv and linear, packed: y_o = scale_o * (W_hat * x)_o + bias_o, scale and bias float32 (O): BatchNorm folded
    beside the codes, not into them; trainable: y_o = (W * x)_o [+ bias_o]. scale_shift: y_c = scale_c * x_c + bias_c.
    batch_norm: y_c = scale_c (x_c - mean_c) / sqrt(var_c + eps) + bias_c. prelu: slope.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)  # integers, tuples of them, floats
    weight: Weight | Parameter | None = None
    scale: np.ndarray | Parameter | None = None
    bias: np.ndarray | Parameter | None = None
    slope: np.ndarray | Parameter | None = None
    mean: np.ndarray | Parameter | None = None
    var: np.ndarray | Parameter | None = None

    def __post_init__(self) -> None:
        filled = DEFAULTS.get(self.op, {}) | dict(self.attributes)
        object.__setattr__(self, "attributes", MappingProxyType(filled))
        for role in ROLES[1:]:
            array = getattr(self, role)
            if isinstance(array, np.ndarray):
                outputs = array.shape if self.weight is None else self.weight.shape[:1]
                object.__setattr__(self, role, frozen_array(f"{self.name} {role}", array, np.float32, outputs))

    __reduce__ = remade

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Its Parameters by their roles, in the order of ROLES; {} in a packed graph."""
        found = {role: getattr(self, role) for role in ROLES}
        return {role: value for role, value in found.items() if isinstance(value, Parameter)}


@dataclass(frozen=True, eq=False)
class Graph:
    """The whole network: the value `input` of shape `input_shape` (C, H, W), the nodes in order, the value
    `output`.

    order: names of tensors as a state dict lists them. It need not be whole: a tensor that it does not name follows
    where the nodes first read it, and a name that no node reads says nothing.
    """

    input: str
    input_shape: tuple[int, int, int]
    nodes: tuple[Node, ...]
    output: str
    order: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What the nodes read of a state dict, by name, in its order; {} of a packed graph."""
        read = {p.name: p for node in self.nodes for p in node.parameters.values()}
        return {name: read[name] for name in dict.fromkeys((*self.order, *read)) if name in read}

    @property
    def trainable(self) -> bool:
        """Whether this is a trainable graph; one without any array is both, and said to be packed."""
        return any(node.parameters for node in self.nodes)
