"""The text of an exported network: NAME.h, NAME.c, NAME_weights.c and NAME_main.c."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from ..runtime.integer import ARITHMETIC_VERSION
from .constants import Constants
from .forms.form import Form
from .layers import INPUT, RAW, Layer
from .planner import ALIGN, Plan
from .text import array, comment, hexadecimal, string, with_prefix

ABI = 1


@dataclass(frozen=True)
class Contents:
    """All that the text says. name: the prefix. forms, words, constants: of each layer; a layer without weights has no
    form. by_sum: whether the class of the largest raw is that of the largest logit. expected: CRC-32 of the constants
    and of the value of each layer for the self-test, or None without one. split: weights in a file of their own.
    """

    name: str
    model_sha256: str
    plan: Plan
    forms: Sequence[Form | None]
    words: Sequence[np.ndarray]
    constants: Sequence[Constants]
    factor: np.ndarray
    by_sum: bool
    expected: Sequence[tuple[int, int]] | None
    split: bool

    @property
    def weight_bytes(self) -> int:
        """Of the weights of all layers in flash."""
        return sum(4 * len(words) for words in self.words)

    @property
    def constant_bytes(self) -> int:
        """Of all constants in flash, the weights among them."""
        tables = 8 * len(self.plan.layers) * (1 if self.expected is None else 2)
        return self.weight_bytes + sum(len(c.content) for c in self.constants) + self.factor.nbytes + tables

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.plan.layers)


def fragment(file: str, name: str) -> str:
    """A file of c/ as it stands in the text."""
    return with_prefix(resources.files(__package__).joinpath("c", file).read_text(encoding="utf-8"), name).strip()


def places(layers: Sequence[Layer], at: Sequence[int]) -> list[tuple[int, int]]:
    """Where in the arena each layer's value lies and how long it is."""
    return [(start, layer.bytes) for layer, start in zip(layers, at, strict=True)]


def header(contents: Contents) -> str:
    """NAME.h"""
    plan, upper = contents.plan, contents.name.upper()
    first, last = plan.layers[0], plan.layers[-1]
    macros = {
        "ARENA_BYTES": (str(plan.bytes), "of memory that a call works in"),
        "ARENA_ALIGN": (str(ALIGN), "what its address is a multiple of"),
        "ARENA_BOUND": (str(plan.bound), "no order of the layers needs less, scratch memory apart"),
        "INPUT_BYTES": (str(first.bytes), f"rows, columns, channels: {first.h} x {first.w} x {first.c}"),
        "CLASSES": (str(last.p * last.q * last.o), "results"),
        "LAYERS": (str(len(plan.layers)), "the input among them"),
        "MACS": (str(contents.macs), "multiply-adds for a picture"),
        "WEIGHT_BYTES": (str(contents.weight_bytes), "of weights in flash"),
        "CONSTANT_BYTES": (str(contents.constant_bytes), "of all constants in flash, the weights among them"),
        "ARITHMETIC_VERSION": (str(ARITHMETIC_VERSION), "of the definition of every integer"),
        "ABI": (str(ABI), "of these functions"),
        "MODEL_SHA256": (f'"{contents.model_sha256}"', ""),
    }
    if contents.expected is not None:
        macros["SELFTEST"] = ("1", f"{contents.name}_selftest is there")
    lines = [f"#define {upper}_{key} {value}{f' /* {why} */' if why else ''}" for key, (value, why) in macros.items()]
    text = fragment("net.h", contents.name)
    if contents.expected is None:
        begin, end = text.index("\n\n/* 0 if all is well"), text.index("_selftest(")
        text = text[:begin] + text[text.index(";", end) + 1 :]
    return text.replace("/* @MACROS@ */", "\n".join(lines)).replace("@LAYERS@", layer_table(contents)) + "\n"


