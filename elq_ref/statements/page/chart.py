"""Small plots as inline SVG: lines, points and bars between two axes, in the colours of the page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

WIDTH, HEIGHT = 440, 230
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 10, 42
BLUE, RED, SOFT, GOOD, BAND = (f"var(--{name})" for name in ("blue", "red", "soft", "good", "band"))


class Chart:
    """A plot of x in [x0, x1] against y in [y0, y1]; a logarithmic axis takes its numbers' decimal logarithms."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        labels: tuple[str, str],
        logs: tuple[bool, bool] = (False, False),
        legend: str = "right",
    ) -> None:
        self.legend = f'x="{LEFT + 6}"' if legend == "left" else f'x="{WIDTH - RIGHT - 4}" text-anchor="end"'
        self.limits, self.logs = (x, y), logs
        self.parts: list[str] = []
        self.notes: list[str] = []
        self.behind: list[str] = []
        for axis in (0, 1):
            self._axis(axis, labels[axis])

    def line(self, x: Sequence[float], y: Sequence[float], colour: str = BLUE, dashed: bool = False) -> None:
        """Points joined by a line."""
        points = " ".join(f"{self._at(0, a):.1f},{self._at(1, b):.1f}" for a, b in zip(x, y, strict=True))
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>')

    def dots(self, x: Sequence[float], y: Sequence[float], colour: str = RED, size: float = 2.6) -> None:
        """Points."""
        for a, b in zip(x, y, strict=True):
            place = f'cx="{self._at(0, a):.1f}" cy="{self._at(1, b):.1f}"'
            self.parts.append(f'<circle {place} r="{size}" fill="{colour}"/>')

    def bars(self, edges: Sequence[float], heights: Sequence[float], colour: str = BLUE) -> None:
        """A bar from the bottom for every height, between two edges."""
        bottom = self._at(1, self.limits[1][0])
        for a, b, high in zip(edges[:-1], edges[1:], heights, strict=True):
            left, right, top = self._at(0, a), self._at(0, b), self._at(1, high)
            size = f'width="{max(right - left - 0.3, 0.3):.1f}" height="{max(bottom - top, 0):.1f}"'
            self.parts.append(f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="{colour}"/>')

    def band(self, low: float, high: float) -> None:
        """Everything between two x, shaded."""
        left, right = self._at(0, low), self._at(0, high)
        size = f'width="{right - left:.1f}" height="{HEIGHT - TOP - BOTTOM}"'
        self.behind.append(f'<rect x="{left:.1f}" y="{TOP}" {size} fill="{BAND}" opacity=".55"/>')

    def upright(self, x: float, colour: str = SOFT) -> None:
        """A dotted line at x."""
        place = self._at(0, x)
        ends = f'x1="{place:.1f}" x2="{place:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"'
        self.parts.append(f'<line {ends} stroke="{colour}" stroke-dasharray="2 3"/>')

    def note(self, text: str, colour: str = SOFT) -> None:
        """A line of the legend, at the top, on the side that `legend` says."""
        y = TOP + 14 + 16 * len(self.notes)
        self.notes.append(f'<text {self.legend} y="{y}" style="fill:{colour}">{html.escape(text)}</text>')

    def svg(self, title: str) -> str:
        """The plot as an element, which says `title` to who cannot see it."""
        inside = "".join([*self.behind, *self.parts, *self.notes])
        label = html.escape(title, quote=True)
        return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{inside}</svg>'

    def _at(self, axis: int, value: float) -> float:
        """The place of a number on an axis, kept inside the plot."""
        low, high = self.limits[axis]
        if self.logs[axis]:
            value, low, high = (math.log10(max(v, 1e-300)) for v in (value, low, high))
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return LEFT + share * (WIDTH - LEFT - RIGHT) if axis == 0 else HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def _axis(self, axis: int, label: str) -> None:
        low, high = self.limits[axis]
        ticks = _decades(low, high) if self.logs[axis] else _steps(low, high)
        for tick in ticks:
            place = self._at(axis, tick)
            if axis == 0:
                self.behind.append(f'<path d="M{place:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="var(--line)"/>')
                where = f'x="{place:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle"'
            else:
                self.behind.append(f'<path d="M{LEFT} {place:.1f}H{WIDTH - RIGHT}" stroke="var(--line)"/>')
                where = f'x="{LEFT - 5}" y="{place + 4:.1f}" text-anchor="end"'
            self.behind.append(f"<text {where}>{_number(tick)}</text>")
        if axis == 0:
            where = f'x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle"'
        else:
            middle = (TOP + HEIGHT - BOTTOM) / 2
            where = f'x="13" y="{middle}" text-anchor="middle" transform="rotate(-90 13 {middle})"'
        self.behind.append(f"<text {where}>{html.escape(label)}</text>")


def _steps(low: float, high: float) -> list[float]:
    """Four to eight round numbers from low to high."""
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(k for k in (1, 2, 5, 10) if k * unit >= rough)
    return [step * k for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten from low to high, at most seven."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**k for k in range(first, last + 1, max(1, (last - first) // 6))]


def _number(value: float) -> str:
    return (
        f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
        if value and not 1e-3 < abs(value) < 1e5
        else f"{value:g}"
    )
