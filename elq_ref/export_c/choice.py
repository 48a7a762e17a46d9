"""Which form of weights, and so which C function, a layer gets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from .forms.depthwise import INT8_BY_CHANNEL, SIGN_BY_CHANNEL, TWOBIT_BY_CHANNEL
from .forms.fields import SIGN, TWOBIT
from .forms.form import Form
from .forms.int8 import INT8
from .forms.lists import LISTS
from .layers import Layer

FORMS: tuple[Form, ...] = (
    TWOBIT,
    SIGN,
    LISTS,
    INT8,
    TWOBIT_BY_CHANNEL,
    SIGN_BY_CHANNEL,
    INT8_BY_CHANNEL,
)
PROCESSORS = ("portable", "m0", "dsp", "neon")
TARGETS = (*PROCESSORS, "auto")
PREFERENCES = ("size", "speed")

Chosen = tuple[Form, np.ndarray]  # with the words of a layer's weights


def choose(layers: Sequence[Layer], target: str, prefer: str, forms: Sequence[Form] = FORMS) -> dict[int, Chosen]:
    """The form of each conv or linear, by its number.

    speed: the fewest instructions on the target, for "auto" the least of their ratios to the fewest, summed over all
    processors; of equal ones the fewest bytes. size: the fewest bytes of weights and of code together, and of equally
    large ones the fewest instructions.
    """
    options = {
        layer.index: [(form, form.encode(layer)) for form in forms if form.fits(layer)]
        for layer in layers
        if layer.op == "conv"
    }
    known = {layer.index: layer for layer in layers}

    def best(index: int, allowed: Sequence[Form]) -> Chosen:
        own = [option for option in options[index] if option[0] in allowed]
        costs = relative_costs(known[index], [form for form, _ in own], target)
        keys = [(c, len(w)) if prefer == "speed" else (len(w), c) for c, (_, w) in zip(costs, own, strict=True)]
        return own[keys.index(min(keys))]

    if prefer == "speed":
        return {index: best(index, forms) for index in options}
    found = []
    for count in range(1, len(forms) + 1):
        for allowed in itertools.combinations(forms, count):
            if all(any(form in allowed for form, _ in own) for own in options.values()):
                made = {index: best(index, allowed) for index in options}
                size = sum(4 * len(words) for _, words in made.values()) + sum(form.code_bytes for form in allowed)
                cost = sum(form.cost(known[index], p) for index, (form, _) in made.items() for p in processors(target))
                found.append((size, cost, made))
    return min(found, key=lambda option: option[:2])[2]


def processors(target: str) -> tuple[str, ...]:
    """Those that a target stands for."""
    return PROCESSORS if target == "auto" else (target,)


def relative_costs(layer: Layer, forms: Sequence[Form], target: str) -> list[float]:
    """Instructions of each form beside those of the best one, summed over the processors of a target."""
    totals = [0.0] * len(forms)
    for processor in processors(target):
        costs = [form.cost(layer, processor) for form in forms]
        totals = [total + cost / max(min(costs), 1.0) for total, cost in zip(totals, costs, strict=True)]
    return totals
