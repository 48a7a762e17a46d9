"""Two traces side by side, in order of computation: the first that differs is the first cause."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .decisions import undecided
from .trace import KINDS, Trace, load

# Largest difference in units of the tensor's largest value, by dtype of the traces (the coarser), where ours
# states no bound of its own.
# float64: rounding after tens of steps of a free run stays near 1e-14, and a different rule shows above 1e-6.
# float32: just above the widest bound of one step that tools/golden/rounding.py derives for the golden run.
RELATIVE = {"float64": 1e-10, "float32": 1e-3}
FOLLOWS = "follows from ties that were decided the other way"
LISTED = 20  # differing tensors that the text lists


@dataclass(frozen=True)
class Finding:
    """One tensor: largest difference, its bound, the first place (C order) beyond it (None: within).

    excuse: why a difference beyond the bound is no mistake: ties that were decided the other way, or what follows them.
    """

    step: str
    name: str
    largest: float
    bound: float
    place: tuple[int, ...] | None = None
    ours: str = ""
    theirs: str = ""
    remark: str = ""
    excuse: str = ""

    @property
    def within(self) -> bool:
        """Within its bound."""
        return self.place is None and not self.remark

    @property
    def ok(self) -> bool:
        """Within its bound, or beyond it by what ties explain."""
        return self.within or bool(self.excuse)

    def __str__(self) -> str:
        head = f"step {self.step}  {self.name}: "
        size = f"largest difference {self.largest:.3g}, bound {self.bound:.3g}"
        if self.within:
            return head + size
        if self.excuse:
            return f"{head}{size}; {self.excuse}"
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

    @property
    def tied(self) -> Finding | None:
        """The first tensor beyond its bound by what ties explain: from there on the two are different runs."""
        return next((f for f in self.findings if f.excuse), None)

    def table(self) -> str:
        """One line for every tensor, in order of computation."""
        return "\n".join(f"{_word(f):<7}  {f}" for f in self.findings)

    @property
    def ok(self) -> bool:
        """Something was compared, and everything compared is within its bound or beyond it by what ties explain."""
        return bool(self.findings) and self.first is None

    def __str__(self) -> str:
        lines = []
        first, tied = self.first, self.tied
        within = [f for f in self.findings if f.within]
        if first is not None:
            bad = [f for f in self.findings if not f.ok]
            lines.append(f"DIFFERS  {first}")
            lines.append(f"{len(bad)} of {len(self.findings)} tensors differ, in order of computation:")
            lines += [f"  {f}" for f in bad[:LISTED]]
            lines += [f"  ... and {len(bad) - LISTED} more"] if len(bad) > LISTED else []
        elif tied is not None:
            lines.append(f"AGREES  as far as ties let it be judged: {len(within)} of {len(self.findings)} tensors")
        elif self.findings:
            lines.append(f"AGREES  {len(self.findings)} tensors, each within its bound; the widest of each kind:")
            lines += [f"  {f}" for f in _widest(self.findings)]
        else:
            lines.append("NOTHING TO COMPARE  the traces have no tensor name in common")
        if tied is not None:
            later = sum(f.excuse == FOLLOWS for f in self.findings)
            lines.append(f"TIES  {tied}")
            lines.append(f"{later} later tensors follow from ties and are not judged. To judge them: record both with ")
            lines[-1] += "--break-ties, or start every step from the recorded state (docs/crosscheck.md)."
        for whose, names in (("ours", self.only_ours), ("theirs", self.only_theirs)):
            if names:
                lines.append(f"only in {whose}: {_kinds(names)}")
        return "\n".join(lines)


def compare(ours: str | os.PathLike[str] | Trace, theirs: str | os.PathLike[str] | Trace) -> Differences:
    """Compare two traces (paths or loaded) tensor by tensor in order of computation.

    Integers and bools must be equal. Floats may differ by the bound that ours states for the tensor, if both
    started this step from the same bits; else (a free run) by RELATIVE times the larger of the tensor's
    largest value and a thousandth of the largest of its kind in the step. NaN equals nothing.

    Beyond its bound a tensor is still right where it lies within what ties explain: gradients by the slack that a trace
    states (`crosscheck.ties`), levels, bands and s at their thresholds (`crosscheck.decisions`). What follows from such
    a decision is not judged, until a step begins with equal bits again.
    """
    a = ours if isinstance(ours, Trace) else load(ours)
    b = theirs if isinstance(theirs, Trace) else load(theirs)
    relative = max(RELATIVE[_dtype(trace)] for trace in (a, b))
    findings: list[Finding] = []
    before: dict[str, np.ndarray] = {}
    depends: tuple[str, ...] = ()  # kinds that follow from a tie
    for step in a.groups():
        inside, prefix = a.group(step), f"{step}/"
        other = {name[len(prefix) :]: value for name, value in b.tensors.items() if name.startswith(prefix)}
        scales = _scales(inside)
        same_state = _same_state(step, inside, b)
        stated = a.meta.get("bounds", {}) if same_state else {}
        depends = () if same_state or not depends else _after("lr")
        for name, value in inside.items():
            kind = _kind(name)
            if name not in other or kind.startswith("slack"):
                continue
            bound = stated.get(f"{step}/{name}")
            if bound is None:
                bound = relative * max(_largest(value), 1e-3 * scales[kind])
            found = _judge(step, name, value, other[name], bound, inside)
            if found.place is not None and kind in depends:
                found = replace(found, excuse=FOLLOWS)
            elif found.place is not None and (
                excuse := _excuse(name, other[name], bound, inside, other, before, a.meta)
            ):
                found = replace(found, excuse=excuse)
                depends += ("grad_total", "velocity_after", "w_after") if kind.startswith("grad") else _after(kind)
            findings.append(found)
        before = inside
    return Differences(
        findings,
        [name for name in a.tensors if name not in b.tensors and "/slack" not in name],
        [name for name in b.tensors if name not in a.tensors and "/slack" not in name],
    )


def _after(kind: str) -> tuple[str, ...]:
    """The kinds that are computed after `kind` in a step."""
    kinds = tuple(KINDS)
    return kinds[kinds.index(kind) + 1 :]


def _excuse(
    name: str,
    theirs: np.ndarray,
    bound: float,
    inside: dict[str, np.ndarray],
    other: dict[str, np.ndarray],
    before: dict[str, np.ndarray],
    meta: dict[str, Any],
) -> str:
    """How ties explain that theirs is beyond its bound of inside[name]; "" where they do not."""
    value = inside[name]
    difference = np.abs(value.astype(np.float64) - theirs.reshape(value.shape).astype(np.float64))
    slack_name = name.replace("grad", "slack", 1)
    slack = inside.get(slack_name, other.get(slack_name)) if _kind(name).startswith("grad") else None
    if slack is not None and slack.shape == value.shape:
        explained = difference <= bound + slack
        return f"ties explain up to {slack.max():.3g} in one element" if explained.all() else ""
    mask = undecided(name, inside, before, meta)
    if mask is not None and mask.shape == value.shape and (mask | (difference <= bound)).all():
        return f"at {int(mask.sum())} place(s) rounding decides"
    return ""


def _dtype(trace: Trace) -> str:
    """float32 if any array of the trace is: scalars may be kept in float64."""
    narrow = any(value.dtype == np.float32 for value in trace.tensors.values())
    return "float32" if narrow else "float64"


def _same_state(step: str, group: dict[str, np.ndarray], theirs: Trace) -> bool:
    """Whether theirs holds the very weights, momenta and statistics that ours starts the step from."""
    state = [name for name in group if _kind(name) in ("w", "velocity", "buffer")]
    return all(np.array_equal(group[name], theirs.tensors.get(f"{step}/{name}", np.nan)) for name in state)


def _word(f: Finding) -> str:
    return "ok" if f.within else "tie" if f.ok else "DIFFERS"


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
