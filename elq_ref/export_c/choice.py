"""Which form of weights, and so which C function, a layer gets."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .code_size import BYTES
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


class Option(NamedTuple):
    """A form that a layer might get. cost: instructions beside the fewest of all forms, summed over processors."""

    form: Form
    words: np.ndarray
    cost: float


def choose(
    layers: Sequence[Layer],
    target: str,
    prefer: str,
    forms: Sequence[Form] = FORMS,
    code: Mapping[str, float] = BYTES,
) -> dict[int, Chosen]:
    """The form of each conv or linear, by its number.

    speed: the fewest instructions on the target, for "auto" the least of their ratios to the fewest, summed over all
    processors; of equal ones the fewest bytes. size: the fewest bytes of weights and of `code` (by name of a form)
    together, and of equally large ones the fewest instructions.
    """
    options = {layer.index: options_of(layer, target, forms) for layer in layers if layer.op == "conv"}
    if prefer == "speed":
        made = {i: min(own, key=lambda option: (option.cost, len(option.words))) for i, own in options.items()}
        return {i: option[:2] for i, option in made.items()}
    usable = list({option.form.name: option.form for own in options.values() for option in own}.values())
    found = []
    for count in range(len(usable) + 1):
        for allowed in itertools.combinations(usable, count):
            left = {i: [option for option in own if option.form in allowed] for i, own in options.items()}
            if not all(left.values()):
                continue
            made = {i: min(own, key=lambda option: (len(option.words), option.cost)) for i, own in left.items()}
            size = sum(4 * len(o.words) for o in made.values()) + sum(code[form.name] for form in allowed)
            found.append((size, sum(o.cost for o in made.values()), made))
    return {i: option[:2] for i, option in min(found, key=lambda one: one[:2])[2].items()}


def options_of(layer: Layer, target: str, forms: Sequence[Form]) -> list[Option]:
    """The forms that can hold a layer's weights."""
    fitting = [form for form in forms if form.fits(layer)]
    totals = np.zeros(len(fitting))
    for processor in PROCESSORS if target == "auto" else (target,):
        costs = np.array([form.cost(layer, processor) for form in fitting])
        totals += costs / max(costs.min(), 1)
    return [Option(form, form.encode(layer), cost) for form, cost in zip(fitting, totals.tolist(), strict=True)]
