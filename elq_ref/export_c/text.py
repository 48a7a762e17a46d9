"""Pieces of C text: comments, strings, arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources

WIDTH = 116
_INCLUDE = re.compile(r'^#include "(.*)"\n', re.M)
# What a network some of whose clamps end below 127 has in the place of what stands in c/.
HIGH_ENDS = {
    "    int16_t lo;         /* results are clamped to lo .. 127 */": (
        "    int8_t lo, hi;      /* results are clamped to lo .. hi */"
    ),
    "int32_t q1, q2, s, lo;": "int32_t q1, q2, s, lo, hi;",
    ">> s, lo, 127)": ">> s, lo, hi)",
    "if (y > 127) return 127;": "if (y > layer->shape->hi) return layer->shape->hi;",
    "vdupq_n_s32(127)": "vdupq_n_s32(g->hi)",
    "sum > 127 ? 127 :": "sum > g->hi ? g->hi :",
}


def comment(text: str) -> str:
    """`text` as it can stand in a comment of C: plain ASCII, nothing that begins or ends one."""
    return re.sub(r"[^A-Za-z0-9_.:,;+=<>()\[\]|% -]", "_", text)


def string(text: str) -> str:
    """A C string literal of the UTF-8 of `text`."""
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def array(values: Iterable[str], indent: int = 0) -> str:
    """An initializer in braces, in lines of at most WIDTH; `indent` is that of the line where it begins."""
    before = " " * (indent + 4)
    lines, line = [], ""
    for value in values:
        if line and len(before) + len(line) + len(value) + 2 > WIDTH:
            lines.append(line)
            line = ""
        line += f"{' ' if line else ''}{value},"
    inside = "".join(f"{before}{line}\n" for line in [*lines, line])
    return f"{{\n{inside}{' ' * indent}}}"


def hexadecimal(words: Iterable[int]) -> Iterable[str]:
    """uint32 as 0x0123abcd."""
    return (f"0x{word:08x}" for word in words)


def fragments(files: Iterable[str], name: str, high_ends: bool = False) -> list[str]:
    """Files of c/ as they stand in the text: `name` in the place of net and NET, each behind those that it includes,
    and once. high_ends: with HIGH_ENDS.
    """
    found: dict[str, str] = {}
    for file in files:
        _collect(file, found)
    for plain, other in HIGH_ENDS.items() if high_ends else ():
        found = {file: text.replace(plain, other) for file, text in found.items()}
    return [
        re.sub(r"\bNET_", f"{name.upper()}_", re.sub(r"\bnet([_.])", rf"{name}\1", text)).strip()
        for text in found.values()
    ]


def _collect(file: str, found: dict[str, str]) -> None:
    if file not in found:
        text = resources.files(__package__).joinpath("c", file).read_text(encoding="utf-8")
        for other in re.findall(_INCLUDE, text):
            _collect(other, found)
        found[file] = re.sub(_INCLUDE, "", text)
