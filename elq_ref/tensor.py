"""Tensor, tape and backward(): the whole autograd.

Define-by-run: every operation (elq_ref.ops) computes its result with NumPy or a kernel and calls `record` with the
function that turns the gradient of the result into the gradients of its operands. `backward` walks what was recorded
once, in reverse order of computation; a tensor that was used several times gets the sum. It frees the tape as it goes,
so that memory falls from the first step of the walk: a second backward pass needs a forward pass of its own.

Arrays belong to the graph and do not change under it: `Tensor.data` is a read-only view, and the one way to change a
leaf is to assign `t.data = array`. A backward pass that needs a value which was replaced since says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
Backward = Callable[[np.ndarray], Sequence["np.ndarray | None"]]
Watcher = Callable[[str, "tuple[Tensor, ...]", "Tensor", dict[str, Any]], None]

_grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


class _Node:
    """What one operation left on the tape."""

    __slots__ = ("backward", "name", "parents", "versions")

    def __init__(self, name: str, parents: tuple[Tensor, ...], backward: Backward) -> None:
        self.name, self.parents = name, parents
        self.backward: Backward | None = backward  # None once a backward pass went through
        self.versions = tuple(parent._version for parent in parents)


class Tensor:
    """A float32 or float64 array that remembers how it was computed.

    `grad` (an array of the same shape and dtype, or None) is filled by `backward` on leaves with `requires_grad`, and
    adds up over calls until it is set to None. Integers and float16 are refused rather than converted: precision is
    the caller's decision. Python's floats are float64, as in NumPy.

    >>> w = elq.Tensor(np.array([1.0, -2.0]), requires_grad=True)
    >>> y = w * w + w
    >>> y.backward(np.ones(2))  # the sum of y, differentiated
    >>> w.grad
    array([ 3., -3.])
    """

    __slots__ = ("_array", "_node", "_version", "grad", "requires_grad")

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self._version = 0
        self._node: _Node | None = None
        self.requires_grad = requires_grad
        self.grad: np.ndarray | None = None
        self._set(data)

    def _set(self, data: Any) -> None:
        array = np.asarray(data)
        if array.dtype not in DTYPES:
            raise TypeError(f"a Tensor holds float32 or float64, given {array.dtype}: convert with .astype(np.float32)")
        array = array.view()
        array.flags.writeable = False
        self._array = array

    @property
    def data(self) -> np.ndarray:
        """The values, read-only. Assign a whole array of the same shape and dtype to change a leaf."""
        return self._array

    @data.setter
    def data(self, value: np.ndarray) -> None:
        if self._node is not None:
            raise RuntimeError(f"only a leaf can be assigned; this tensor is the result of {self._node.name}")
        if np.shape(value) != self.shape or np.asarray(value).dtype != self.dtype:
            raise ValueError(
                f"assigned {np.asarray(value).dtype} {np.shape(value)} to a tensor of {self.dtype} {self.shape}"
            )
        self._set(value)
        self._version += 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return self._array.dtype

    @property
    def is_leaf(self) -> bool:
        """True for a tensor that no recorded operation computed."""
        return self._node is None

    def item(self) -> float:
        """The value of a tensor of one element."""
        return float(self._array.item())

    def backward(self, dy: np.ndarray | None = None) -> None:
        """Add d(sum(dy * self))/d(leaf) to the `grad` of every leaf that this tensor depends on.

        `dy` has the shape and dtype of this tensor; it may be left out for a single element (then 1).
        Raises RuntimeError, before any `grad` changes, if nothing here requires a gradient, if a backward pass went
        through a part of this graph already, or if a value on the way was replaced since; ValueError, before any `grad`
        changes too, for an operation that returns a gradient which is none of its operand's (`record`).
        """
        if not self.requires_grad:
            raise RuntimeError("backward() of a tensor that depends on nothing with requires_grad=True")
        if dy is None:
            if self._array.size != 1:
                raise ValueError(f"backward() without dy needs one element, this tensor has shape {self.shape}")
            dy = np.ones_like(self._array)
        if dy.shape != self.shape or dy.dtype != self.dtype:
            raise ValueError(f"dy is {dy.dtype} {dy.shape}, the tensor is {self.dtype} {self.shape}")
        order = _in_order(self)
        for tensor in order:
            _check_usable(tensor)
        grads = {id(self): dy}
        owned: set[int] = set()  # those whose memory nobody else holds: sums are made in place there
        leaves: list[tuple[Tensor, np.ndarray]] = []
        while order:
            tensor = order.pop()
            grad = grads.pop(id(tensor))
            mine = id(tensor) in owned
            owned.discard(id(tensor))
            node = tensor._node
            if node is None:
                leaves.append((tensor, grad if mine or tensor.grad is not None else grad.copy()))
                continue
            assert node.backward
            parts = _checked(node, node.backward(grad))
            parents, node.parents, node.backward = node.parents, (), None
            for parent, part in zip(parents, parts, strict=True):
                if part is None or not parent.requires_grad:
                    continue
                key = id(parent)  # unique: `order` holds every tensor that is yet to come
                if key not in grads:
                    grads[key] = part
                    if _is_new(part, grad, parts):
                        owned.add(key)
                elif key in owned:
                    grads[key] += part
                else:
                    grads[key] = np.asarray(grads[key] + part)
                    owned.add(key)
            del parents, parts, part, grad  # not kept during the next operation
        for tensor, grad in leaves:
            tensor.grad = grad if tensor.grad is None else tensor.grad + grad

    def __add__(self, other: Tensor) -> Tensor:
        return add(self, other)

    def __mul__(self, other: Tensor) -> Tensor:
        return mul(self, other)

    __radd__, __rmul__ = __add__, __mul__  # for the error that they raise
    __array_ufunc__ = None  # an array on the left leaves the operation to them

    def _refuse_in_place(self, *_: Any) -> None:
        raise TypeError("a Tensor is not changed in place: compute a new one, or assign t.data = array on a leaf")

    __setitem__ = __iadd__ = __isub__ = __imul__ = __itruediv__ = _refuse_in_place

    def __repr__(self) -> str:
        origin = f", from {self._node.name}" if self._node else ""
        return f"Tensor({self._array!r}{origin}{', requires_grad=True' if self.requires_grad else ''})"


def _in_order(root: Tensor) -> list[Tensor]:
    """Every tensor below `root` that needs a gradient, operands before results; without recursion, nets are deep."""
    order: list[Tensor] = []
    seen: set[int] = set()
    stack: list[tuple[Tensor, bool]] = [(root, False)]
    while stack:
        tensor, operands_done = stack.pop()
        if operands_done:
            order.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            if tensor._node is not None:
                stack.extend((parent, False) for parent in tensor._node.parents if parent.requires_grad)
    return order


def _is_new(part: np.ndarray, dy: np.ndarray, parts: Sequence[np.ndarray | None]) -> bool:
    """True if `part`, returned by a backward function for `dy`, is an array that nothing else stands on."""
    others = [dy, *(other for other in parts if other is not None and other is not part)]
    once = sum(other is part for other in parts) == 1
    return once and part.ndim > 0 and part.flags.writeable and not any(np.may_share_memory(part, o) for o in others)


def _checked(node: _Node, parts: Any) -> Sequence[np.ndarray | None]:
    """What a backward function returned; ValueError unless it is one gradient, like its operand, or None for each."""
    if not isinstance(parts, list | tuple) or len(parts) != len(node.parents):
        count = f"{len(parts)} gradients" if isinstance(parts, list | tuple) else f"a {type(parts).__name__}"
        raise ValueError(f"backward of {node.name} returned {count}, wanted a list of {len(node.parents)}")
    for position, (parent, part) in enumerate(zip(node.parents, parts, strict=True)):
        if part is None or not parent.requires_grad:
            continue
        array = isinstance(part, np.ndarray | np.generic)
        if not array or part.shape != parent.shape or part.dtype != parent.dtype:
            given = f"{part.dtype} {part.shape}" if array else f"a {type(part).__name__}"
            raise ValueError(
                f"backward of {node.name} returned {given} as the gradient of operand {position}, "
                f"which is {parent.dtype} {parent.shape}"
            )
    return parts


def _check_usable(tensor: Tensor) -> None:
    node = tensor._node
    if node is None:
        return
    if node.backward is None:
        raise RuntimeError(
            f"a backward pass already went through this {node.name} of shape {tensor.shape} and freed its tape: "
            "run the forward pass again"
        )
    for position, (parent, version) in enumerate(zip(node.parents, node.versions, strict=True)):
        if parent._version != version:
            raise RuntimeError(
                f"operand {position} of {node.name}, shape {parent.shape}, was assigned after the forward pass: "
                "run backward() before updating, or run the forward pass again"
            )


def record(name: str, y: np.ndarray, parents: Sequence[Tensor], backward: Backward, **attrs: Any) -> Tensor:
    """An operation of one's own: the Tensor of its result `y`, with `backward` on the tape.

    `backward(dy)` runs at most once and returns one gradient (or None) per parent, in their order: new arrays, dy
    itself or views of it, of the parent's shape and dtype, never an array that is kept elsewhere, since sums are made
    in place. `attrs` describe the operation `name` to whoever watches (`watched`). All parents share one dtype, else
    TypeError: precisions are never mixed silently. `check_grads` says whether `backward` is the gradient.

    >>> def softplus(x):  # y = log(1 + exp(x)), dy/dx = 1 / (1 + exp(-x))
    ...     return elq.record("softplus", np.logaddexp(0, x.data), (x,), lambda dy: [dy / (1 + np.exp(-x.data))])
    >>> elq.check_grads(softplus, [np.linspace(-3, 3, 5)]) < 1e-8
    True
    """
    operands = tuple(parents)
    if len({parent.dtype for parent in operands}) > 1:
        raise TypeError(f"{name} of mixed dtypes: " + ", ".join(f"{p.dtype} {p.shape}" for p in operands))
    out = Tensor(y)
    if _grad_enabled.get() and any(parent.requires_grad for parent in operands):
        out.requires_grad = True
        out._node = _Node(name, operands, backward)
    watcher = _watcher.get()
    if watcher is not None:
        watcher(name, operands, out, attrs)
    return out


def _fit(op: str, a: Tensor, b: Tensor) -> None:
    """Refuse operands that are neither of one shape nor (N, C, 1, 1) and (N, C, H, W)."""
    if not isinstance(b, Tensor):
        given = f"an array {b.dtype} {b.shape}" if isinstance(b, np.ndarray) else f"a {type(b).__name__}"
        raise TypeError(f"{op} of a Tensor {a.dtype} {a.shape} and {given}: both must be Tensors")
    channels = len(a.shape) == len(b.shape) == 4 and a.shape[:2] == b.shape[:2]
    if a.shape != b.shape and not (channels and (1, 1) in (a.shape[2:], b.shape[2:])):
        raise ValueError(f"{op} of shapes {a.shape} and {b.shape}: they must be equal, or one of (N, C, 1, 1)")


def _fitted(part: np.ndarray, operand: Tensor) -> np.ndarray:
    """The gradient of an operand: `part` itself, or its sums over the pixels that a value (N, C, 1, 1) went to."""
    return part if part.shape == operand.shape else part.sum((2, 3), keepdims=True)


def add(a: Tensor, b: Tensor) -> Tensor:
    """y = a + b of one shape, or of (N, C, 1, 1) and (N, C, H, W), a value for all pixels of a channel.

    No other broadcasting: a residual that does not fit is a mistake.

    >>> elq.ops.add(elq.Tensor(np.array([1.0, 2.0])), elq.Tensor(np.array([10.0, 20.0]))).data
    array([11., 22.])
    """
    _fit("add", a, b)
    return record("add", a.data + b.data, (a, b), lambda dy: (_fitted(dy, a), _fitted(dy, b)))


def mul(a: Tensor, b: Tensor) -> Tensor:
    """y = a * b elementwise, of one shape or of (N, C, 1, 1) and (N, C, H, W), a value for all pixels of a channel.

    >>> elq.ops.mul(elq.Tensor(np.array([1.0, 2.0])), elq.Tensor(np.array([10.0, 20.0]))).data
    array([10., 40.])
    >>> elq.ops.mul(elq.Tensor(np.full((1, 1, 1, 1), 3.0)), elq.Tensor(np.ones((1, 1, 1, 2)))).data
    array([[[[3., 3.]]]])
    """
    _fit("mul", a, b)
    return record("mul", a.data * b.data, (a, b), lambda dy: (_fitted(dy * b.data, a), _fitted(dy * a.data, b)))


def wrap_backward(result: Tensor, wrap: Callable[[Backward], Backward]) -> None:
    """Put `wrap` around the backward function of the operation that computed `result`; a leaf has none."""
    if result._node is not None and result._node.backward is not None:
        result._node.backward = wrap(result._node.backward)


@contextmanager
def no_grad() -> Iterator[None]:
    """Operations inside leave nothing on the tape.

    >>> w = elq.Tensor(np.ones(2), requires_grad=True)
    >>> with elq.no_grad():
    ...     y = w * w
    >>> y.requires_grad
    False
    """
    token = _grad_enabled.set(False)
    try:
        yield
    finally:
        _grad_enabled.reset(token)


@contextmanager
def watched(callback: Watcher) -> Iterator[None]:
    """Call `callback(name, operands, result, attrs)` after every operation inside."""
    token = _watcher.set(callback)
    try:
        yield
    finally:
        _watcher.reset(token)
