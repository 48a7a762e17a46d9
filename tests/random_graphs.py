"""Seeded small graphs over every op of the table, valid by construction: packed ones, and trainable ones with tensors.

`packed_graph(seed)` and `trainable_graph(seed)` have the op `PACKED_OPS[seed % len(PACKED_OPS)]` (or of OPS) for sure;
the rest is drawn: borders on four sides, pools whose windows hang over, squeeze-and-excite, concat of several values,
odd channels, strides, dilations and groups. Values stay small enough for float32 and int8 alike.
"""

import math

import numpy as np

from elq_ref.graph.codes import pack_codes
from elq_ref.graph.functions import FUNCTIONS
from elq_ref.graph.nodes import Graph, Node, Parameter, Weight
from elq_ref.graph.shapes import OPS, PACKED_OPS, infer_shapes

MOST_VALUES = 1200  # of one activation
MOST_WEIGHTS = 3000  # of one layer
ENDS = ("linear", "flatten", "global_avg_pool")  # what reads or makes a value of one axis
TENSORS = {"scale": "weight", "slope": "weight", "mean": "running_mean", "var": "running_var"}  # of other roles: these


def packed_graph(seed, ops=PACKED_OPS):
    """A packed Graph of this seed, its output (5): of `ops` alone, and conv, linear, flatten, global_avg_pool."""
    growing = Growing(np.random.default_rng((1, seed)), tuple(ops), None)
    return growing.grown(tuple(ops)[seed % len(ops)])


def whole_graph(rng, ops=PACKED_OPS):
    """A packed Graph with every one of `ops` in a random order, its output (5)."""
    growing = Growing(rng, tuple(ops), None)
    growing.shapes["input"] = (int(rng.integers(1, 5)), int(rng.integers(10, 16)), int(rng.integers(10, 16)))
    for op in rng.permutation([op for op in (*ops, "conv", "conv") if op not in ENDS]).tolist():
        growing.step(op)
    for op in ("global_avg_pool", "flatten", *growing.flat_ops()):
        growing.step(op)
    return growing.ended()


def trainable_graph(seed, ops=tuple(OPS)):
    """(trainable Graph, its tensors by name) of this seed, its output (5)."""
    growing = Growing(np.random.default_rng((2, seed)), tuple(ops), {})
    graph = growing.grown(tuple(ops)[seed % len(ops)])
    return graph, growing.tensors


