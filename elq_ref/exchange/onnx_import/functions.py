"""Functions of one number that ONNX writes as several nodes.

They are kept as terms until somebody reads them, then recognised by their values, in whatever order a file multiplies,
adds and clips.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .builder import Builder, Image, labelled
from .model import OnnxNode

DEEPEST = 10  # nodes of the longest function that is recognised; GELU by tanh has 9
NESTED = 64  # nodes of a term, several functions of each other, from which on it is cut
_LARGEST = float(np.finfo(np.float32).max)
_EDGES = np.array([-1e6, -1e4, -100, -30, -0.01, 0.003, 30, 100, 1e4, 1e6])
_POINTS = np.sort(np.concatenate([np.linspace(-9, 9, 109), _EDGES]))
_TOLERANCE = {"f4": 2e-6, "f2": 2e-3}  # of the values where constants of functions are rounded to float32, or shorter
_erf = np.vectorize(math.erf, otypes=[np.float64])


@dataclass(frozen=True, eq=False)
class Term:
    """`op` of ONNX, element by element, of values of one shape; numbers are constants."""

    op: str
    node: OnnxNode
    operands: tuple[Term | Affine | Image | float, ...]
    numbers: dict[str, float]  # attributes
    like: Image  # whose axes the value has
    depth: int
    short: bool  # whether one of its constants is of fewer bits than float32 has


@dataclass(frozen=True, eq=False)
class Affine:
    """scale_c x_c + shift_c of a value x, float64 (C) each; like: whose axes it has; layer: the name of its arrays."""

    x: Term | Image
    scale: np.ndarray
    shift: np.ndarray
    node: OnnxNode
    like: Image
    layer: str = ""

    @property
    def depth(self) -> int:
        return 1 if isinstance(self.x, Image) else 1 + self.x.depth

    def scaled(self, scale: float, shift: float) -> Affine:
        """scale times it, plus shift."""
        with np.errstate(all="ignore"):
            return replace(self, scale=scale * self.scale, shift=scale * self.shift + shift)


Operand = Term | Affine | Image


def like(x: Operand) -> Image:
    """A value of the graph that has the axes of `x`."""
    return x if isinstance(x, Image) else x.like


def _sigmoid(x: np.ndarray) -> np.ndarray:
    y: np.ndarray = 1 / (1 + np.exp(-x))
    return y


def _gelu(x: np.ndarray) -> np.ndarray:
    y: np.ndarray = 0.5 * x * (1 + _erf(x * math.sqrt(0.5)))
    return y


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    y: np.ndarray = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return y


def _hard_swish(x: np.ndarray) -> np.ndarray:
    y: np.ndarray = x * np.clip(x / 6 + 0.5, 0, 1)
    return y


with np.errstate(over="ignore"):  # what is recognised without numbers of its own
    _KNOWN = {
        "relu": np.maximum(_POINTS, 0),
        "sigmoid": _sigmoid(_POINTS),
        "tanh": np.tanh(_POINTS),
        "silu": _POINTS * _sigmoid(_POINTS),
        "hard_swish": _hard_swish(_POINTS),
        "gelu": _gelu(_POINTS),
        "gelu_tanh": _gelu_tanh(_POINTS),
    }
# What a node of ONNX computes of its operands x and its attributes a.
COMPUTED: dict[str, Callable[..., np.ndarray]] = {
    "Relu": lambda a, x: np.maximum(x, 0),
    "Clip": lambda a, x: np.clip(x, a["min"], a["max"]),
    "LeakyRelu": lambda a, x: np.where(x < 0, a["alpha"] * x, x),
    "Sigmoid": lambda a, x: _sigmoid(x),
    "Tanh": lambda a, x: np.tanh(x),
    "HardSigmoid": lambda a, x: np.clip(a["alpha"] * x + a["beta"], 0, 1),
    "HardSwish": lambda a, x: _hard_swish(x),
    "Elu": lambda a, x: np.where(x > 0, x, a["alpha"] * np.expm1(np.minimum(x, 0))),
    "Gelu": lambda a, x: _gelu_tanh(x) if a["tanh"] else _gelu(x),
    "Swish": lambda a, x: x * _sigmoid(a["alpha"] * x),
    "Softplus": lambda a, x: np.logaddexp(x, 0),
    "Erf": lambda a, x: _erf(x),
    "Neg": lambda a, x: -x,
    "Abs": lambda a, x: np.abs(x),
    "Exp": lambda a, x: np.exp(x),
    "Sqrt": lambda a, x: np.sqrt(x),
    "Reciprocal": lambda a, x: 1 / x,
    "Add": lambda a, x, y: x + y,
    "Sub": lambda a, x, y: x - y,
    "Mul": lambda a, x, y: x * y,
    "Div": lambda a, x, y: x / y,
    "Pow": lambda a, x, y: x**y,
    "Max": lambda a, *x: np.maximum.reduce(np.broadcast_arrays(*x)),
    "Min": lambda a, *x: np.minimum.reduce(np.broadcast_arrays(*x)),
}


def term(
    op: str,
    node: OnnxNode,
    operands: tuple[Operand | float, ...],
    numbers: Mapping[str, float] | None = None,
    short: bool = False,
) -> Term:
    """A function of values that have the same axes; a clip of a clip is one. ValueError for none that is a value."""
    values = [x for x in operands if not isinstance(x, float)]
    axes, depth = like(values[0]), 1 + max((x.depth for x in values if not isinstance(x, Image)), default=0)
    short = short or any(x.short for x in values if isinstance(x, Term))
    made = Term(op, node, operands, dict(numbers or {}), axes, depth, short)
    limits = _limits(made)
    if limits and isinstance(operands[0], Term) and (before := _limits(operands[0])):
        low, high = (min(max(edge, limits[0]), limits[1]) for edge in before)
        return Term("Clip", node, operands[0].operands, {"min": low, "max": high}, axes, operands[0].depth, short)
    return made


def _limits(given: Term) -> tuple[float, float] | None:
    """(low, high) of what is a clip of its only value, which comes first."""
    if given.op == "Relu":
        return 0.0, math.inf
    if given.op == "Clip":
        return given.numbers["min"], given.numbers["max"]
    if given.op in ("Max", "Min") and len(given.operands) == 2 and isinstance(given.operands[1], float):
        return (given.operands[1], math.inf) if given.op == "Max" else (-math.inf, given.operands[1])
    return None


def sources(x: Operand) -> set[int]:
    """What a term is a function of, as ids."""
    found: set[int] = set()
    waiting: list[Operand] = [x]
    seen: set[int] = set()
    while waiting:
        x = waiting.pop()
        if not isinstance(x, Term):
            found.add(id(x))
        elif id(x) not in seen:
            seen.add(id(x))
            waiting += [y for y in x.operands if not isinstance(y, float)]
    return found


def _nodes(x: Term) -> list[Operand]:
    """All that a term is made of, itself not, what is furthest from it first; DEEPEST steps at most."""
    layers: list[list[Operand]] = [[x]]
    for _ in range(DEEPEST):
        inner = [y for t in layers[-1] if isinstance(t, Term) for y in t.operands if not isinstance(y, float)]
        layers.append(list({id(y): y for y in inner}.values()))
    return list({id(y): y for layer in reversed(layers[1:]) for y in layer}.values())


def _samples(x: Term, of: Operand) -> np.ndarray | None:
    """The values of a term where `of` is _POINTS; None where it is a function of something else too."""
    known: dict[int, np.ndarray | None] = {id(of): _POINTS}

    def value(y: Operand | float, left: int) -> np.ndarray | None:
        if isinstance(y, float):
            return np.full(1, y)
        if id(y) not in known:
            known[id(y)] = None
            if isinstance(y, Term) and left:
                parts = [value(z, left - 1) for z in y.operands]
                if all(part is not None for part in parts):
                    known[id(y)] = COMPUTED[y.op](y.numbers, *parts)
        return known[id(y)]

    with np.errstate(all="ignore"):
        return value(x, DEEPEST + 1)


def recognised(samples: np.ndarray, tolerance: float) -> tuple[str, dict[str, float]] | None:
    """(op of the graph, its attributes) of the nearest function that has these values; "affine" has `scale`, `shift`.

    None where none has them.
    """
    x, y = _POINTS, samples
    if y.shape != x.shape or not np.isfinite(y).all():
        return None
    zero, up, down = (float(np.interp(p, x, y)) for p in (0.0, 1.0, -1.0))
    slope = float(np.interp(0.5, x, y)) - float(np.interp(-0.5, x, y))
    tries: list[tuple[str, dict[str, float], np.ndarray]] = [(op, {}, values) for op, values in _KNOWN.items()]
    tries += [
        ("affine", {"scale": up - zero, "shift": zero}, (up - zero) * x + zero),
        ("leaky_relu", {"slope": -down}, np.where(x < 0, -down * x, x)),
        ("hard_sigmoid", {"alpha": slope, "beta": zero}, np.clip(slope * x + zero, 0, 1)),
    ]
    errors = [float((np.abs(values - y) / (1 + np.abs(values))).max()) for _, _, values in tries]
    best = min(range(len(tries)), key=errors.__getitem__)
    return tries[best][:2] if errors[best] <= tolerance else None


class Functions:
    """Makes nodes of terms when their values are wanted."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.made: dict[int, Image] = {}
        self.kept: list[object] = []  # so that no id is given twice

    def image(self, x: Operand) -> Image:
        """The value of a term in the graph. ValueError that names the node for a function that a graph has not."""
        if isinstance(x, Image):
            return x
        if id(x) not in self.made:
            self.made[id(x)] = self._make(x) if isinstance(x, Term) else self._scale_shift(x)
            self.kept.append(x)
        return self.made[id(x)]

    def shallow(self, x: Operand) -> Operand:
        """The value as an operand of a term: in the graph already where terms would become too deep."""
        return x if isinstance(x, Image) or x.depth < NESTED else self.image(x)

    def affine(self, x: Operand) -> tuple[Operand, float, float] | None:
        """(y, scale, shift) of a term that is scale y + shift."""
        for of in _nodes(x) if isinstance(x, Term) else ():
            found = self._recognised(x, of)
            if found is not None and found[0] == "affine":
                return of, found[1]["scale"], found[1]["shift"]
        return None

    @staticmethod
    def _recognised(x: Operand, of: Operand) -> tuple[str, dict[str, float]] | None:
        assert isinstance(x, Term)
        samples = _samples(x, of)
        return None if samples is None else recognised(samples, _TOLERANCE["f2" if x.short else "f4"])

    def _make(self, x: Term) -> Image:
        if x.op not in _NATIVE or (x.depth > 1 and x.op in ("Relu", "Clip")):
            for of in _nodes(x):
                if of in x.operands and x.op in _NATIVE:
                    break  # itself
                found = self._recognised(x, of)
                if found is not None:
                    return self._add(x, of, *found)
        if x.op in _NATIVE:
            return self._add(x, x.operands[0], *_NATIVE[x.op](x.numbers))  # type: ignore[arg-type]
        if (limits := _limits(x)) is not None:
            return self._add(x, x.operands[0], *_clip({"min": limits[0], "max": limits[1]}))  # type: ignore[arg-type]
        if x.op in ("Add", "Mul") and not any(isinstance(y, float) for y in x.operands):
            a, b = (self.image(y) for y in x.operands)  # type: ignore[arg-type]
            name = self.builder.add(x.op.lower(), labelled(x.node), (a.name, b.name))
            return self.builder.like(name, x.like)
        raise ValueError(f"{x.node}: is no function that a graph has")

    def _add(self, x: Term, of: Operand, op: str, attributes: dict[str, float]) -> Image:
        if op != "affine":
            name = self.builder.add(op, labelled(x.node), (self.image(of).name,), **attributes)
            return self.builder.like(name, x.like)
        scale, shift = attributes["scale"], attributes["shift"]
        if isinstance(of, Affine):
            return self._scale_shift(of.scaled(scale, shift))
        if (scale, shift) == (1, 0):
            return self.builder.like(self.image(of).name, x.like)
        channels = like(of).shape[0]
        return self._scale_shift(Affine(of, np.full(channels, scale), np.full(channels, shift), x.node, x.like))

    def _scale_shift(self, x: Affine) -> Image:
        source, name = self.image(x.x).name, x.layer or labelled(x.node)
        roles = self.builder.layer(name or "scale_shift", {"weight": x.scale, "bias": x.shift}, (id(x),))
        self.kept.append(x)
        made = self.builder.add("scale_shift", name, (source,), scale=roles["weight"], bias=roles["bias"])
        return self.builder.like(made, x.like)


