"""Two traces side by side, in order of computation: the first that differs is the first cause."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np

from .trace import KINDS, Trace, load

# Largest difference in units of the tensor's largest value, by dtype of the traces (the coarser), where ours
# states no bound of its own.
# float64: rounding after tens of steps of a free run stays near 1e-14, and a different rule shows above 1e-6.
# float32: just above the widest bound of one step that tools/golden/rounding.py derives for the golden run.
RELATIVE = {"float64": 1e-10, "float32": 1e-3}
LISTED = 20  # differing tensors that the text lists


@dataclass(frozen=True)
class Finding:
    """One tensor: largest difference, its bound, the first place (C order) beyond it (None: within)."""

    step: str
    name: str
    largest: float
    bound: float
    place: tuple[int, ...] | None = None
    ours: str = ""
    theirs: str = ""
    remark: str = ""

    @property
    def ok(self) -> bool:
        """Within its bound."""
        return self.place is None and not self.remark

    def __str__(self) -> str:
        head = f"step {self.step}  {self.name}: "
        size = f"largest difference {self.largest:.3g}, bound {self.bound:.3g}"
        if self.ok:
            return head + size
        if self.place is None:
            return head + self.remark
        where = f"[{', '.join(map(str, self.place))}]" if self.place else "value"
        note = f" ({self.remark})" if self.remark else ""
        return f"{head}first differs at {where}{note}: ours {self.ours}, theirs {self.theirs}; {size}"


@dataclass(frozen=True)
class Differences:
    """All tensors that both traces hold, in order of computation, and the names that one side lacks."""

    findings: list[Finding]
    only_ours: list[str] = field(default_factory=list)
    only_theirs: list[str] = field(default_factory=list)

    @property
    def first(self) -> Finding | None:
        """The first tensor beyond its bound: the cause, or the nearest recorded thing after it."""
        return next((f for f in self.findings if not f.ok), None)

    def table(self) -> str:
        """One line for every tensor, in order of computation."""
        return "\n".join(f"{'ok     ' if f.ok else 'DIFFERS'}  {f}" for f in self.findings)

    @property
    def ok(self) -> bool:
        """Something was compared, and everything compared is within its bound."""
        return bool(self.findings) and self.first is None

    def __str__(self) -> str:
        lines = []
        first = self.first
        if first is not None:
            bad = [f for f in self.findings if not f.ok]
            lines.append(f"DIFFERS  {first}")
            lines.append(f"{len(bad)} of {len(self.findings)} tensors differ, in order of computation:")
            lines += [f"  {f}" for f in bad[:LISTED]]
            lines += [f"  ... and {len(bad) - LISTED} more"] if len(bad) > LISTED else []
        elif self.findings:
            lines.append(f"AGREES  {len(self.findings)} tensors, each within its bound; the widest of each kind:")
            lines += [f"  {f}" for f in _widest(self.findings)]
        else:
            lines.append("NOTHING TO COMPARE  the traces have no tensor name in common")
        for whose, names in (("ours", self.only_ours), ("theirs", self.only_theirs)):
            if names:
                lines.append(f"only in {whose}: {_kinds(names)}")
        return "\n".join(lines)


def compare(ours: str | os.PathLike[str] | Trace, theirs: str | os.PathLike[str] | Trace) -> Differences:
    """Compare two traces (paths or loaded) tensor by tensor in order of computation.

    Integers and bools must be equal. Floats may differ by the bound that ours states for the tensor, if both
    started this step from the same bits; else (a free run) by RELATIVE times the larger of the tensor's
    largest value and a thousandth of the largest of its kind in the step. NaN equals nothing.
    """
    a = ours if isinstance(ours, Trace) else load(ours)
    b = theirs if isinstance(theirs, Trace) else load(theirs)
    relative = max(RELATIVE[_dtype(trace)] for trace in (a, b))
    findings = []
    for step in a.groups():
        inside = a.group(step)
        scales = _scales(inside)
        stated = a.meta.get("bounds", {}) if _same_state(step, inside, b) else {}
        for name, value in inside.items():
            other = b.tensors.get(f"{step}/{name}")
            if other is not None:
                bound = stated.get(f"{step}/{name}")
                if bound is None:
                    bound = relative * max(_largest(value), 1e-3 * scales[_kind(name)])
                findings.append(_judge(step, name, value, other, bound, inside))
    return Differences(
        findings,
        [name for name in a.tensors if name not in b.tensors],
        [name for name in b.tensors if name not in a.tensors],
    )


def _dtype(trace: Trace) -> str:
    """float32 if any array of the trace is: scalars may be kept in float64."""
    narrow = any(value.dtype == np.float32 for value in trace.tensors.values())
    return "float32" if narrow else "float64"


def _same_state(step: str, group: dict[str, np.ndarray], theirs: Trace) -> bool:
    """Whether theirs holds the very weights, momenta and statistics that ours starts the step from."""
    state = [name for name in group if _kind(name) in ("w", "velocity", "buffer")]
    return all(np.array_equal(group[name], theirs.tensors.get(f"{step}/{name}", np.nan)) for name in state)


def _kind(name: str) -> str:
    return name.partition("/")[0]


def _scales(group: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest value of each kind in a step: what is tiny beside it is rounding, not a result."""
    found: dict[str, float] = {}
    for name, value in group.items():
        found[_kind(name)] = max(found.get(_kind(name), 0.0), _largest(value))
    return found


