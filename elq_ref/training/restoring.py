"""BatchNorm put back behind convolutions from which an exporter took it: low-bit training wants it.

Exporters fold BatchNorm into the weights in evaluation mode, and a file cannot say whether there was any. So every
convolution whose output is larger than 1x1 gets one unless it has one, with the mean m and the variance v of its output
on training pictures, gamma = sqrt(v + eps) and beta = m (+ the convolution's bias, which goes into it): what the
network computes in evaluation mode stays, but for rounding. With u the half of eps of the dtype, a value y of such a
convolution moves by less than 8 u (|y - m| + |beta| + |y|): the roundings of gamma, of its quotient by the square root,
of the product, of beta and of two sums.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..datasets import Batches
from ..graph.nodes import Graph, Node, Parameter
from ..graph.shapes import infer_shapes
from ..graph_net import GraphNet
from ..tensor import Tensor, no_grad, watched

PICTURES = 1600  # that the statistics are taken from
EPS = 1e-5
_PASSING = ("concat", "dropout", "pad", "shuffle", "slice", "subsample")  # ops that move values and do not change them


def restore_batch_norm(net: GraphNet, batches: Batches, pictures: int = PICTURES) -> tuple[GraphNet, tuple[str, ...]]:
    """A network that computes the same with BatchNorm behind its convolutions, and the names of the new modules.

    A module is named like its convolution's, "features.0" and "features.0_norm": the same network always has the same
    names. Statistics are those of the first `pictures` training pictures of `batches`, and at least of one batch.
    None is put behind a convolution whose output a BatchNorm reads (through concat, dropout, pad, shuffle, slice or
    subsample too) or is one pixel. `net` is left as it is.

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
    taken = {*state, *(node.name for node in net.graph.nodes)}
    nodes: list[Node] = []
    renamed: dict[str, str] = {}
    added: dict[str, np.ndarray] = {}
    for node in net.graph.nodes:
        node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        if node.name not in bare:
            nodes.append(node)
            continue
        name = _new_name(node, taken)
        taken.add(name)
        bias = state[node.parameters["bias"].name] if "bias" in node.parameters else None
        tensors = _tensors(name, seen[node.name], bias, state[node.parameters["weight"].name].dtype)
        added |= tensors
        parameters = [Parameter(key, value.shape) for key, value in tensors.items()]
        roles = dict(zip(("scale", "bias", "mean", "var"), parameters, strict=True))
        nodes += [replace(node, bias=None), Node("batch_norm", name, (node.name,), {"eps": EPS}, **roles)]
        renamed[node.name] = name
    output = renamed.get(net.graph.output, net.graph.output)
    graph = replace(net.graph, nodes=tuple(nodes), output=output)
    state |= added
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
    bare = (n.name for n in graph.nodes if n.op == "conv" and n.name not in followed)
    return tuple(name for name in bare if shapes[name][1:] != (1, 1))


@dataclass
class _Moments:
    """Mean and sum of squared deviations float64 of a channel, over `count` values."""

    count: int
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray) -> _Moments:
        y = y.astype(np.float64)
        mean = y.mean((0, 2, 3))
        return cls(y.size // len(mean), mean, ((y - mean[:, None, None]) ** 2).sum((0, 2, 3)))

    def joined(self, other: _Moments) -> _Moments:
        """Of both together (Chan, Golub, LeVeque 1983)."""
        count, apart = self.count + other.count, other.mean - self.mean
        squares = self.squares + other.squares + apart**2 * (self.count * other.count / count)
        return _Moments(count, self.mean + apart * (other.count / count), squares)


def _statistics(net: GraphNet, names: tuple[str, ...], batches: Batches, pictures: int) -> dict[str, _Moments]:
    """Of the outputs of these convolutions, their bias left out, in evaluation mode."""
    order = [node for node in net.graph.nodes if node.op == "conv"]
    dtype = next(p.dtype for _, p in net.named_parameters())
    found: dict[str, _Moments] = {}
    convolutions = iter(order)

    def see(op: str, operands: tuple[Tensor, ...], result: Tensor, attributes: dict[str, object]) -> None:
        if op != "conv2d":
            return
        name = next(convolutions).name
        if name in names:
            y = result.data if len(operands) < 3 else result.data - operands[2].data[:, None, None]
            moments = _Moments.of(y)
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


def _tensors(name: str, seen: _Moments, bias: np.ndarray | None, dtype: np.dtype) -> dict[str, np.ndarray]:
    """What BatchNorm2d has under its names: with these it computes y + bias of y."""
    mean, var = seen.mean.astype(dtype), (seen.squares / seen.count).astype(dtype)
    gamma = np.sqrt(var.astype(np.float64) + EPS).astype(dtype)
    beta = mean if bias is None else (mean.astype(np.float64) + bias).astype(dtype)
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
