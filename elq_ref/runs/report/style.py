"""How every figure looks: sizes, colours, and the way to a PNG."""

from __future__ import annotations

import io
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

W, W_HAT, FROZEN, BAND, GRAY = "#0072B2", "#D55E00", "#444444", "#F0E442", "#888888"  # Okabe, Ito: safe for all eyes
CYCLE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#777777", "#6A3D9A")
_STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "savefig.dpi": 160,
}


def styled(draw: Any) -> Any:
    """A function that returns a Figure, drawn in this style and returned as the bytes of a PNG."""

    def drawn(*args: Any) -> bytes:
        with rc_context(_STYLE):
            figure: Figure = draw(*args)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
        return buffer.getvalue()

    drawn.__doc__, drawn.__name__ = draw.__doc__, draw.__name__
    return drawn


def look(place: int) -> tuple[str, str]:
    """Colour and line of the one at this place, from 0, among many: the colours come again, then dashed, dotted."""
    return CYCLE[place % len(CYCLE)], ("-", "--", ":")[place // len(CYCLE) % 3]


def bare(axes: Axes) -> None:
    """No numbers, marks or lines up the side: a plot of a shape."""
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["left"].set_visible(False)
