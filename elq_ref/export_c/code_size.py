"""How much code an export becomes at most, as a rule: on a Cortex-M4, by gcc -O2."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contents import Contents

BYTES = {  # of each of `counts`; by tools/code_size.py, those of the forms by channel by themselves
    "the same in all": 950,
    "self-test": 259,
    "array of the self-test": 16,
    "layer with sums": 56,
    "other op": 75,
    "2-bit": 2333,
    "2-bit by channel": 1250,
    "int8": 2010,
    "int8 by channel": 850,
    "lists": 2466,
    "sign": 2729,
    "sign by channel": 1250,
    # what an op takes above "other op" and its layers, each by itself
    "add_channels": 100,
    "adaptive_avg_pool": 400,
    "avg_pool_border": 350,
    "max_pool_border": 130,
    "mul": 300,
    "shuffle": 60,
    "table or operand": 20,
}
BY_CALL = ("through_table", "concat")  # of which a network has many, each a call or some


def counts(contents: Contents) -> dict[str, int]:
    """What code there is for: forms by name, and the rest."""
    arrays = sum(map(bool, [*(own.text for own in contents.constants), *map(len, contents.words)]))
    tested = contents.expected is not None
    layers = contents.plan.layers
    forms = {form.name: 1 for form in contents.forms if form is not None}
    kinds = {layer.op for layer in layers} - {"conv"}
    calls = sum(len(layer.widths) if layer.op == "concat" else 1 for layer in layers if layer.op in BY_CALL)
    own = {"table or operand": calls} | {op: 1 for op in kinds if op in BYTES}
    return (
        forms
        | {key: count for key, count in own.items() if count}
        | {
            "the same in all": 1,
            "self-test": int(tested),
            "array of the self-test": arrays if tested else 0,
            "layer with sums": sum(layer.b is not None for layer in layers),
            "other op": len(kinds),
        }
    )


def most(contents: Contents) -> int:
    """Bytes of code, not often more."""
    return round(sum(BYTES[key] * count for key, count in counts(contents).items()))
