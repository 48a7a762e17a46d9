"""C's integers, of which some are unknown, for c_meaning.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import z3

TIMES = z3.Function("times", z3.BitVecSort(64), z3.BitVecSort(64), z3.BitVecSort(64))  # modulo 2^64


@dataclass(frozen=True)
class Int:
    bits: int
    signed: bool
    value: Any

    @property
    def known(self) -> bool:
        return isinstance(self.value, int)

    def term(self, bits: int = 0) -> z3.BitVecRef:
        """As a z3 term, of more bits where they are given."""
        bits = bits or self.bits
        if self.known:
            return z3.BitVecVal(self.value, bits)
        extend = z3.SignExt if self.signed else z3.ZeroExt
        return extend(bits - self.bits, self.value) if bits > self.bits else self.value


def integer(value: int, bits: int = 32, signed: bool = True) -> Int:
    """`value` modulo 2^bits."""
    value &= (1 << bits) - 1
    return Int(bits, signed, value - (1 << bits) if signed and value >> bits - 1 else value)


def convert(x: Int, bits: int, signed: bool) -> Int:
    """C's conversion to another integer type."""
    if x.known:
        return integer(x.value, bits, signed)
    return Int(bits, signed, x.term(bits) if bits >= x.bits else z3.Extract(bits - 1, 0, x.value))


class Pointer:
    """An element of a list, of a dict or of a function of an index; kind: (bits, signed) of what is stored there."""

    def __init__(self, cells: Any, at: int = 0, kind: tuple[int, bool] | None = None) -> None:
        self.cells, self.at, self.kind = cells, at, kind

    def get(self, index: int) -> Any:
        return self.cells(self.at + index) if callable(self.cells) else self.cells[self.at + index]

    def put(self, index: int, value: Any) -> None:
        self.cells[self.at + index] = convert(value, *self.kind) if self.kind else value

    def moved(self, by: int) -> Pointer:
        return Pointer(self.cells, self.at + by, self.kind)


ON_NUMBERS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),
    "%": lambda a, b: abs(a) % abs(b) * (-1 if a < 0 else 1),
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
}


def compared(op: str, a: Int, b: Int) -> Int:
    if a.known and b.known:
        order = (a.value > b.value) - (a.value < b.value)
        holds = {"<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0, "==": order == 0, "!=": order != 0}
        return integer(int(holds[op]))
    x, y = a.term(), b.term()
    ordered = {"<": z3.ULT, ">": z3.UGT, "<=": z3.ULE, ">=": z3.UGE}
    if a.signed:
        ordered = {
            "<": lambda p, q: p < q,
            ">": lambda p, q: p > q,
            "<=": lambda p, q: p <= q,
            ">=": lambda p, q: p >= q,
        }
    holds = ordered[op](x, y) if op in ordered else (x == y if op == "==" else x != y)
    return Int(32, True, z3.If(holds, z3.BitVecVal(1, 32), z3.BitVecVal(0, 32)))


def promoted(x: Int) -> tuple[int, bool]:
    return (32, True) if x.bits < 32 else (x.bits, x.signed)


def common(a: Int, b: Int) -> tuple[int, bool]:
    """The type in which C combines two integers."""
    (m, s), (n, t) = promoted(a), promoted(b)
    return max(m, n), all(signed for bits, signed in ((m, s), (n, t)) if bits == max(m, n))
