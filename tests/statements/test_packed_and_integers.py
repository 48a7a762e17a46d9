"""The chapters "packed" and "integers" of `elq verify`: every check can fail."""

import importlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from elq_ref import statements as room
from elq_ref.graph import nodes
from elq_ref.runtime import integer_interpreter
from elq_ref.runtime.integer_constants import AddScales, Requantize, Tables
from elq_ref.runtime.packed import PackedNetwork
from elq_ref.statements import bits, calibrating, deriving, folding, integers, networks, tables
from elq_ref.statements.elq_file import fields, in_shape

deploy_derive = importlib.import_module("elq_ref.deploy.derive")  # the module: the package's name is the function
FAMILIES = (folding, bits, deriving, tables, integers, calibrating)


@pytest.fixture(autouse=True)
def fresh():
    """No network that was made before, or by broken code."""
    networks.cases.cache_clear()
    yield
    networks.cases.cache_clear()


def scaled(factor):
    """`pack` whose nodes' scales are wrong by a factor."""

    def wrap(right):
        def wrong(*args, **kwargs):
            packed = right(*args, **kwargs)
            changed = tuple(
                n if n.scale is None else replace(n, scale=n.scale * np.float32(factor)) for n in packed.graph.nodes
            )
            return PackedNetwork(replace(packed.graph, nodes=changed), packed.metadata)

        return wrong

    return wrap


def more(amount=1):
    """A result that is too large."""
    return lambda right: lambda *args, **kwargs: right(*args, **kwargs) + amount


def times(factor):
    return lambda right: lambda *args, **kwargs: factor * right(*args, **kwargs)


def negated(right):
    return lambda *args, **kwargs: -right(*args, **kwargs)


def negated_values(right):
    return lambda packed: {name: -w for name, w in right(packed).items()}


def shifted_values(right):
    return lambda *args: {name: value + 1e-9 for name, value in right(*args).items()}


def session(change):
    """A Session whose logits or raw sums are changed."""

    def wrap(right):
        class Wrong(right):
            def __call__(self, x):
                return change(super().__call__(x))

            def raw(self, x):
                return change(super().raw(x))

        return Wrong

    return wrap


def first_bit(right):
    return lambda *args: right(*args) ^ 1


def read_wrong(right):
    """A reader that loses the sign of the biases."""

    def wrong(content):
        graph, metadata, int8 = right(content)
        changed = tuple(n if n.bias is None else replace(n, bias=-n.bias) for n in graph.nodes)
        graph = replace(graph, nodes=changed)
        return graph, metadata, replace(int8, graph=graph)

    return wrong


def written_wrong(right):
    """A writer that says another rule for pictures of another size."""
    return lambda graph, metadata, int8: right(graph, replace(metadata, resize="exact"), int8)


def one_step_up(right):
    """A mantissa one step too large where that stays a mantissa."""

    def wrong(m):
        q, e = right(m)
        return np.where(q < (1 << 31) - 1, q + 1, q), e

    return wrong


def bias_two_steps_off(right):
    return lambda m, bias, sums, clamp: right(m, bias + 2, sums, clamp)


def another_q1(right):
    def wrong(m1, m2):
        add = right(m1, m2)
        return AddScales(add.q1 ^ 1, add.q2, add.s)

    return wrong


def next_entry(right):
    """The last entry of the first table is one more, or one less."""

    def wrong(*args):
        data = right(*args).data.copy()
        data[0, -1] ^= 1
        return Tables(data)

    return wrong


def wider_clip(right):
    return lambda *args: (right(*args)[0], min(right(*args)[1] + 1, 127))


def doubled_factor(right):
    def wrong(*args, **kwargs):
        int8 = right(*args, **kwargs)
        return replace(int8, factor=2 * int8.factor)

    return wrong


def nothing(right):
    return lambda *args, **kwargs: None


def result(**changes):
    """`interpret_int8` with a wrong part in what it returns."""

    def wrap(right):
        def wrong(*args):
            outputs = right(*args)
            return replace(outputs, **{name: change(getattr(outputs, name)) for name, change in changes.items()})

        return wrong

    return wrap


def one_bin_up(right):
    class Wrong(right):
        @classmethod
        def of(cls, x):
            h = right.of(x)
            return right(np.roll(h.counts, 1), h.exponent, h.largest)

    return Wrong


def larger_scales(right):
    def wrong(network, *args):
        made = right(network, *args)
        scales = {name: 1.01 * value for name, value in made.int8.scales.items()}
        return replace(made, int8=replace(made.int8, scales=scales))

    return wrong


def half_a_decibel(right):
    def wrong(*args):
        return [replace(row, total=None if row.total is None else row.total + 0.5) for row in right(*args)]

    return wrong


