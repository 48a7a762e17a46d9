"""The two functions of NAME.c that know the layers: what runs one, and what takes the CRC-32 of its constants."""

from __future__ import annotations

from ..graph.nodes import required
from .constants import changing
from .contents import Contents
from .layers import INPUT, RAW, Layer
from .text import comment


def layer_function(contents: Contents) -> str:
    lines = []
    for layer in contents.plan.layers:
        lines += [
            f"    case {layer.index}: /* {comment(layer.name)} */",
            f"        {_call(contents, layer)};",
            "        break;",
        ]
    cases = "\n".join(lines)
    return (
        "/* Computes the value of layer i. */\n"
        "static void run_layer(int i, int8_t *a, const uint8_t *picture, int32_t *raw) {\n"
        f"    switch (i) {{\n{cases}\n    default:\n        break;\n    }}\n}}"
    )


def _call(contents: Contents, layer: Layer) -> str:
    plan, own = contents.plan, f"constants{layer.index}"
    y, x = _place(plan.at[layer.index]), [_place(plan.at[i]) for i in layer.operands]
    size = layer.p * layer.q * layer.o
    if layer.op == INPUT:
        return f"input({own}, {layer.c}, picture, {y}, {size})"
    if layer.op == RAW:
        return f"widen({x[0]}, raw, {size})"
    if layer.op == "through_table":
        return f"through_table({own}, {len(required(layer.table))}, {x[0]}, {y}, {size})"
    if layer.op == "concat":
        return _concat(contents, layer, x)
    if layer.op == "relu":
        return f"relu({x[0]}, {y}, {size})"
    if layer.op == "add":
        return f"add(&{own}, {x[0]}, {x[1]}, {y}, {size})"
    if layer.op == "add_channels":
        return f"add_channels(&{own}, {layer.widths[1]}, {x[0]}, {x[1]}, {y}, {size})"
    if layer.op in ("pad", "slice"):
        return f"{layer.op}(&{own}, {layer.front}, {x[0]}, {y})"
    if layer.b is None:
        return f"{layer.op}(&{own}, {x[0]}, {y})"
    words = contents.weights_of(layer) if len(contents.words[layer.index]) else "NULL"
    raw = "raw" if layer.raw else "NULL"
    literal = f"&(const conv_t){{&{own}.shape, {words}, {own}.b, {own}.q, {own}.s, {raw}}}"
    form = contents.forms[layer.index]
    scratch = f", {_place(plan.scratch[layer.index])}" if form is not None and form.scratch_bytes is not None else ""
    y = "a" if layer.raw else y  # of which nothing is written then; from NULL gcc would derive a wrong access
    break_ = "\n" + " " * 12
    function = form.function if form else layer.op
    if layer.op == "mul":
        return f"mul({literal},{break_}{layer.widths[1]}, {x[0]}, {x[1]}, {y})"
    if layer.counts is not None:
        counted = f", {own}.counted" if layer.op == "avg_pool_border" else ""
        return f"{function}({literal},{break_}{own}.counts{counted}, {x[0]}, {y})"
    return f"{function}({literal},{break_}{x[0]}, {y}{scratch})"


def _concat(contents: Contents, layer: Layer, x: list[str]) -> str:
    """A call for each operand, whose channels it puts in their place."""
    start, tables, calls = contents.plan.at[layer.index], 0, []
    for operand, channels, changes in zip(x, layer.widths, changing(layer), strict=True):
        table = f"constants{layer.index} + {256 * tables}" if changes else "NULL"
        calls.append(f"join({table}, {operand}, {channels}, {_place(start)}, {layer.o}, {layer.p * layer.q})")
        start, tables = start + channels, tables + int(changes)
    return (";\n" + " " * 8).join(calls)


def _place(offset: int) -> str:
    """An address in the arena."""
    return f"a + {offset}" if offset else "a"


def constants_function(contents: Contents) -> str:
    lines = []
    for layer, constants in zip(contents.plan.layers, contents.constants, strict=True):
        own = f"constants{layer.index}"
        objects = [own if layer.table is not None else f"&{own}"] if constants.text else []
        objects += [contents.weights_of(layer)] if len(contents.words[layer.index]) else []
        objects += [f"{contents.name}_factor"] if layer is contents.plan.layers[-1] else []
        if objects:
            lines.append(f"    case {layer.index}:")
            lines += [f"        crc = crc32(crc, {o}, sizeof {o.removeprefix('&')});" for o in objects]
            lines.append("        break;")
    cases = "\n".join(lines)
    return (
        "/* The CRC-32 of what layer i is made of. */\n"
        "static uint32_t crc_of_constants(int i) {\n"
        "    uint32_t crc = crc32(0, values[i], sizeof values[i]);\n"
        f"    switch (i) {{\n{cases}\n    default:\n        break;\n    }}\n    return crc;\n}}"
    )