def _largest(value: np.ndarray) -> float:
    return float(np.abs(value).max()) if value.dtype.kind == "f" and value.size else 0.0


def _judge(step: str, name: str, a: np.ndarray, b: np.ndarray, bound: float, group: dict[str, np.ndarray]) -> Finding:
    if np.squeeze(a).shape == np.squeeze(b).shape:
        b = b.reshape(a.shape)  # a scale of a layer is a scalar to many
    if a.shape != b.shape:
        return Finding(step, name, np.inf, 0.0, remark=f"ours has shape {a.shape}, theirs {b.shape}")
    if (a.dtype.kind == "f") != (b.dtype.kind == "f"):
        return Finding(step, name, np.inf, 0.0, remark=f"ours is {a.dtype}, theirs {b.dtype}")
    if a.dtype.kind != "f":
        bound = 0.0
    with np.errstate(invalid="ignore"):  # inf - inf
        difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
    beyond = ~(difference <= bound)
    largest = float(difference.max()) if a.size else 0.0
    if not beyond.any():
        return Finding(step, name, largest, bound)
    place = tuple(int(i) for i in np.argwhere(beyond)[0])
    return Finding(step, name, largest, bound, place, _show(a[place]), _show(b[place]), _state(name, place, group))


def _show(value: np.generic) -> str:
    return f"{value:.9g}" if value.dtype.kind == "f" else str(value)


def _state(name: str, place: tuple[int, ...], group: dict[str, np.ndarray]) -> str:
    """Whether the weight at `place` is frozen: it differs for other causes than a free one."""
    frozen = group.get(f"frozen/{name.rpartition('/')[2]}")
    if frozen is None or _kind(name) == "frozen" or len(place) != frozen.ndim or _kind(name) not in KINDS:
        return ""
    return "a frozen weight" if frozen[place] else "a free weight"


def _widest(findings: list[Finding]) -> list[Finding]:
    """Of each kind the finding that uses most of its bound, in order of computation."""
    best: dict[str, Finding] = {}
    for f in findings:
        kept = best.get(_kind(f.name))
        if kept is None or f.largest * max(kept.bound, 1e-300) > kept.largest * max(f.bound, 1e-300):
            best[_kind(f.name)] = f
    return list(best.values())


def _kinds(names: list[str]) -> str:
    counts: dict[str, int] = {}
    for name in names:
        kind = _kind(name.partition("/")[2])
        counts[kind] = counts.get(kind, 0) + 1
    return ", ".join(f"{kind} ({count})" for kind, count in counts.items())
