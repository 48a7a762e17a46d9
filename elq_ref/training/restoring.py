"""BatchNorm put back behind convolutions from which an exporter took it: low-bit training wants it.

Exporters fold BatchNorm into the weights in evaluation mode, and a file cannot say whether there was any. So every
convolution whose output is larger than 1x1 gets one unless it has one. Folding has multiplied the weights of every
output channel o by a factor of its own, which one scale alpha a layer cannot follow; so they are divided by a power of
two s_o again, after which their root mean square is that of new weights, sqrt(2 / fan_in), within a factor sqrt(2).
With the mean m and the variance v of what the divided weights give on training pictures, gamma = s sqrt(v + eps) and
beta = s m (+ the convolution's bias, which goes into it), the network computes in evaluation mode what it did, but for
rounding. Where the convolution sums z and has the bias b, BatchNorm gives z + b within 8 u (|z| + |b| + |s m|), u half
of the dtype's eps, of the roundings of gamma, of its quotient by the square root, of two products, of beta and of the
sums; z itself is the same to the bit but for what the bias did to its roundings. Powers of two round nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..datasets import Batches
from ..graph.nodes import Graph, Node, Parameter
from ..graph.shapes import infer_shapes
from ..graph_net import GraphNet
from ..tensor import Tensor, no_grad, watched

PICTURES = 800  # that the statistics are taken from
EPS = 1e-5
_PASSING = ("concat", "dropout", "pad", "shuffle", "slice", "subsample")  # ops that move values and do not change them


def restore_batch_norm(net: GraphNet, batches: Batches, pictures: int = PICTURES) -> tuple[GraphNet, tuple[str, ...]]:
    """A network that computes the same with BatchNorm behind its convolutions, and the names of the new modules.

    A module is named like its convolution's, "features.0" and "features.0_norm": the same network always has the same
    names. Statistics are those of the first `pictures` training pictures of `batches`, and at least of one batch.
    None is put behind a convolution whose output a BatchNorm reads (through concat, dropout, pad, shuffle, slice or
    subsample too), or is one pixel, or whose weight another node reads too. `net` is left as it is.

    >>> train, _ = elq.datasets.digits()
    >>> lenet5 = elq.models.lenet5((1, 8, 8))
    >>> net = elq.GraphNet(elq.to_graph(lenet5, (1, 8, 8)), lenet5.state_dict())
    >>> again, names = elq.restore_batch_norm(net, elq.Batches(train, 64))
    >>> names
    ('conv1_norm', 'conv2_norm')
    """
    bare = without_batch_norm(net.graph)
    if not bare:
        return net, ()
    seen = _statistics(net, bare, batches, pictures)
    state = net.state_dict()
    taken = {*state, *(node.name for node in net.graph.nodes)}  # new names differ as the convolutions' do
    nodes: list[Node] = []
    renamed: dict[str, str] = {}
    for node in net.graph.nodes:
        node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        if node.name not in bare:
            nodes.append(node)
            continue
        name = _new_name(node, taken)
        weight = node.parameters["weight"].name
        divisor = _divisors(state[weight])
        bias = state[node.parameters["bias"].name] if "bias" in node.parameters else None
        tensors = _tensors(name, seen[node.name], divisor, bias, state[weight].dtype)
        state[weight] = state[weight] / divisor.reshape(-1, 1, 1, 1).astype(state[weight].dtype)
        state |= tensors
        parameters = [Parameter(key, value.shape) for key, value in tensors.items()]
        roles = dict(zip(("scale", "bias", "mean", "var"), parameters, strict=True))
        nodes += [replace(node, bias=None), Node("batch_norm", name, (node.name,), {"eps": EPS}, **roles)]
        renamed[node.name] = name
    output = renamed.get(net.graph.output, net.graph.output)
    graph = replace(net.graph, nodes=tuple(nodes), output=output)
    again = GraphNet(graph, {name: state[name] for name in graph.parameters})
    return again, tuple(renamed.values())


def without_batch_norm(graph: Graph) -> tuple[str, ...]:
    """The names of the convolution nodes that get a BatchNorm."""
    shapes = infer_shapes(graph)
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    followed: set[str] = set()  # the values that a BatchNorm reads
    for node in reversed(graph.nodes):
        if any(r.op == "batch_norm" or (r.op in _PASSING and r.name in followed) for r in readers.get(node.name, [])):
            followed.add(node.name)
    weights = [node.parameters["weight"].name for node in graph.nodes if "weight" in node.parameters]
    bare = (n for n in graph.nodes if n.op == "conv" and n.name not in followed and shapes[n.name][1:] != (1, 1))
    return tuple(node.name for node in bare if weights.count(node.parameters["weight"].name) == 1)


@dataclass
class _Moments:
    """Mean and sum of squared deviations float64 (C) over `count` values."""

    count: int
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray) -> _Moments:
        """Of (N, C, H, W): of every row in its dtype, pairwise; of the rows together in float64."""
        rows = y.reshape(*y.shape[:2], -1)
        means = rows.mean(-1)
        apart = rows - means[..., None]
        squares = np.square(apart, out=apart).sum(-1, dtype=y.dtype)
        mean = means.mean(0, dtype=np.float64)
        between = np.square(means - mean).sum(0) * rows.shape[2]
        return cls(len(y) * rows.shape[2], mean, squares.sum(0, dtype=np.float64) + between)

    def joined(self, other: _Moments) -> _Moments:
        """Of both together (Chan, Golub, LeVeque 1983)."""
        count, apart = self.count + other.count, other.mean - self.mean
        squares = self.squares + other.squares + apart**2 * (self.count * other.count / count)
        return _Moments(count, self.mean + apart * (other.count / count), squares)


def _statistics(net: GraphNet, names: tuple[str, ...], batches: Batches, pictures: int) -> dict[str, _Moments]:
    """Of the outputs of these convolutions in evaluation mode, their bias left out."""
    order = [node.name for node in net.graph.nodes if node.op == "conv"]
    dtype = next(p.dtype for _, p in net.named_parameters())
    found: dict[str, _Moments] = {}
    convolutions = iter(order)

    def see(op: str, operands: tuple[Tensor, ...], result: Tensor, attributes: dict[str, object]) -> None:
        if op != "conv2d" or (name := next(convolutions)) not in names:
            return
        moments = _Moments.of(result.data)
        if len(operands) > 2:
            moments.mean -= operands[2].data
        found[name] = found[name].joined(moments) if name in found else moments

    was_training = net.training
    net.eval()
    try:
        seen = 0
        for x, _ in batches.epoch(0):
            convolutions = iter(order)
            with no_grad(), watched(see):
                net(Tensor(x.astype(dtype, copy=False)))
            seen += len(x)
            if seen >= pictures:
                break
    finally:
        net.train(was_training)
    return found


def _divisors(w: np.ndarray) -> np.ndarray:
    """s float64 (O): the power of two next to the ratio of each channel's root mean square to sqrt(2 / fan_in)."""
    rows = w.reshape(len(w), -1).astype(np.float64)
    ratio = np.sqrt(np.square(rows).sum(1) / 2)
    exponent = np.rint(np.log2(np.where(ratio > 0, ratio, 1)))
    divisors: np.ndarray = np.exp2(np.clip(exponent, -_STEPS, _STEPS))
    return divisors


_STEPS = 40  # of a power of two, at most: nothing that is divided leaves the range of float32


def _tensors(
    name: str, seen: _Moments, divisor: np.ndarray, bias: np.ndarray | None, dtype: np.dtype
) -> dict[str, np.ndarray]:
    """What BatchNorm2d has under its names: with these it computes y + bias of y / divisor."""
    mean, var = (seen.mean / divisor).astype(dtype), (seen.squares / seen.count / divisor**2).astype(dtype)
    gamma = (divisor * np.sqrt(var.astype(np.float64) + EPS)).astype(dtype)
    beta = (divisor * mean + (0.0 if bias is None else bias)).astype(dtype)
    values = {"weight": gamma, "bias": beta, "running_mean": mean, "running_var": var}
    return {f"{name}.{key}": value for key, value in values.items()}


def _new_name(node: Node, taken: set[str]) -> str:
    """The convolution's module's name and "_norm", with a number where that is taken."""
    module = node.parameters["weight"].name.removesuffix(".weight")
    name, count = f"{module}_norm", 1
    while any(other == name or other.startswith(f"{name}.") for other in taken):
        count += 1
        name = f"{module}_norm{count}"
    return name