def layer_table(contents: Contents) -> str:
    """Lines of a comment: number, name, op, sizes, multiply-adds, form and bytes of weights of every layer."""
    rows = [["", "layer", "", "value", "MACs", "weights", "bytes"]]
    for layer, form, words in zip(contents.plan.layers, contents.forms, contents.words, strict=True):
        macs, bytes_ = (f"{n:,}" if n else "" for n in (layer.macs, 4 * len(words)))
        rows.append(
            [
                str(layer.index),
                comment(layer.name),
                _what(layer),
                _value(layer),
                macs,
                form.name if form else "",
                bytes_,
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = {0, 4, 6}
    lines = []
    for row in rows:
        cells = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        lines.append(f" * {'  '.join(cells)}".rstrip())
    return "\n".join(lines)


def _what(layer: Layer) -> str:
    window = f" {layer.kh}x{layer.kw}" if layer.kind in ("conv", "max_pool", "avg_pool") else ""
    step = f" by {layer.sy}x{layer.sx}" if max(layer.sy, layer.sx) > 1 else ""
    return f"{layer.kind}{window}{step}" + (f" in {layer.groups} groups" if layer.groups > 1 else "")


def _value(layer: Layer) -> str:
    return f"{layer.p}x{layer.q}x{layer.o}"


def source(contents: Contents) -> str:
    """NAME.c"""
    name = contents.name
    parts = [f'/* {name}.c, made by elq export-c: do not edit. See {name}.h. */\n#include "{name}.h"']
    files = ["layer.h", *dict.fromkeys(file for layer in contents.plan.layers for file in _fragments(contents, layer))]
    parts += [fragment(file, name) for file in files]
    if contents.split:
        extern = (
            f"extern const uint32_t {_weights(contents, layer)}[{len(words)}];"
            for layer, words in zip(contents.plan.layers, contents.words, strict=True)
            if len(words)
        )
        parts.append("\n".join((f"/* in {name}_weights.c */", *extern)))
    else:
        parts.append(_section(name))
    for layer, constants in zip(contents.plan.layers, contents.constants, strict=True):
        text = constants.text if contents.split else constants.text + _words(contents, layer)
        if text:
            parts.append(f"/* {_title(contents, layer)} */\n{text}".rstrip())
    parts.append(f"const float {name}_factor[{name.upper()}_CLASSES] = {array(_floats(contents.factor))};")
    rows = (f"{{{at}, {size}}}" for at, size in places(contents.plan.layers, contents.plan.at))
    parts.append(
        "/* Of each layer: where in the arena its value begins, and its bytes. */\n"
        f"static const uint32_t values[{name.upper()}_LAYERS][2] = {array(rows)};"
    )
    parts += [_layer_function(contents), fragment("crc32.c", name), fragment("driver.c", name)]
    if contents.expected is not None:
        pairs = (f"{{0x{a:08x}, 0x{b:08x}}}" for a, b in contents.expected)
        parts.append(
            "/* Of each layer: the CRC-32 of its constants, and of its value for the picture of the self-test. */\n"
            f"static const uint32_t expected[{name.upper()}_LAYERS][2] = {array(pairs)};"
        )
        parts += [_constants_function(contents), fragment("selftest.c", name)]
    parts.append(fragment("argmax_raw.c" if contents.by_sum else "argmax_factor.c", name))
    texts = "\n".join(f'        {string(layer.name)} "\\0"' for layer in contents.plan.layers)
    parts.append(fragment("names.c", name).replace('"@NAMES@"', texts.strip()))
    return "\n\n".join(parts) + "\n"


def weights(contents: Contents) -> str:
    """NAME_weights.c"""
    name = contents.name
    parts = [f"/* {name}_weights.c, made by elq export-c: do not edit. */\n#include <stdint.h>", _section(name)]
    for layer in contents.plan.layers:
        if text := _words(contents, layer):
            parts.append(f"/* {_title(contents, layer)} */\n{text}".rstrip())
    return "\n\n".join(parts) + "\n"


def testbench(contents: Contents) -> str:
    """NAME_main.c"""
    text = fragment("main.c", contents.name)
    return f'{text.partition("*/")[0]}*/\n#include "{contents.name}.h"{text.partition("*/")[2]}\n'


def _section(name: str) -> str:
    macro = f"{name.upper()}_SECTION"
    return (
        f"/* What stands before every array of weights, such as a section. */\n#ifndef {macro}\n#define {macro}\n#endif"
    )


def _title(contents: Contents, layer: Layer) -> str:
    form = contents.forms[layer.index]
    what = f"{layer.index}: {comment(layer.name)}, {_what(layer)}, {layer.h}x{layer.w}x{layer.c} -> {_value(layer)}"
    return what + (f", weights: {form.name}" if form else "")


def _weights(contents: Contents, layer: Layer) -> str:
    return f"{contents.name}_weights{layer.index}" if contents.split else f"weights{layer.index}"


def _words(contents: Contents, layer: Layer) -> str:
    words = contents.words[layer.index]
    if not len(words):
        return ""
    declared = f"const uint32_t {_weights(contents, layer)}[{len(words)}]"
    static = f"extern {declared};\n{contents.name.upper()}_SECTION " if contents.split else "static "
    if not contents.split:
        static = f"{contents.name.upper()}_SECTION {static}"
    return f"{static}{declared} = {array(hexadecimal(words.tolist()))};\n"


def _floats(factor: np.ndarray) -> list[str]:
    texts = (f"{float(f):.9g}" for f in factor)
    return [f"{text if {'.', 'e'} & set(text) else text + '.0'}f" for text in texts]


def _fragments(contents: Contents, layer: Layer) -> list[str]:
    form = contents.forms[layer.index]
    if form is not None:
        return ["tail.c", *form.fragments]
    tail = ["tail.c"] if layer.op in ("scale_shift", "avg_pool") else []
    return [*tail, f"{layer.op}.c"]


def _layer_function(contents: Contents) -> str:
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
        f"    switch (i) {{\n{cases}\n    }}\n}}"
    )


def _call(contents: Contents, layer: Layer) -> str:
    plan, own = contents.plan, f"constants{layer.index}"
    y = f"a + {plan.at[layer.index]}"
    x = [f"a + {plan.at[i]}" for i in layer.operands]
    size = layer.p * layer.q * layer.o
    if layer.op == INPUT:
        return f"input({own}, {layer.c}, picture, {y}, {size})"
    if layer.op == RAW:
        return f"widen({x[0]}, raw, {size})"
    if layer.op == "relu":
        return f"relu({x[0]}, {y}, {size})"
    if layer.op == "add":
        return f"add(&{own}, {x[0]}, {x[1]}, {y}, {size})"
    if layer.op == "pad":
        return f"pad(&{own}, {layer.front}, {x[0]}, {y})"
    if layer.b is None:
        return f"{layer.op}(&{own}, {x[0]}, {y})"
    words = _weights(contents, layer) if len(contents.words[layer.index]) else "NULL"
    raw = "raw" if layer.raw else "NULL"
    literal = f"&(const conv_t){{&{own}.shape, {words}, {own}.b, {own}.q, {own}.s, {raw}}}"
    form = contents.forms[layer.index]
    scratch = f", a + {plan.scratch[layer.index]}" if form is not None and form.scratch_bytes is not None else ""
    y = "NULL" if layer.raw else y
    break_ = "\n" + " " * 12
    return f"{form.function if form else layer.op}({literal},{break_}{x[0]}, {y}{scratch})"


def _constants_function(contents: Contents) -> str:
    lines = []
    for layer, constants in zip(contents.plan.layers, contents.constants, strict=True):
        own = f"constants{layer.index}"
        objects = [own if layer.op == INPUT else f"&{own}"] if constants.text else []
        objects += [_weights(contents, layer)] if len(contents.words[layer.index]) else []
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
        f"    switch (i) {{\n{cases}\n    }}\n    return crc;\n}}"
    )