class Growing:
    """Nodes that grow at their end; `tensors` is None for a packed graph."""

    def __init__(self, rng, ops, tensors):
        self.rng, self.ops, self.tensors = rng, ops, tensors
        self.nodes = []
        self.shapes = {"input": (int(rng.integers(1, 5)), int(rng.integers(5, 10)), int(rng.integers(5, 10)))}

    def grown(self, wanted):
        """The graph: some ops, the one that is wanted, some ops, five classes."""
        self.wander(0, 3)
        if wanted not in ENDS:
            self.step(wanted)
            self.wander(0, 4)
        self.flatten(wanted)
        for op in self.draw((), ("linear",), ("linear", "relu"), ("linear", *self.flat_ops())):
            if op in (*self.ops, "linear"):
                self.step(op)
        return self.ended()

    def ended(self):
        """The graph, with a layer of five classes at its end."""
        self.layer("linear", (5, *self.shape))
        graph = Graph("input", self.shapes["input"], tuple(self.nodes), self.last)
        infer_shapes(graph)
        return graph

    @property
    def last(self):
        return self.nodes[-1].name if self.nodes else "input"

    @property
    def shape(self):
        return self.shapes[self.last]

    def draw(self, *choices):
        return choices[int(self.rng.integers(len(choices)))]

    def flat_ops(self):
        """One op that reads values of one axis too."""
        alike = (*FUNCTIONS, "add", "mul", "concat", "slice", "shuffle", "scale_shift", "batch_norm", "dropout")
        return self.draw(*((op,) for op in (*alike, "flatten") if op in self.ops))

    def wander(self, least, most):
        """Some operations of any kind."""
        for _ in range(int(self.rng.integers(least, most + 1))):
            self.step(self.draw(*("conv",) * 4, *(op for op in self.ops if op not in ENDS)))

    def flatten(self, wanted):
        if len(self.shape) == 3:
            usual = ("flatten", "global_avg_pool") if math.prod(self.shape) < 400 else ("global_avg_pool",)
            self.step(wanted if wanted in ("flatten", "global_avg_pool") else self.draw(*usual))
        elif wanted == "flatten":
            self.step(wanted)

    def step(self, op):
        """Add one node, or a few where the op reads several values."""
        if op in FUNCTIONS:
            return self.function(op)
        make = getattr(self, f"_{op}", None)
        name = make() if make else self.put(op)
        if op == "conv" and self.tensors is not None and "batch_norm" in self.ops and self.rng.random() < 0.5:
            name = self._batch_norm()
        return name

    def put(self, op, *inputs, attributes=None, **arrays):
        """Add a node that reads `inputs`, or the last value; its name."""
        name = f"n{len(self.nodes)}.{op}"
        arrays = {role: self.held(name, role, values) for role, values in arrays.items()}
        node = Node(op, name, inputs or (self.last,), attributes or {}, **arrays)
        self.shapes[name] = OPS[op].shape(node, [self.shapes[value] for value in node.inputs])
        self.nodes.append(node)
        return name

    def held(self, node, role, values):
        """An array of a node: itself, or a Parameter whose tensor has PyTorch's name."""
        if self.tensors is None or isinstance(values, Weight):
            return values
        name = f"{node}.{TENSORS.get(role, role)}"
        self.tensors[name] = values
        return Parameter(name, values.shape)

    def vector(self, channels, low, high):
        return self.rng.uniform(low, high, channels).astype(np.float32)

    def layer(self, op, shape, **attributes):
        """A conv or linear node with a weight of `shape`."""
        rng, outputs = self.rng, shape[0]
        values = (rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))).astype(np.float32)
        if self.tensors is not None:
            bias = {"bias": self.vector(outputs, -1, 1)} if rng.random() < 0.5 else {}
            return self.put(op, attributes=attributes, weight=values, **bias)
        levels = self.draw("ternary", "binary", "float")
        if levels == "float":
            weight = Weight("float", shape, values)
        else:
            codes = np.where(values < 0, -1, 1).astype(np.int8)
            if levels == "ternary":
                codes[rng.random(shape) < self.draw(0.1, 0.5, 0.9)] = 0
            alpha = self.vector(self.draw(1, outputs), 0.5, 1.5) / np.float32(math.sqrt(math.prod(shape[1:])))
            weight = Weight(levels, shape, pack_codes(codes, levels), alpha)
        sign = rng.choice(np.array([-1, 1, 1], np.float32), outputs)
        arrays = {"scale": sign * self.vector(outputs, 0.3, 1.5), "bias": self.vector(outputs, -1, 1)}
        return self.put(op, attributes=attributes, weight=weight, **arrays)

    def _conv(self, outputs=None, same=False):
        """`same`: rows, columns and, where `outputs` says so, channels stay."""
        channels, *size = self.shape
        groups = 1 if outputs else self.draw(1, 1, channels, *[g for g in range(1, channels + 1) if channels % g == 0])
        kernel = tuple(min(self.draw(1, 2, 3, 3), n) for n in size)
        dilation = tuple(self.draw(1, 1, 2) if (k - 1) * 2 < n else 1 for k, n in zip(kernel, size, strict=True))
        padding = tuple(self.draw(0, d * (k // 2)) for k, d in zip(kernel, dilation, strict=True))
        stride = (self.draw(1, 1, 2), self.draw(1, 1, 2))
        if same:
            kernel, dilation, padding, stride = (3, 1), (1, 1), (1, 0), (1, 1)
        row = channels // groups * math.prod(kernel)
        most = max(1, min(MOST_WEIGHTS // row, MOST_VALUES // math.prod(size)) // groups)
        outputs = outputs or groups * int(self.rng.integers(1, max(2, min(most, 12 // groups + 1)) + 1))
        geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return self.layer("conv", (outputs, channels // groups, *kernel), **geometry)

    def _linear(self):
        return self.layer("linear", (int(self.rng.integers(1, 14)), *self.shape))

    def _scale_shift(self):
        channels = self.shape[0]
        return self.put("scale_shift", scale=self.vector(channels, -1.5, 1.5), bias=self.vector(channels, -1, 1))

    def _batch_norm(self):
        channels = self.shape[0]
        return self.put(
            "batch_norm",
            attributes={"eps": self.draw(1e-5, 1e-3)},
            scale=self.vector(channels, -1.5, 1.5),
            bias=self.vector(channels, -1, 1),
            mean=self.vector(channels, -1, 1),
            var=self.vector(channels, 0.2, 2),
        )

    def _dropout(self):
        return self.put("dropout", attributes={"rate": self.draw(0.0, 0.1, 0.5)})

    def function(self, op):
        numbers = {
            "clip": {"low": self.draw(0.0, -1.0, -0.25), "high": self.draw(6.0, 1.0, 0.5)},
            "leaky_relu": {"slope": self.draw(0.01, 0.2, -0.5)},
            "hard_sigmoid": {"alpha": self.draw(1 / 6, 0.2), "beta": 0.5},
            "elu": {"alpha": self.draw(1.0, 0.5)},
        }
        arrays = {"slope": self.vector(self.shape[0], -0.5, 0.5)} if op == "prelu" else {}
        return self.put(op, attributes=numbers.get(op, {}), **arrays)

    def other(self, broadcast):
        """A value that add or mul can take beside the last one."""
        here = self.shape
        alike = [name for name, shape in self.shapes.items() if shape == here]
        if broadcast and len(here) == 3:
            alike += [name for name, shape in self.shapes.items() if shape == (here[0], 1, 1)]
        return self.draw(*alike)

    def _add(self):
        return self.put("add", *self.draw((self.last, self.other(True)), (self.other(True), self.last)))

    def _mul(self):
        """A product of two values, or squeeze-and-excite: means of the channels, a layer, a gate, times the value."""
        here = self.last
        if len(self.shape) == 3 and self.rng.random() < 0.6:
            size = self.shape[1:]
            self.put("avg_pool", attributes={"kernel": size, "stride": size})
            channels = self.shape[0]
            no = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
            self.layer("conv", (channels, channels, 1, 1), **no)
            gate = self.draw(*[op for op in ("sigmoid", "hard_sigmoid", "relu", "clip") if op in self.ops] or [None])
            if gate:
                self.step(gate)
            return self.put("mul", *self.draw((here, self.last), (self.last, here)))
        return self.put("mul", here, self.other(True))

    def _concat(self):
        start, rest = self.last, self.shape[1:]
        if len(self.shape) == 3 and self.rng.random() < 0.5:
            self._conv(int(self.rng.integers(1, 5)), same=True)
        alike = [name for name, shape in self.shapes.items() if shape[1:] == rest and len(shape) == len(rest) + 1]
        others = [self.draw(*alike) for _ in range(self.draw(1, 1, 2))]
        others = others if sum(self.shapes[v][0] for v in others) * math.prod(rest) < MOST_VALUES else [start]
        return self.put("concat", *self.draw((self.last, *others), (*others, self.last)))

    def _slice(self):
        first = int(self.rng.integers(self.shape[0]))
        return self.put("slice", attributes={"first": first, "last": int(self.rng.integers(first, self.shape[0])) + 1})

    def _shuffle(self):
        channels = self.shape[0]
        groups = self.draw(*[g for g in range(1, channels + 1) if channels % g == 0][-3:])
        return self.put("shuffle", attributes={"groups": groups})

    def window(self):
        """kernel, stride and a border within which every window holds a pixel."""
        while True:
            kernel = tuple(self.draw(1, 2, 3, 3) for _ in range(2))
            stride = (self.draw(1, 2, 2, 3), self.draw(1, 2, 2, 3))
            border = tuple(int(self.rng.integers(k)) if self.rng.random() < 0.5 else 0 for k in kernel * 2)
            if all(n + b + a >= k for n, b, a, k in zip(self.shape[1:], border[:2], border[2:], kernel, strict=True)):
                return {"kernel": kernel, "stride": stride, "padding": border}

    def _max_pool(self):
        return self.put("max_pool", attributes=self.window())

    def _avg_pool(self):
        window = self.window()
        if self.rng.random() < 0.2:
            window = {"kernel": self.shape[1:], "stride": self.shape[1:], "padding": (0, 0, 0, 0)}
        counted = tuple(self.draw(0, p, int(self.rng.integers(p + 1))) for p in window["padding"])
        return self.put("avg_pool", attributes={**window, "counted": counted})

    def _adaptive_avg_pool(self):
        channels, height, width = self.shape
        most = [max(1, min(n + 2, math.isqrt(MOST_VALUES // channels))) for n in (height, width)]
        return self.put("adaptive_avg_pool", attributes={"output": tuple(int(self.rng.integers(n)) + 1 for n in most)})

    def _lrn(self):
        numbers = {"alpha": self.draw(1e-4, 0.5), "beta": self.draw(0.75, 0.5), "bias": self.draw(1.0, 2.0)}
        return self.put("lrn", attributes={"size": self.draw(1, 2, 3, 5), **numbers})

    def _subsample(self):
        return self.put("subsample", attributes={"step": self.draw(1, 2, 3)})

    def _pad(self):
        before, after = self.rng.integers(0, 2, (2, 3)).tolist()
        if math.prod(n + 2 for n in self.shape) > MOST_VALUES:
            before = after = (1, 0, 0)
        return self.put("pad", attributes={"before": tuple(before), "after": tuple(after)})
