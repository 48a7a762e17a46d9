"""Claims about numbers of which some are unknown, proved by z3 (c_meaning.py makes them from C)."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Any

import z3
from c_integers import TIMES, Int


class Proof:
    """What is known of the unknowns, and what follows from it.

    Of TIMES(x, y) z3 is told the bounds that those of x and y give where no corner leaves 64 bits:
    a product of two unknowns is one free number, and a proof takes milliseconds.
    """

    def __init__(self, *known: z3.BoolRef) -> None:
        self.known = list(known)
        self._given: dict[int, tuple[z3.BitVecRef, bool, tuple[int, int]]] = {}  # of `unknown`, by the term's id
        self._bounds: dict[int, tuple[z3.ExprRef, list[z3.BoolRef]]] = {}

    def unknown(self, name: str, bits: int, least: int, most: int, signed: bool = True) -> Int:
        """A number of which only its range is known."""
        x = z3.BitVec(name, bits)
        self.known += [x >= least, x <= most] if signed else [z3.UGE(x, least), z3.ULE(x, most)]
        self._given[x.get_id()] = (x, signed, (least, most))
        return Int(bits, signed, x)

    def counterexample(self, claim: z3.BoolRef) -> z3.ModelRef | None:
        """Numbers for which `claim` is false; None where it is proved."""
        solver = z3.Solver()
        solver.set("timeout", 60_000)
        for product in {p.get_id(): p for term in (claim, *self.known) for p in _products(term, set())}.values():
            solver.add(*self.bounds(product))
        solver.add(*self.known, z3.Not(claim))
        found = solver.check()
        assert found != z3.unknown, f"z3 gives up: {solver.reason_unknown()}"
        return solver.model() if found == z3.sat else None

    def proves(self, claim: z3.BoolRef) -> bool:
        return self.counterexample(claim) is None

    def open_duties(self, duties: list[tuple[str, z3.BoolRef]]) -> list[str]:
        """Those of Meaning.duties that do not hold always."""
        return [what for what, sound in duties if not self.proves(sound)]

    def range(self, x: z3.BitVecRef) -> tuple[int, int]:
        """Signed bounds of x: what was given, or of the powers of two and their neighbours the tightest that hold."""
        extended = x.decl().kind() if z3.is_app(x) else None
        if extended in (z3.Z3_OP_SIGN_EXT, z3.Z3_OP_ZERO_EXT):
            _, signed, given = self._given.get(x.arg(0).get_id(), (x, None, (0, 0)))
            if signed is (extended == z3.Z3_OP_SIGN_EXT):
                return given
        solver = z3.Solver()
        solver.add(*self.known)
        powers = [1 << k for k in range(x.size() - 1)]
        places = sorted({s * (n - d) for n in powers for s in (-1, 1) for d in (0, 1)} | {-(1 << x.size() - 1)})

        def holds(claim: z3.BoolRef) -> bool:
            return solver.check(z3.Not(claim)) == z3.unsat

        above = bisect.bisect_left(places, True, key=lambda c: holds(x <= c))
        below = bisect.bisect_left(places, True, key=lambda c: not holds(x >= c)) - 1
        top = (1 << x.size() - 1) - 1
        return places[below], [*places, top][above]

    def bounds(self, product: z3.BitVecRef) -> list[z3.BoolRef]:
        key = product.get_id()
        if key not in self._bounds:
            (a, b), (c, d) = (self.range(product.arg(k)) for k in (0, 1))
            corners = [a * c, a * d, b * c, b * d]
            fits = min(corners) >= -(1 << 63) and max(corners) < 1 << 63
            found = [product >= min(corners), product <= max(corners)] if fits else []
            self._bounds[key] = (product, found)  # the term is kept: its id is its own only while it lives
        return self._bounds[key][1]


def _products(term: Any, seen: set[int]) -> Iterator[z3.BitVecRef]:
    if term.get_id() in seen:
        return
    seen.add(term.get_id())
    if z3.is_app(term) and term.decl() == TIMES:
        yield term
    for child in term.children():
        yield from _products(child, seen)
