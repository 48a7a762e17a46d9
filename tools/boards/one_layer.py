"""Single layers as a program: each runs by its form's C function, is counted, and compared with what it should give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from string import Template
from typing import NamedTuple

import numpy as np

from elq_ref.export_c.constants import constants_of
from elq_ref.export_c.forms.form import Form
from elq_ref.export_c.layers import Layer
from elq_ref.export_c.text import array, fragments, hexadecimal

PROGRAM = Template("""
enum { GUARD = 4, SCRATCH = $scratch };
static uint32_t scratch[2 * GUARD + SCRATCH], value[$values];
static int wrong;

static void *prepare(uint32_t bytes) { /* guarded before it and behind */
    memset(scratch, 0xC3, sizeof scratch);
    memset(scratch + GUARD, 0xA5, bytes);
    return scratch + GUARD;
}

static void compare(const char *name, const void *wanted, uint32_t size, uint32_t bytes) {
    const uint8_t *own = (const uint8_t *)(scratch + GUARD);
    int good = 1;
    for (uint32_t i = 0; i < size; i++) good &= ((const uint8_t *)value)[i] == ((const uint8_t *)wanted)[i];
    if (!good) board_put("wrong: "), board_put(name), board_put("\\n"), wrong = 1;
    for (uint32_t i = 0; i < 4 * GUARD; i++) good &= ((const uint8_t *)scratch)[i] == 0xC3;
    for (uint32_t i = bytes; i < 4 * (SCRATCH + GUARD); i++) good &= own[i] == 0xC3;
    if (!good) board_put("beyond its memory, or wrong: "), board_put(name), board_put("\\n"), wrong = 1;
}

$constants
int main(void) {
    BOARD_COUNT("empty", );
$calls    return wrong;
}
""")
CALL = Template("""    {
        const conv_t layer = {&constants$i.shape, weights$i, constants$i.b, constants$i.q, constants$i.s, $raw};
        void (*volatile run)(const conv_t *, const int8_t *, int8_t *, void *) = $function;
        void *own = prepare($bytes);
        BOARD_COUNT("$name", run(&layer, (const int8_t *)x$i, (int8_t *)value, own));
        compare("$name", wanted$i, sizeof wanted$i, $bytes);
    }
""")


class Case(NamedTuple):
    """x int8 (h, w, c) goes through `layer` by `form`; wanted int8 (p, q, o), int32 where the layer is raw."""

    name: str
    layer: Layer
    form: Form
    x: np.ndarray
    wanted: np.ndarray


def program(cases: Sequence[Case]) -> str:
    """The text of a program that names the cases that went wrong and ends with 1 if there are any; each is a
    BOARD_COUNT with its name.
    """
    constants, calls = "", ""
    for i, (name, layer, form, x, wanted) in enumerate(cases):
        kind = "int32_t" if layer.raw else "int8_t"
        arrays = {
            f"uint32_t weights{i}": hexadecimal(form.encode(layer).tolist()),
            f"uint32_t x{i}": hexadecimal(_words(x).tolist()),
            f"{kind} wanted{i}": map(str, wanted.ravel().tolist()),
        }
        constants += constants_of(replace(layer, index=i)).text
        constants += "".join(f"static const {what}[] = {array(values)};\n" for what, values in arrays.items())
        raw = "(int32_t *)value" if layer.raw else "NULL"
        calls += CALL.substitute(i=i, raw=raw, function=form.function, bytes=_scratch(form, layer), name=name)
    files = fragments(["layer.h", *(file for case in cases for file in case.form.fragments)], "net")
    scratch = max((_scratch(case.form, case.layer) + 3) // 4 for case in cases)
    values = max(-(-case.wanted.nbytes // 4) for case in cases)
    text = PROGRAM.substitute(scratch=max(scratch, 1), values=values, constants=constants, calls=calls)
    return "\n\n".join(['#include "board.h"\n#include <stddef.h>', *files, text])


def _scratch(form: Form, layer: Layer) -> int:
    return form.scratch_bytes(layer) if form.scratch_bytes else 0


def _words(x: np.ndarray) -> np.ndarray:
    """The bytes of an array as words, so that it begins at one."""
    content = np.ascontiguousarray(x, np.int8).tobytes()
    return np.frombuffer(content + bytes(-len(content) % 4), "<u4")
