"""Chapter "packed": what `pack` makes of a trained network, against the network in exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np

from ..deploy.packing import codes_of, pack, unpack
from ..elq.levels import binarize, ternarize
from ..graph.nodes import required
from ..nn import BatchNorm2d, Conv2d, Linear
from ..runtime.interpreter import interpret, values
from ..runtime.numpy_backend import NumpyBackend
from ..runtime.packed import PackedNetwork
from ..runtime.session import Session
from . import loops
from .elq_file import ElqFile, Layer, Value, count_of
from .line import Compared, Counted, Line
from .networks import CLASSES, PICTURE, RULE, Case, Mixed, cases, mixed

UNIT = 2.0**-24  # half the distance from 1 to the next float32


def lines() -> Iterator[Line]:
    """Folding, the whole network, codes, operations on real numbers, what a Session computes."""
    folded, whole, levels_back = Compared(), Compared(), Counted()
    for levels in ("ternary", "binary"):
        for seed in range(3):
            net, packed = mixed(levels, seed)
            _folding(folded, net, packed)
            _levels(levels_back, net, packed, levels)
        _whole(whole, net, packed)
    yield folded.line(
        "packed BatchNorm is folded beside the codes",
        "scale = gamma / sqrt(var + eps), bias = (b - mean) scale + beta",
        f"float32 scale and bias of {folded.count} channels, two kinds of node, against 40 decimal digits",
        0.5001,
        "steps of the float32; rounded once, from float64",
    )
    yield whole.line(
        "packed the graph computes what the network computes",
        "y(graph) = y(network in evaluation mode)",
        "the graph in float64 against the module layer by layer in fractions: shortcut, padding, pools, order",
        1e-6,
        "scale and bias are float32: 2^-24 a layer, relative to 1 + |y|",
    )
    yield levels_back.line(
        "packed codes and alpha give W_hat back",
        "alpha c = W_hat bit for bit, zeros +0.0",
        "{count} weights, one alpha a layer or a channel, dead channels, against the weights that were packed",
    )
    yield _operations()
    yield _session()
    yield _sizes()


def _folding(seen: Compared, net: Mixed, packed: PackedNetwork) -> None:
    nodes = {node.name: node for node in packed.graph.nodes}
    for name, norm, layer in (("conv1", net.bn1, net.conv1), ("conv2", net.bn2, net.conv2), ("bn3", net.bn3, None)):
        bias = None if layer is None or layer.bias is None else layer.bias.data
        for channel in range(len(norm.running_mean)):
            scale, shift = folded_by_hand(norm, bias, channel)
            for got, want in ((nodes[name].scale, scale), (nodes[name].bias, shift)):
                seen.see(float(required(got)[channel]), float(want), float(np.spacing(np.float32(abs(want)))))


def folded_by_hand(norm: BatchNorm2d, bias: np.ndarray | None, channel: int) -> tuple[Fraction, Fraction]:
    """(scale, bias) of one channel behind which a BatchNorm stands, to 40 digits."""
    with localcontext() as context:
        context.prec = 40
        mean, var, gamma, beta = (
            Decimal(float(a[channel])) for a in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data)
        )
        scale = gamma / (var + Decimal(norm.eps)).sqrt()
        before = Decimal(0) if bias is None else Decimal(float(bias[channel]))
        return Fraction(scale), Fraction((before - mean) * scale + beta)


def _whole(seen: Compared, net: Mixed, packed: PackedNetwork) -> None:
    x = np.random.default_rng(5).standard_normal((2, *PICTURE)).astype(np.float32)
    got = interpret(packed.graph, x, np.float64)
    for picture, y in zip(x, got, strict=True):
        seen.see(y, [float(v) for v in _by_hand(net, fractions(picture))])


def fractions(array: np.ndarray) -> Value:
    """The numbers of an array, exactly."""
    nested: Value = loops.each(Fraction, array.astype(np.float64).tolist())
    return nested


def _by_hand(net: Mixed, x: Value) -> Value:
    """Mixed in evaluation mode, from its docstring and its parameters."""

    def weighted(module: Conv2d | Linear, x: Value, **attributes: object) -> Value:
        w = module.weight.data
        layer = Layer("conv" if w.ndim == 4 else "linear", "", [], attributes, shape=w.shape)
        bias = fractions(module.bias.data) if module.bias is not None else [Fraction(0)] * len(w)
        return loops.by_channel(lambda o, v: v + bias[o], loops.sums(layer, fractions(w), x))

    def normed(norm: BatchNorm2d, x: Value) -> Value:
        factors = [folded_by_hand(norm, None, c) for c in range(len(x))]
        return loops.by_channel(lambda c, v: factors[c][0] * v + factors[c][1], x)

    def positive(x: Value) -> Value:
        return [loops.each(lambda v: max(v, Fraction(0)), channel) for channel in x]

    one = {"dilation": (1, 1), "padding": (1, 1)}
    first = positive(normed(net.bn1, weighted(net.conv1, x, stride=(1, 1), groups=1, **one)))
    second = normed(net.bn2, weighted(net.conv2, first, stride=(2, 2), groups=2, **one))
    dark = [[Fraction(0)] * 4 for _ in range(4)]
    short = [dark, dark, *([row[::2] for row in channel[::2]] for channel in first)]
    both = [loops.each(lambda a, b: a + b, a, b) for a, b in zip(second, short, strict=True)]
    both = positive(normed(net.bn3, both))
    point = {"dilation": (1, 1), "padding": (0, 0), "stride": (1, 1), "groups": 1}
    read_twice = weighted(net.conv4, normed(net.bn5, normed(net.bn4, weighted(net.conv3, both, **point))), **point)
    sums = zip(normed(net.bn6, read_twice), both, read_twice, strict=True)
    both = [loops.each(lambda a, b, c: max(a + b, Fraction(0)) + c, *channels) for channels in sums]
    largest = [
        [[max(c[i][j], c[i][j + 1], c[i + 1][j], c[i + 1][j + 1]) for j in (0, 2)] for i in range(3)] for c in both
    ]
    mean = [(row[0] + row[1]) / 2 for channel in largest for row in channel]
    return weighted(net.fc2, weighted(net.fc1, mean))


def _levels(seen: Counted, net: Mixed, packed: PackedNetwork, levels: str) -> None:
    for name, back in unpack(packed).items():
        w = net.quantizable()[name].data
        seen.see(back.view(np.uint32), (w + np.float32(0)).view(np.uint32))
        layer = packed.layers[name.removesuffix(".weight")]
        seen.see(layer.levels, levels)
        seen.see(layer.codes(), [[_sign(v, levels) for v in row] for row in w.tolist()])
    rng = np.random.default_rng(3)
    w = rng.standard_normal((4, 5, 2, 1)).astype(np.float32)
    made = ternarize(w, per_channel=True) if levels == "ternary" else binarize(w, per_channel=True)
    codes, alpha = made[0], made[1] * (np.arange(4) != 2).astype(np.float32).reshape(-1, 1, 1, 1)
    w_hat = [[[[a[0][0][0] * v for v in i] for i in c] for c in row] for row, a in zip(codes, alpha, strict=True)]
    found = codes_of(np.array(w_hat, np.float32))
    assert found is not None
    seen.see(found[0].reshape(4, -1)[[0, 1, 3]], codes.reshape(4, -1)[[0, 1, 3]])
    seen.see(found[0].reshape(4, -1)[2], np.full(10, 0 if levels == "ternary" else 1))
    seen.see(found[1], alpha.ravel())
    free = Mixed(levels, 8)
    free.conv1.weight.data = rng.standard_normal(free.conv1.weight.shape).astype(np.float32)
    for per_channel in (False, True):
        given = {"conv1.weight": ternarize(free.conv1.weight.data, per_channel=per_channel)}
        said = pack(free, quantized=given, input_shape=PICTURE, normalization=RULE, classes=CLASSES)
        seen.see([w.levels for w in said.layers.values()], ["ternary", *["float"] * (len(said.layers) - 1)])
        seen.see(said.codes("conv1"), given["conv1.weight"][0])
        seen.see(said.alpha("conv1"), given["conv1.weight"][1].ravel())


def _sign(v: object, levels: str) -> object:
    """The code of a weight that stands on a level."""
    if isinstance(v, list):
        return [_sign(inside, levels) for inside in v]
    assert isinstance(v, float)
    return (v > 0) - (v < 0)


def float_cases() -> Iterator[tuple[Case, np.ndarray, list[dict[str, Value]]]]:
    """(case, its float32 input, every value of the network for each picture exactly)."""
    for case in cases():
        x = normalized(case)
        yield case, x, [loops.real_values(case.file, fractions(picture)) for picture in x]


def normalized(case: Case) -> np.ndarray:
    """(v / 255 - mean) / std of the first picture, in float64, rounded once to float32."""
    rule = case.file.text["input"]
    picture = zip(case.pictures[0].tolist(), rule["mean"], rule["std"], strict=True)
    return np.array([[[[(v / 255 - m) / s for v in row] for row in rows] for rows, m, s in picture]], np.float32)


def _operations() -> Line:
    seen, ops = Compared(), set()
    for case, x, exact in float_cases():
        got = values(case.network.graph, x, np.float64)
        for number, known in enumerate(exact):
            for name, value in known.items():
                seen.see(got[name][number].ravel(), [float(v) for v in loops.flat(value)])
        ops |= {layer.op for layer in case.file.layers}
    return seen.line(
        "packed every operation on real numbers",
        "y_o = scale_o alpha_o sum w x + bias_o; the largest, the mean, zeros, steps, the order",
        f"interpret in float64 against loops over fractions, {len(ops)} operations, {seen.count:,} values",
        1e-11,
        "roundings of a small network, 1e5 eps, relative to 1 + |y|",
    )


def _session() -> Line:
    seen = Compared()
    for case, x, exact in float_cases():
        session = Session(case.network)
        whole = loops.real_values(magnitudes(case), [loops.each(abs, channel) for channel in fractions(x[0])])
        output = case.file.text["output"]
        unit = [UNIT * float(v) for v in whole[output]]
        wanted = [float(v) for v in exact[0][output]]
        seen.see(session(x)[0].astype(np.float64), wanted, np.array(unit))
        plain = NumpyBackend(case.network, "float32", case.network.metadata.normalization.table())
        seen.see(plain.run(x)[0].astype(np.float64), wanted, np.array(unit))
        seen.see(session(case.pictures[:1])[0].astype(np.float64), wanted, np.array(unit))
    return seen.line(
        "packed a Session runs the graph",
        "|y(session) - y| <= n 2^-24 y(|W_hat|, |scale|, |bias|, |x|)",
        f"logits of pictures, of float32 input and without C against loops over fractions, {len(cases())} networks",
        50.0,
        "n: roundings on the way of one logit, in units of 2^-24 times the sum of all magnitudes",
    )


def magnitudes(case: Case) -> ElqFile:
    """The network of a case with the absolute values of all its numbers."""
    layers = [
        Layer(
            a.op,
            a.name,
            a.inputs,
            a.attributes,
            a.levels,
            a.shape,
            [loops.each(abs, row) for row in a.w],
            a.alpha,
            [abs(v) for v in a.scale],
            [abs(v) for v in a.bias],
            [abs(v) for v in a.slope],
        )
        for a in case.file.layers
    ]
    return ElqFile(case.file.text, layers, {}, [], [])


def _sizes() -> Line:
    seen = Counted()
    for case in cases():
        weights = [layer for layer in case.file.layers if layer.levels]
        size = {"ternary": 2, "binary": 1, "float": 32}
        total = 0
        for layer in weights:
            length = count_of(layer.shape[1:])
            total += layer.shape[0] * -(-length * size[layer.levels] // 8)
        total += sum(4 * node.get("alphas", 0) for node in case.file.text["nodes"])
        seen.see(case.network.weight_bytes, total)
        seen.see(case.network.float_bytes, sum(4 * count_of(layer.shape) for layer in weights))
        known = loops.real_values(case.file, fractions(case.pictures[0]))
        work = [len(list(loops.flat(known[a.name]))) * count_of(a.shape[1:]) for a in weights]
        seen.see(list(case.network.macs.values()), work)
    return seen.line(
        "packed bytes and multiply-adds",
        "O ceil((K b) / 8) + 4 alphas bytes, b bits a code; K multiply-adds an output",
        "what the package says of {count} sizes against counting",
    )
