"""How much code an export becomes, about: on a Cortex-M4, by gcc -O2."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contents import Contents

BYTES = {  # of each of `counts`; by tools/code_size.py, right within a quarter as a rule
    "functions of the header": 1170,
    "self-test": 141,
    "array of the self-test": 17.9,
    "layer with sums": 130,
    "byte of a form": 0.332,  # much of it is shared, or part of the caller
}


def counts(contents: Contents) -> dict[str, int]:
    """What code there is for."""
    forms = {form.name: form.code_bytes for form in contents.forms if form is not None}
    arrays = sum(map(bool, [*(own.text for own in contents.constants), *map(len, contents.words)]))
    tested = contents.expected is not None
    return {
        "functions of the header": 1,
        "self-test": int(tested),
        "array of the self-test": arrays if tested else 0,
        "layer with sums": sum(layer.b is not None for layer in contents.plan.layers),
        "byte of a form": sum(forms.values()),
    }


def about(contents: Contents) -> int:
    """Bytes of code."""
    return round(sum(BYTES[key] * count for key, count in counts(contents).items()))
