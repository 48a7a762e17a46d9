"""The text of NAME.h."""

from __future__ import annotations

from .code_size import most
from .contents import Contents
from .planner import ALIGN
from .table import HEAD, aligned, rows
from .text import comment, fragments

ABI = 1


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
        "CODE_BYTES_MOST": (str(most(contents)), "of code on a Cortex-M4 by gcc -O2, estimated from above"),
        "ARITHMETIC_VERSION": (str(contents.arithmetic), "of the definition of every integer"),
        "ABI": (str(ABI), "of these functions"),
        "MODEL_SHA256": (f'"{contents.model_sha256}"', ""),
    }
    if contents.expected is not None:
        macros["SELFTEST"] = ("1", f"{contents.name}_selftest is there")
    lines = [f"#define {upper}_{key} {value}{f' /* {why} */' if why else ''}" for key, (value, why) in macros.items()]
    (text,) = fragments(["net.h"], contents.name)
    if contents.expected is None:
        begin, end = text.index("\n\n/* 0 if all is well"), text.index("_selftest(")
        text = text[:begin] + text[text.index(";", end) + 1 :]
    return text.replace("/* @MACROS@ */", "\n".join(lines)).replace("@LAYERS@", "\n".join(_table(contents))) + "\n"


def _table(contents: Contents) -> list[str]:
    lines = [[comment(cell) for cell in row] for row in [HEAD, *rows(contents)]]
    return [f" * {line}".rstrip() for line in aligned(lines)]