def _clip(a: dict[str, float]) -> tuple[str, dict[str, Any]]:
    if a["min"] == 0 and a["max"] == math.inf:
        return "relu", {}
    return "clip", {"low": max(a["min"], -_LARGEST), "high": min(a["max"], _LARGEST)}


def _swish(a: dict[str, float]) -> tuple[str, dict[str, Any]]:
    if a["alpha"] != 1:
        raise ValueError(f"has alpha {a['alpha']:g}, wanted 1")
    return "silu", {}


# Nodes that are one of the graph's.
_NATIVE: dict[str, Callable[[dict[str, float]], tuple[str, dict[str, Any]]]] = {
    "Relu": lambda a: ("relu", {}),
    "Clip": _clip,
    "LeakyRelu": lambda a: ("leaky_relu", {"slope": a["alpha"]}),
    "Sigmoid": lambda a: ("sigmoid", {}),
    "Tanh": lambda a: ("tanh", {}),
    "HardSigmoid": lambda a: ("hard_sigmoid", dict(a)),
    "HardSwish": lambda a: ("hard_swish", {}),
    "Elu": lambda a: ("elu", dict(a)),
    "Gelu": lambda a: ("gelu_tanh" if a["tanh"] else "gelu", {}),
    "Swish": _swish,
}
