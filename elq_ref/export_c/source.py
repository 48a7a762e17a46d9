"""The text of NAME.c, NAME_weights.c and NAME_main.c."""

from __future__ import annotations

import numpy as np

from .calls import constants_function, layer_function
from .contents import Contents
from .layers import Layer
from .table import value, what
from .text import array, comment, fragments, hexadecimal, string


def source(contents: Contents) -> str:
    """NAME.c"""
    name = contents.name
    parts = [f'/* {name}.c, made by elq export-c: do not edit. See {name}.h. */\n#include "{name}.h"']
    files = (file for layer in contents.plan.layers for file in _files(contents, layer))
    parts += fragments(["layer.h", *files], name, contents.high_ends)
    if contents.split:
        extern = (
            f"extern const uint32_t {contents.weights_of(layer)}[{len(words)}];"
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
    rows = (f"{{{at}, {size}}}" for at, size in contents.places)
    parts.append(
        "/* Of each layer: where in the arena its value begins, and its bytes. */\n"
        f"static const uint32_t values[{name.upper()}_LAYERS][2] = {array(rows)};"
    )
    parts += [layer_function(contents), *fragments(["driver.c"], name)]
    if contents.expected is not None:
        pairs = (f"{{0x{a:08x}, 0x{b:08x}}}" for a, b in contents.expected)
        parts.append(
            "/* Of each layer: the CRC-32 of its constants, and of its value for the picture of the self-test. */\n"
            f"static const uint32_t expected[{name.upper()}_LAYERS][2] = {array(pairs)};"
        )
        parts += [constants_function(contents), *fragments(["selftest.c"], name)]
    parts += fragments(["argmax_raw.c" if contents.by_sum else "argmax_factor.c"], name)
    texts = "\n".join(f'        {string(layer.name)} "\\0"' for layer in contents.plan.layers)
    (function,) = fragments(["names.c"], name)
    parts.append(function.replace('"@NAMES@"', texts.strip()))
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
    (text,) = fragments(["main.c"], contents.name)
    return text.replace("<@HEADER@>", f'"{contents.name}.h"') + "\n"


def _section(name: str) -> str:
    macro = f"{name.upper()}_SECTION"
    return (
        f"/* What stands before every array of weights, such as a section. */\n#ifndef {macro}\n#define {macro}\n#endif"
    )


def _title(contents: Contents, layer: Layer) -> str:
    form = contents.forms[layer.index]
    sizes = f"{layer.h}x{layer.w}x{layer.c} -> {value(layer)}"
    return f"{layer.index}: {comment(layer.name)}, {what(layer)}, {sizes}" + (f", weights: {form.name}" if form else "")


def _words(contents: Contents, layer: Layer) -> str:
    words = contents.words[layer.index]
    if not len(words):
        return ""
    declared = f"const uint32_t {contents.weights_of(layer)}[{len(words)}]"
    static = f"extern {declared};\n{contents.name.upper()}_SECTION " if contents.split else "static "
    if not contents.split:
        static = f"{contents.name.upper()}_SECTION {static}"
    return f"{static}{declared} = {array(hexadecimal(words.tolist()))};\n"


def _floats(factor: np.ndarray) -> list[str]:
    texts = (f"{float(f):.9g}" for f in factor)
    return [f"{text if {'.', 'e'} & set(text) else text + '.0'}f" for text in texts]


def _files(contents: Contents, layer: Layer) -> tuple[str, ...]:
    form = contents.forms[layer.index]
    return form.fragments if form else (f"{layer.op}.c",)
