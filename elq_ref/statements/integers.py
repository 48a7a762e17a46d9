"""Chapter "integers": what runs on int8 activations, against exact arithmetic on Python's integers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np

from ..deploy.derive import derive, scaled_values
from ..graph.codes import pack_codes
from ..graph.nodes import Node, Weight
from ..preprocessing import Normalization
from ..runtime.integer import IntegerNode
from ..runtime.integer_constants import Requantize
from ..runtime.integer_interpreter import accumulate, interpret_int8, look_up, requantize
from ..runtime.interpreter import run_node, values
from ..runtime.packed import PackedNetwork
from ..runtime.session import Session
from . import geometry, loops
from .deriving import nearest, scaled_sums, worths
from .elq_file import ElqFile, Layer, Value, shapes
from .line import Compared, Counted, Line
from .networks import cases, network, node

CHOOSING = ("relu", "max_pool", "subsample", "pad", "flatten", "slice", "shuffle")
HALF = Fraction(1, 2)
LINEAR = Layer("linear", "y", ["x"], {})


def lines() -> Iterator[Line]:
    """Sums, their requantization in two forms, additions, what moves, the result, a Session."""
    yield from _nodes()
    yield from _requantization()
    yield _near()
    yield _additions()
    yield from _results()
    yield _session()


def operand(rng: np.random.Generator, shape: tuple[int, ...], number: int) -> np.ndarray:
    """An int8 value: both ends alone, then any."""
    x = rng.integers(-128, 128, shape) if number else rng.choice([-128, 127], shape)
    return x.astype(np.int8)


def _nodes() -> Iterator[Line]:
    """Every node of every network on int8 values of its own."""
    rng = np.random.default_rng(4)
    weighted, means, products, chosen, looked = (Counted() for _ in range(5))
    ops: dict[str, set[str]] = {"moved": set(), "looked up": set()}
    for case in cases():
        lengths = shapes(case.file.text, case.file.layers)
        running = zip(case.int8.nodes, loops.steps(case.file), strict=True)
        for (made, (layer, name, _)), number in ((pair, k) for pair in running for k in range(2)):
            arrays = [operand(rng, lengths[i], number) for i in layer.inputs]
            given, lists = [x[None] for x in arrays], [x.tolist() for x in arrays]
            if layer.op in CHOOSING:
                chosen.see(run_node(made, *given)[0], loops.moved(layer, *lists))
                ops["moved"].add(layer.op)
            elif layer.op in loops.TABLED:
                tables = case.file.constants[name]["tables"]
                looked.see(look_up(made, *given)[0], loops.looked_up(layer, tables, *lists))
                ops["looked up"].add(layer.op)
            elif layer.op != "add":
                seen = {"mul": products}.get(layer.op, means if layer.op in geometry.AVERAGES else weighted)
                seen.see(accumulate(made, *given)[0], loops.accumulated(layer, case.file.constants[name], *lists))
    yield weighted.line(
        "integers sums",
        "acc_o = sum w x + b_o, w the codes, negated where A_o < 0",
        "{count} accumulators of conv, linear and scale_shift, groups, dilation and both ends of int8, against loops",
    )
    yield means.line(
        "integers sums of means",
        "acc = x_1 + .. + x_N of what a window sees",
        "{count} accumulators of avg_pool, also with a border, adaptive_avg_pool and global_avg_pool against loops",
    )
    yield products.line(
        "integers products",
        "acc = x_1 x_2, of one shape or (C, 1, 1) with (C, H, W)",
        "{count} accumulators of mul against loops",
    )
    yield chosen.line(
        "integers what moves or chooses",
        "max(x_1, .., x_N), max(x, 0), zeros around x, one in k, the order (C, H, W), channels",
        f"{{count}} values of {', '.join(sorted(ops['moved']))} on int8 against loops",
    )
    yield looked.line(
        "integers what is looked up",
        "y = t(x), t of the function, of its channel, or of the operand",
        f"{{count}} values of {', '.join(sorted(ops['looked up']))} on int8 against the file's tables by loops",
    )


@cache
def edges() -> list[tuple[Requantize, int, np.ndarray]]:
    """(constants, lower end, accumulators): ties of both signs, the last ones with headroom, the ends of the clamp."""
    rng = np.random.default_rng(6)
    found = []
    for number in range(60):
        l = int(rng.integers(0, 24))
        q = np.array([2**30, 2**31 - 1, 3 * 2**29, int(rng.integers(2**30, 2**31))], np.int32)
        s = np.clip(33 + l - rng.integers(0, 6, 4) + number % 30, 33, 62).astype(np.uint8)
        last = (2**31 - 1) >> l
        acc = np.concatenate([[0, 1, -1, last, -last], rng.integers(-last, last + 1, 20)])
        for steps in (-129, -128.5, -3.5, -0.5, 0.5, 2.5, 126.5, 127.5):  # near s / q of these, and where exact, on it
            near = int(steps * 2.0 ** (float(s[0]) - 30 - l))
            acc = np.append(acc, np.clip([near - 1, near, near + 1], -last, last))
        constants = Requantize(l, np.zeros(4, np.int32), q, s)
        found.append((constants, -128 if number % 2 else 0, acc.astype(np.int64)))
    constant = Requantize(5, np.array([7, -9], np.int32), np.zeros(2, np.int32), np.array([33, 33], np.uint8))
    return [*found, (constant, -128, np.array([7, -9]))]


def _requantization() -> Iterator[Line]:
    exact, short = Counted(), Counted()
    for constants, lo, acc in edges():
        outputs = len(constants.q)
        made = IntegerNode("linear", "y", "y", ("x",), {}, (outputs,), requantize=constants, lo=lo)
        sums = np.repeat(acc[:, None], outputs, 1)
        if constants.constant.any():
            sums = acc[None]
        got = requantize(made, sums)
        for row, seen in zip(got, sums.tolist(), strict=True):
            says = {"l": constants.l, **{key: getattr(constants, key).tolist() for key in ("q", "s")}}
            exact.see(row, loops.requantized(LINEAR, says, (lo, 127), [], seen))
            high = [_high_word(v, constants.l, q, s) for v, q, s in zip(seen, says["q"], says["s"], strict=True)]
            short.see(row, [loops.clamp(v, lo, 127) for v in high])
    yield exact.line(
        "integers a requantization is one rounding",
        "y = clamp(floor((acc 2^l q) / 2^s + 1/2), lo, 127)",
        "{count} int8 of the definition, ties of both signs and the last accumulators with headroom, against fractions",
    )
    yield short.line(
        "integers 32 bits are enough",
        "y = clamp((high32((acc << l) q) + r) >> (s - 32), lo, 127), r = 2^(s - 33), 2 b in a constant channel",
        "{count} int8 of the definition in 64 bits against the high word in integers that are checked to be int32",
    )


def _high_word(acc: int, l: int, q: int, s: int) -> int:
    """The form of 32 bits; ValueError where one of its numbers leaves them."""
    shifted, r = acc << l, 2 ** (s - 33) if q else 2 * acc
    high = (shifted * q) // 2**32
    total = high + r
    if not all(-(2**31) <= v < 2**31 for v in (shifted, q, high, r, total)):
        raise ValueError(f"acc {acc}, l {l}, q {q}, s {s} leave 32 bits")
    return total >> (s - 32)


def _near() -> Line:
    """How far y is from the real number before the clamp, in units of what the page allows."""
    seen, rng = Compared(), np.random.default_rng(9)
    for case in cases():
        lengths = shapes(case.file.text, case.file.layers)
        for layer, name, _, of in worths(case.file):
            if layer.op not in (*loops.SUMMED, "mul"):
                continue
            constants = case.file.constants[name]
            worth, bias, sums = scaled_sums(layer, of, lengths[layer.inputs[0]])
            for o, (w, big, total) in enumerate(zip(worth, bias, sums, strict=True)):
                m, big = w / of[name], big / of[name]
                if not constants["q"][o]:
                    continue
                for acc in rng.integers(-128 * int(total), 128 * int(total) + 1, 5).tolist():
                    y = loops.rounded(acc + constants["b"][o], constants["l"], constants["q"][o], constants["s"][o])
                    real = m * acc + big
                    seen.see(float(y), float(real), float(HALF + m / 2 + Fraction(1, 4)))
    return seen.line(
        "integers how near a requantization is",
        "|y - (m sum w x + B / s_out)| <= 1/2 + m/2 + 1/4",
        f"{seen.count:,} sums of every channel with the constants of its file, against fractions",
        1.0,
        "1/2: its rounding; m/2: that of b; 1/4: that of q; in units of all three",
    )


def _additions() -> Line:
    """All pairs of int8, behind two convolutions that pick a channel each and change nothing."""
    seen = Counted()
    ends = np.arange(-128, 128, dtype=np.int8)
    pairs = np.stack(np.meshgrid(ends[::3], ends[::5], indexing="ij"))
    for scales, relu in (((0.5, 0.25, 1.0), False), ((0.02, 3.0, 2.5), True), ((1.0, 1.0, 0.4), False)):
        pick = [_pick(c, f"x{c}") for c in range(2)]
        nodes = [*pick, Node("add", "sum", ("x0", "x1")), *([Node("relu", "y", ("sum",))] if relu else [])]
        name = nodes[-1].name
        made = network([*nodes, Node("global_avg_pool", "out", (name,))], pairs.shape)
        of = dict(zip(("x0", "x1", name), scales, strict=True))
        int8 = derive(made, {"input": 1.0, "out": 1.0} | of)
        got = interpret_int8(int8, pairs[None]).values
        add = next(n.add for n in int8.nodes if n.add is not None)
        constants = {"q": [add.q1, add.q2], "s": add.s}
        a, b = (got[f"x{c}"][0].tolist() for c in range(2))
        seen.see(got[name][0], loops.added(constants, (0 if relu else -128, 127), a, b))
    return seen.line(
        "integers addition",
        "y = clamp((x_1 q_1 + x_2 q_2 + 2^(s - 1)) >> s, lo, 127)",
        "{count} sums of pairs that cover int8, with and without a ReLU, against fractions rounded half up",
    )


def _pick(channel: int, name: str) -> Node:
    """conv 1x1 from (2, H, W) to one of its channels."""
    codes = np.zeros((1, 2, 1, 1), np.int8)
    codes[0, channel] = 1
    one = np.ones(1, np.float32)
    attributes = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    weight = Weight("ternary", codes.shape, pack_codes(codes, "ternary"), one)
    return Node("conv", name, ("input",), attributes, weight, one, np.zeros(1, np.float32))


def of_picture(file: ElqFile, picture: np.ndarray) -> Value:
    """The int8 input of a uint8 picture, by the file's table."""
    channels = zip(file.table, picture.tolist(), strict=True)
    return [loops.each(table.__getitem__, channel) for table, channel in channels]


