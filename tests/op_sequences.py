"""Networks of every sequence of a graph's operations, and whether what runs them agrees with the interpreters."""

import itertools
import math

import numpy as np
from runtime_nets import error_bounds, network, normalized, random_pictures, weighted, with_int8

from elq_ref.graph.codes import BITS
from elq_ref.graph.shapes import OPS
from elq_ref.runtime import Node, Session, interpret, interpret_int8

LEVELS = (*BITS, "float")
RUN = (
    *("conv", "linear", "scale_shift", "relu", "add", "max_pool", "avg_pool", "global_avg_pool"),
    *("subsample", "pad", "flatten"),
)
KINDS = [(op, levels) for op in RUN for levels in (LEVELS if "weight" in OPS[op].trainable else ("",))]
PICTURE = (3, 5, 4)
STARTS = ("picture", "flatten", "global_avg_pool")  # values of three axes, of one, and of one that had a single pixel


def sequences(length):
    """Every sequence of `length` kinds of operations."""
    return list(itertools.product(KINDS, repeat=length))


def networks(rng, kinds):
    """A network of the sequence `kinds` behind each start that it can have: (its name, network)."""
    for start in STARTS:
        nodes, shapes = [], {"input": PICTURE}
        first = () if start == "picture" else ((start, ""),)
        if not all(_grow(rng, nodes, shapes, *kind) for kind in (*first, *kinds)):
            continue
        if len(shapes[_last(nodes)]) == 3:
            _grow(rng, nodes, shapes, "flatten", "")
        yield start, network(nodes, PICTURE, math.prod(shapes[_last(nodes)]))


def _last(nodes):
    return nodes[-1].name if nodes else "input"


def _grow(rng, nodes, shapes, op, levels):
    """Add a node that reads the last value; whether there is one for a value of this shape."""
    source, name = _last(nodes), f"{len(nodes)} {op} {levels}".strip()
    shape = shapes[source]
    inputs, attributes, arrays = (source,), {}, {}
    if op == "conv" and len(shape) == 3:
        groups = int(rng.choice([g for g in (1, 3) if shape[0] % g == 0]))
        kernel = tuple(min(int(rng.integers(1, 4)), n) for n in shape[1:])
        weight = (3 * int(rng.integers(1, 3)), shape[0] // groups, *kernel)
        node = weighted(rng, op, name, source, levels, weight, bool(rng.integers(2)), padding=(1, 0), groups=groups)
    elif op == "linear" and len(shape) == 1:
        node = weighted(rng, op, name, source, levels, (int(rng.integers(1, 7)), *shape), bool(rng.integers(2)))
    elif op in ("conv", "linear") or (len(shape) == 1 and op not in ("relu", "add", "scale_shift", "flatten")):
        return False
    else:
        if op == "add":
            inputs += (str(rng.choice([value for value in shapes if shapes[value] == shape])),)
        elif op == "scale_shift":
            arrays = dict(zip(("scale", "bias"), rng.standard_normal((2, shape[0])).astype(np.float32), strict=True))
        elif op in ("max_pool", "avg_pool"):
            attributes = {
                "kernel": tuple(min(2, n) for n in shape[1:]),
                "stride": tuple(rng.integers(1, 3, 2).tolist()),
            }
        elif op == "subsample":
            attributes = {"step": 2}
        elif op == "pad":
            before, after = rng.integers(0, 2, (2, 3)).tolist()
            attributes = {"before": tuple(before), "after": tuple(after)}
        node = Node(op, name, inputs, attributes, **arrays)
    nodes.append(node)
    shapes[name] = OPS[op].shape(node, [shapes[value] for value in node.inputs])
    return True


def disagreements(sequence, seed):
    """What a Session gets wrong for a sequence of kinds, in words; and how many networks were run."""
    rng = np.random.default_rng(seed)
    wrong, count = [], 0
    for start, net in networks(rng, sequence):
        count += 1
        pictures = random_pictures(rng, net, 2)
        x = normalized(net, pictures)
        what = f"{start}: {' -> '.join(' '.join(kind).strip() for kind in sequence)}"
        try:
            off = np.abs(Session(net)(pictures) - interpret(net.graph, x, np.float64))
            if not (off <= error_bounds(net.graph, x)[net.graph.output]).all():
                wrong.append(f"{what}: float32 is off by {off.max()}")
            net = with_int8(net, rng)
            if not np.array_equal(Session(net, "int8").raw(pictures), interpret_int8(net.int8, pictures).raw):
                wrong.append(f"{what}: int8 has other bits")
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {error}")
    return wrong, count
