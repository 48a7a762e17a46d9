"""Which form of weights a layer gets."""

import numpy as np
import pytest

from elq_ref.export_c.choice import FORMS, choose
from elq_ref.export_c.code_size import BYTES
from elq_ref.export_c.forms.form import Form
from elq_ref.export_c.layers import Layer


def form(name, words, cost, fits=lambda layer: True):
    """Of `words` per weight and `cost` per multiply-add, numbers or {processor: number}."""
    costs = cost if isinstance(cost, dict) else dict.fromkeys(("portable", "m0", "dsp", "neon"), cost)
    return Form(
        name,
        f"conv_{name}",
        (),
        fits,
        encode=lambda layer: np.zeros(int(words * layer.k * layer.o), np.uint32),
        scratch_bytes=None,
        cost=lambda layer, target: costs[target] * layer.macs,
    )


def layers(*outputs):
    """Fully connected layers of 100 inputs, behind the input."""
    first = Layer(0, "input", "input", "input", (), 1, 1, 100, 1, 1, 100)
    return [first, *(Layer(i, f"fc{i}", "conv", "linear", (0,), 1, 1, 100, 1, 1, o) for i, o in enumerate(outputs, 1))]


def names(layers, target, prefer, forms, code=None):
    """The forms of layers, where the code of each takes so many bytes, or nothing."""
    chosen = choose(layers, target, prefer, forms, code or {one.name: 0 for one in forms})
    return {i: one.name for i, (one, _) in chosen.items()}


SMALL = form("small", 0.25, {"portable": 2, "m0": 4, "dsp": 2, "neon": 2})
FAST = form("fast", 1, {"portable": 1, "m0": 1, "dsp": 3, "neon": 3})


def test_by_preference_and_processor():
    given = layers(10), "portable"
    assert names(*given, "size", (SMALL, FAST)) == {1: "small"}
    assert names(*given, "speed", (SMALL, FAST)) == {1: "fast"}
    assert names(layers(10), "dsp", "speed", (SMALL, FAST)) == {1: "small"}
    # small: 2 + 4 + 1 + 1 times the best; fast: 1 + 1 + 1.5 + 1.5
    assert names(layers(10), "auto", "speed", (SMALL, FAST)) == {1: "fast"}


def test_equal_ones_by_the_other():
    slow, large = form("slow", 1, 2), form("large", 2, 1)
    assert names(layers(1), "m0", "size", (slow, form("same", 1, 1))) == {1: "same"}
    assert names(layers(1), "m0", "speed", (large, form("same", 1, 1))) == {1: "same"}


def test_a_form_for_a_few_bytes_is_not_worth_its_code():
    """The second layer would save 4 * 0.5 * 100 bytes in a form of its own."""
    first, second = form("first", 0.5, 1), form("second", 0.25, 1, fits=lambda layer: layer.o == 2)
    given = layers(100, 2), "m0", "size", (first, second)
    assert names(*given, {"first": 1000, "second": 150}) == {1: "first", 2: "second"}
    assert names(*given, {"first": 1000, "second": 250}) == {1: "first", 2: "first"}


def test_the_code_of_every_form_is_known():
    assert {one.name for one in FORMS} <= set(BYTES)


def test_what_does_not_fit_is_not_taken():
    small = SMALL._replace(fits=lambda layer: layer.o != 10)
    for prefer in ("size", "speed"):
        assert names(layers(10, 11), "dsp", prefer, (small, FAST)) == {1: "fast", 2: "small"}


@pytest.mark.parametrize("prefer", ["size", "speed"])
def test_a_network_without_weights(prefer):
    assert choose(layers(), "m0", prefer) == {}
