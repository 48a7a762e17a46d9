"""GraphNet: a trainable graph and its tensors as a Module like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import ops
from .graph.nodes import Graph, Node
from .graph.parameters import module_of
from .graph.shapes import Shape, infer_shapes
from .nn import BatchNorm2d, Conv2d, Linear, Module
from .tensor import Tensor

Attributes = Mapping[str, Any]


class GraphNet(Module):
    """What `graph`, a trainable one, computes with `tensors` (arrays by name, those that it reads at least).

    Its modules are a tree along the names of the tensors: a convolution whose weight is "layer1.0.conv1.weight" is a
    Conv2d, net.layer1.0.conv1, whose weight `quantizable` lists; a batch_norm is a BatchNorm2d. A weight that is not
    called NAME.weight belongs to no layer: it is trained and not quantized. BatchNorm with the sum and the ReLU behind
    it is one operation where nobody else reads what is between.
    Tensors are float64 if all of them are, else float32. ValueError says which is missing or of another shape, or
    what of the graph is wrong; both before memory is taken.

    >>> net = elq.models.digits_cnn()
    >>> same = elq.GraphNet(elq.to_graph(net, (1, 8, 8)), net.state_dict())
    >>> x = elq.Tensor(np.ones((2, 1, 8, 8), np.float32))
    >>> list(same.state_dict()) == list(net.state_dict()), bool((same(x).data == net(x).data).all())
    (True, True)
    """

    def __init__(self, graph: Graph, tensors: Mapping[str, np.ndarray]) -> None:
        shapes = infer_shapes(graph)
        _check(graph, tensors)
        self.graph = graph
        self._steps = _steps(graph, shapes)
        wide = bool(graph.parameters) and all(tensors[name].dtype == np.float64 for name in graph.parameters)
        modules = _modules(graph)
        statistics = {p.name for node in graph.nodes for role, p in node.parameters.items() if role in ("mean", "var")}
        for name in graph.parameters:
            values = np.array(tensors[name], np.float64 if wide else np.float32)
            _put(self, name, values if name in statistics else Tensor(values, requires_grad=True), modules)
        own = {name for name, _ in self.named_parameters()} | {name for name, _ in self.named_buffers()}
        if own != graph.parameters.keys():
            raise ValueError(f"{min(own ^ graph.parameters.keys())!r} cannot be the name of a tensor of modules")

    def forward(self, x: Tensor) -> Tensor:
        values = {self.graph.input: x}
        for step in self._steps:
            read = [values[name] for name in step.inputs]
            if step.op == "batch_norm":
                residual = read[1] if len(read) > 1 else None
                y = _at(self, step.tensors[0][:-1])(read[0], residual=residual, relu=step.relu)
            elif step.op == "dropout":
                y = ops.dropout(read[0], step.attributes["rate"], training=self.training)
            else:
                y = _OPERATIONS[step.op](read, [_at(self, path) for path in step.tensors], step.attributes)
            values[step.output] = y
            for name in step.last_read:
                del values[name]
        return values[self.graph.output]


@dataclass(frozen=True)
class _Step:
    """One call: a node, or a batch_norm with the add and the relu behind it.

    tensors: where in the tree what it reads is; last_read: the values that nobody reads after it.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    tensors: tuple[tuple[str, ...], ...]
    attributes: Attributes
    relu: bool = False
    last_read: tuple[str, ...] = ()


_Run = Callable[[list[Tensor], list[Any], Attributes], Tensor]
_OPERATIONS: dict[str, _Run] = {
    "conv": lambda x, w, a: ops.conv2d(x[0], *w, **a),
    "linear": lambda x, w, a: ops.linear(x[0], *w),
    "scale_shift": lambda x, w, a: ops.scale_shift(x[0], *w),
    "relu": lambda x, w, a: ops.relu(x[0]),
    "clip": lambda x, w, a: ops.clip(x[0], **a),
    "leaky_relu": lambda x, w, a: ops.leaky_relu(x[0], **a),
    "prelu": lambda x, w, a: ops.prelu(x[0], w[0]),
    "sigmoid": lambda x, w, a: ops.sigmoid(x[0]),
    "tanh": lambda x, w, a: ops.tanh(x[0]),
    "hard_sigmoid": lambda x, w, a: ops.hard_sigmoid(x[0], **a),
    "hard_swish": lambda x, w, a: ops.hard_swish(x[0]),
    "silu": lambda x, w, a: ops.silu(x[0]),
    "elu": lambda x, w, a: ops.elu(x[0], **a),
    "gelu": lambda x, w, a: ops.gelu(x[0]),
    "gelu_tanh": lambda x, w, a: ops.gelu(x[0], "tanh"),
    "add": lambda x, w, a: ops.add(*x),
    "mul": lambda x, w, a: ops.mul(*x),
    "concat": lambda x, w, a: ops.concat(x),
    "slice": lambda x, w, a: ops.channel_slice(x[0], **a),
    "shuffle": lambda x, w, a: ops.channel_shuffle(x[0], **a),
    "max_pool": lambda x, w, a: ops.max_pool(x[0], **a),
    "avg_pool": lambda x, w, a: ops.avg_pool(
        x[0], a["kernel"], a["stride"], padding=a["padding"], count_include_pad=a["counted"]
    ),
    "adaptive_avg_pool": lambda x, w, a: ops.adaptive_avg_pool(x[0], a["output"]),
    "global_avg_pool": lambda x, w, a: ops.global_avg_pool(x[0]),
    "lrn": lambda x, w, a: ops.local_response_norm(x[0], **a),
    "subsample": lambda x, w, a: ops.subsample(x[0], a["step"]),
    "pad": lambda x, w, a: ops.pad(x[0], (0, *a["before"]), (0, *a["after"])),
    "flatten": lambda x, w, a: ops.reshape(x[0], (x[0].shape[0], -1)),
}