def _results() -> Iterator[Line]:
    """Whole networks: every value, raw and logits."""
    whole, raws = Counted(), Counted()
    for case in cases():
        got = interpret_int8(case.int8, case.pictures)
        for number, picture in enumerate(case.pictures):
            known, raw = loops.integer_values(case.file, of_picture(case.file, picture))
            for name, value in known.items():
                whole.see(got.values[name][number], value)
            raws.see(got.raw[number], raw)
            logits = [np.float32(float(f) * v) for f, v in zip(case.file.factor, raw, strict=True)]
            raws.see(got.logits[number], logits)
    yield whole.line(
        "integers every value of a network",
        "int8(graph) from pictures through the table to the last value",
        "{count} int8 of the definition against loops over Python's integers with the file's constants",
    )
    yield raws.line(
        "integers raw and logits",
        "raw_o = acc_o, b_o in a constant channel, >= 0 behind a ReLU, int8 where none is summed; logit = factor raw",
        "{count} numbers of networks that end in sums, constants, a ReLU, a mean and an addition, against loops",
    )


def wide() -> Iterator[tuple[PackedNetwork, np.ndarray]]:
    """Calibrated networks of widths that vector kernels are made for, and pictures."""
    rng = np.random.default_rng(13)
    for levels in ("ternary", "binary"):
        nodes = [
            node(rng, "conv", "conv1", "input", levels, (40, 3, 3, 3), padding=(1, 1)),
            Node("relu", "relu1", ("conv1",)),
            node(rng, "conv", "conv2", "relu1", levels, (72, 40, 3, 3), True, padding=(1, 1), stride=(2, 2)),
            node(rng, "conv", "short", "relu1", levels, (72, 40, 1, 1), stride=(2, 2)),
            Node("add", "sum", ("conv2", "short")),
            Node("relu", "relu2", ("sum",)),
            node(rng, "conv", "depth", "relu2", levels, (72, 1, 3, 3), padding=(1, 1), groups=72),
            node(rng, "conv", "floats", "depth", "float", (33, 72, 1, 1)),
            Node("max_pool", "pool", ("floats",), {"kernel": (2, 2), "stride": (2, 2)}),
            Node("flatten", "flat", ("pool",)),
            node(rng, "linear", "fc", "flat", levels, (10, 33 * 9)),
        ]
        made = network(nodes, (3, 11, 12), Normalization((0.5,) * 3, (0.25,) * 3))
        pictures = rng.integers(0, 256, (3, 3, 11, 12), np.uint8)
        known = values(made.graph, made.metadata.normalization.apply(pictures))
        scales = {name: float(np.abs(known[name]).max()) / 140 for name in scaled_values(made)}
        yield replace(made, int8=derive(made, scales)), pictures


def _session() -> Line:
    seen = Counted()
    every = [(case.network, case.pictures) for case in cases()] + list(wide())
    for made, pictures in every:
        session = Session(made, activations="int8")
        int8 = made.int8
        assert int8 is not None
        wanted = interpret_int8(int8, pictures)
        seen.see(session.raw(pictures), wanted.raw)
        seen.see(session(pictures), wanted.logits)
        x = made.metadata.normalization.apply(pictures)
        scale = Fraction(int8.scales[made.graph.input])
        as_int8 = [nearest(Fraction(v) / scale) for v in x.ravel().tolist()]
        seen.see(session.raw(x), interpret_int8(int8, np.array(as_int8, np.int8).reshape(x.shape)).raw)
    runs = "C" if Session(every[0][0]).arena_bytes else "NumPy"
    return seen.line(
        "integers a Session gives the definition's bits",
        "raw(Session) = raw(definition)",
        f"{{count}} numbers of {len(every)} networks, pictures and float32 input, by {runs} against the definition",
    )