# (where it is used, its name there, what is done to it, the family, statements that must fail)
SABOTAGE = [
    (networks, "pack", scaled(1 + 1e-6), folding, ["packed BatchNorm"]),
    (networks, "pack", scaled(1 + 1e-5), folding, ["packed the graph computes"]),
    (folding, "unpack", negated_values, folding, ["packed codes and alpha"]),
    (folding, "values", shifted_values, folding, ["packed every operation"]),
    (folding, "Session", session(lambda y: y * np.float32(1.001)), folding, ["packed a Session"]),
    (PackedNetwork, "weight_bytes", lambda right: property(lambda self: 1), folding, ["packed bytes and"]),
    (bits, "pack_codes", first_bit, bits, ["packed codes in bits"]),
    (bits, "pack_trits", first_bit, bits, ["packed trits"]),
    (networks, "to_bytes", written_wrong, bits, ["packed the bytes of a file"]),
    (networks, "from_bytes", read_wrong, bits, ["packed what is read"]),
    (nodes, "check_codes", nothing, bits, ["packed what the page forbids"]),
    (deriving, "input_table", more(), deriving, ["integers the input"]),
    (deriving, "to_int8", negated, deriving, ["integers the input"]),
    (deploy_derive, "_mantissa", one_step_up, deriving, ["integers constants of a req"]),
    (deploy_derive, "_int8", negated, deriving, ["integers weights of float"]),
    (deploy_derive, "_add", another_q1, deriving, ["integers constants of an add"]),
    (networks, "derive", doubled_factor, deriving, ["integers factor"]),
    (Requantize, "prove", nothing, deriving, ["integers headroom"]),
    (integers, "accumulate", more(), integers, ["integers sums", "integers sums of means"]),
    (integers, "accumulate", more(), integers, ["integers products"]),
    (integers, "look_up", first_bit, integers, ["integers what is looked up"]),
    (deploy_derive, "_tables", next_entry, tables, ["integers tables"]),
    (deploy_derive, "_clip", wider_clip, tables, ["integers ends of a clamp"]),
    (tables, "requantize", more(), tables, ["integers how near a product"]),
    (integers, "run_node", negated, integers, ["integers what moves"]),
    (integers, "requantize", first_bit, integers, ["integers a requantization", "integers 32 bits"]),
    (deploy_derive, "_requantize", bias_two_steps_off, integers, ["integers how near"]),
    (integer_interpreter, "_add", first_bit, integers, ["integers addition", "integers every value"]),
    (integers, "interpret_int8", result(raw=lambda raw: raw + 1), integers, ["integers raw"]),
    (integers, "Session", session(lambda y: y + 1), integers, ["integers a Session"]),
    (calibrating, "Histogram", one_bin_up, calibrating, ["integers calibration, histograms"]),
    (calibrating, "scale", times(1.01), calibrating, ["integers calibration, limits", "integers calibration, least"]),
    (calibrating, "calibrate", larger_scales, calibrating, ["integers calibration of a network"]),
    (calibrating, "value_errors", half_a_decibel, calibrating, ["integers the error"]),
]


@pytest.mark.parametrize(("where", "name", "sabotage", "family", "expected"), SABOTAGE)
def test_every_check_can_fail(monkeypatch, where, name, sabotage, family, expected):
    monkeypatch.setattr(where, name, sabotage(getattr(where, name)))
    failed = [line.statement for line in family.lines() if not line.holds]
    for start in expected:
        assert any(statement.startswith(start) for statement in failed), f"{start}: only {failed} failed"


def test_every_statement_holds_and_is_sabotaged():
    lines = [line for family in FAMILIES for line in family.lines()]
    assert {line.chapter for line in lines} == {"packed", "integers"} < set(room.CHAPTERS)
    assert [line.statement for line in lines if not line.holds] == []
    starts = [start for *_, expected in SABOTAGE for start in expected]
    assert [line.statement for line in lines if not any(line.statement.startswith(s) for s in starts)] == []


def test_the_separate_reader_knows_the_worked_example_of_the_format_page():
    assert fields([0x71, 0x01, 0x0F, 0x04], 2, 6, 2) == [[1, 0, -1, 1, 1, 0], [-1, -1, 0, 0, 0, 1]]
    assert fields([0x26, 0x0F], 2, 6, 1) == [[1, -1, -1, 1, 1, -1], [-1, -1, -1, -1, 1, 1]]
    assert in_shape([[1, 2, 3, 4, 5, 6]], (1, 3, 1, 2)) == [[[[1, 4]], [[2, 5]], [[3, 6]]]]
    with pytest.raises(ValueError, match="behind the last"):
        fields([0x26 | 0x80], 1, 6, 1)


def test_the_derivation_knows_the_layer_that_the_page_computes_by_hand():
    worth = [Fraction(1, 16) * Fraction(3, 8) * a for a in (Fraction(2), Fraction(1, 2), Fraction(0))]
    bias = [Fraction(text) for text in ("0.7", "-0.2", "0.34")]
    sums = [Fraction(3), Fraction(3), Fraction(4)]
    assert deriving.derived(worth, bias, sums, Fraction(1, 8), (-128, 127)) == {
        "l": 1,
        "q": [1610612736, 1610612736, 0],
        "s": [33, 35, 33],
        "b": [15, -17, 3],
    }
    assert deriving.add_constants(Fraction(1, 2), Fraction(3, 8)) == [2097152, 1572864, 22]
