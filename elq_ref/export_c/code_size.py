"""How much code an export becomes, about: on a Cortex-M4, by gcc -O2."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contents import Contents

BYTES: dict[str, float] = {  # by tools/code_size.py, from random and from usual networks; right to 12 % on the average
    "functions of the header": 342,
    "self-test": 732,
    "array of the self-test": 12,
    "layer with sums": 91,
    "other layer": 0,
    "other op": 0,
    "int8": 1460,
    "int8 by channel": 638,
    "2-bit by channel": 700,
    "sign by channel": 700,
    "2-bit": 2112,
    "sign": 2585,
    "lists": 2565,
}


def counts(contents: Contents) -> Counter[str]:
    """What there is of everything in BYTES."""
    found: Counter[str] = Counter({"functions of the header": 1})
    others = set()
    for layer, form in zip(contents.plan.layers, contents.forms, strict=True):
        if form is None:
            others.add(layer.op)
        else:
            found[form.name] = 1
        found["layer with sums" if layer.b is not None else "other layer"] += 1
    found["other op"] = len(others)
    if contents.expected is not None:
        found["self-test"] = 1
        for own, words in zip(contents.constants, contents.words, strict=True):
            found["array of the self-test"] += bool(own.text) + bool(len(words))
    return found


def about(contents: Contents) -> int:
    """Bytes of code."""
    return round(sum(BYTES[key] * count for key, count in counts(contents).items()))