def _check(graph: Graph, tensors: Mapping[str, np.ndarray]) -> None:
    """Refuse a packed graph, and tensors that are not those of the graph."""
    packed = [node.name for node in graph.nodes if node.weight is not None and "weight" not in node.parameters]
    if packed:
        raise ValueError(f"node {packed[0]!r} holds its weight: a packed graph, wanted a trainable one")
    wanted = graph.parameters
    missing = [f"{name} {p.shape}" for name, p in wanted.items() if name not in tensors]
    other = [
        f"{name} {np.shape(tensors[name])} instead of {p.shape}"
        for name, p in wanted.items()
        if name in tensors and np.shape(tensors[name]) != p.shape
    ]
    said = [f"{kind}: {', '.join(names[:5])}" for kind, names in (("missing", missing), ("shapes", other)) if names]
    if said:
        raise ValueError(f"the tensors do not fit the graph: {'; '.join(said)}")


def _modules(graph: Graph) -> dict[str, Node]:
    """The node that says what the module of a name is: a batch_norm, or the first with that weight."""
    found: dict[str, Node] = {}
    for node in graph.nodes:
        name = module_of(node)
        if node.op == "batch_norm":
            if name is None:
                names = ", ".join(p.name for p in node.parameters.values())
                raise ValueError(f"node {node.name!r} reads {names}, wanted the tensors of one module")
            other = found.setdefault(name, node)
            if other.parameters != node.parameters or other.attributes != node.attributes:
                raise ValueError(f"nodes {other.name!r} and {node.name!r} are one BatchNorm and differ")
        elif node.weight is not None and name is not None:
            found.setdefault(name, node)
    return found


def _module(node: Node | None) -> Module:
    """A module without its tensors; its weights are not drawn."""
    if node is None:
        return Module()
    if node.op == "batch_norm":
        return BatchNorm2d(1, node.attributes["eps"])
    layer: Conv2d | Linear = Conv2d.__new__(Conv2d) if node.op == "conv" else Linear.__new__(Linear)
    for name, value in {"weight": None, "bias": None, **node.attributes}.items():  # tensors follow, in this order
        setattr(layer, name, value)
    return layer


_LEAVES = ("weight", "bias", "running_mean", "running_var")


def _put(net: Module, name: str, tensor: Tensor | np.ndarray, modules: Mapping[str, Node]) -> None:
    """Set the tensor under its dotted name, with the modules on the way; ValueError where the name is taken."""
    *path, leaf = name.split(".")
    module = net
    for depth, part in enumerate(path, 1):
        below = vars(module).get(part)
        if below is None and not hasattr(type(module), part):
            below = _module(modules.get(".".join(path[:depth])))
            setattr(module, part, below)
        if not isinstance(below, Module):
            raise ValueError(f"no tensor can be named {name!r}: {part!r} is taken")
        module = below
    layered = isinstance(module, Conv2d | Linear | BatchNorm2d) and leaf in _LEAVES
    if not layered and hasattr(module, leaf):
        raise ValueError(f"no tensor can be named {name!r}: {leaf!r} is taken")
    setattr(module, leaf, tensor)


def _at(net: Module, path: Sequence[str]) -> Any:
    """What lies at `path` of the tree."""
    found: Any = net
    for part in path:
        found = getattr(found, part)
    return found


def _steps(graph: Graph, shapes: Mapping[str, Shape]) -> tuple[_Step, ...]:
    """The calls, in order; what was joined is called where its last node stands."""
    readers = Counter([graph.output, *(name for node in graph.nodes for name in node.inputs)])
    norms: dict[str, tuple[Node, tuple[str, ...], bool]] = {}  # of a value: the batch_norm that it ends, inputs, ReLU
    gone: set[str] = set()  # norms that went into a node behind them
    steps = []
    for node in graph.nodes:
        if node.op == "batch_norm":
            norms[node.name] = node, node.inputs, False
            continue
        alone = [name for name in node.inputs if name in norms and name not in gone and readers[name] == 1]
        if node.op == "add" and shapes[node.inputs[0]] == shapes[node.inputs[1]]:
            for name in alone:
                norm, inputs, relu = norms[name]
                if len(inputs) == 1 and not relu:
                    other = node.inputs[1 - node.inputs.index(name)]
                    norms[node.name] = norm, (*inputs, other), False
                    gone.add(name)
                    break
        elif node.op == "relu" and alone:
            norm, inputs, _ = norms[alone[0]]
            norms[node.name] = norm, inputs, True
            gone.add(alone[0])
    for node in graph.nodes:
        if node.name in gone:
            continue
        base, inputs, relu = norms.get(node.name, (node, node.inputs, False))
        tensors = tuple(tuple(p.name.split(".")) for p in base.parameters.values())
        steps.append(_Step(base.op, inputs, node.name, tensors, dict(base.attributes), relu))
    return _forgetting(steps, graph.output)


def _forgetting(steps: list[_Step], output: str) -> tuple[_Step, ...]:
    """The steps, each with the values that it is the last to read, or that nobody reads."""
    used = {output}
    made = []
    for step in reversed(steps):
        last = tuple(name for name in dict.fromkeys((*step.inputs, step.output)) if name not in used)
        used |= {*step.inputs, step.output}
        made.append(_Step(step.op, step.inputs, step.output, step.tensors, step.attributes, step.relu, last))
    return tuple(reversed(made))
