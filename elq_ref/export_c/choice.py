"""Which form of weights, and so which C function, a layer gets."""

from __future__ import annotations

from .forms.form import Form
from .forms.int8 import INT8
from .layers import Layer

FORMS = (INT8,)
TARGETS = ("portable", "m0", "dsp", "neon", "auto")
PREFERENCES = ("size", "speed")


def choose(layer: Layer, target: str, prefer: str) -> Form:
    """The form with the fewest bytes or instructions that can hold the weights; among equal ones the other counts."""

    def rank(form: Form) -> tuple[float, float]:
        size, cost = 4.0 * len(form.encode(layer)), form.cost(layer, target)
        return (size, cost) if prefer == "size" else (cost, size)

    return min((form for form in FORMS if form.fits(layer)), key=rank)
