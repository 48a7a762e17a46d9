"""What a Plan may borrow from elsewhere: no source of ELQ has it, and at its defaults nothing is borrowed."""

from __future__ import annotations

from dataclasses import dataclass

from .levels import SCALES


@dataclass(frozen=True, kw_only=True)
class Borrowed:
    """The options of a Plan that are not ELQ's, off by default [C]; docs/method.md says from where each is taken.

    scale: rule for alpha (elq_ref.elq.levels.scale): "elq", or "twn" of TWN (ternary only), or "l2" of least squares.
    per_channel: one alpha an output channel, as in XNOR-Net, and not one a layer.
    restart: share of the learning rate of stage 0 with which every later stage starts, > 0.
    a1_rise, a2_rise: two rising shares of the run's passes between which a1, or a2, rises from 0 (elq_ref.elq.rising);
        () for one that is constant.
    freeze_to: "nearest", or "frequent": weights freeze on the level they were on most often (elq_ref.elq.averages).
    """

    scale: str = "elq"
    per_channel: bool = False
    restart: float = 1.0
    a1_rise: tuple[float, ...] = ()
    a2_rise: tuple[float, ...] = ()
    freeze_to: str = "nearest"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"scale is {self.scale!r}, wanted one of {', '.join(SCALES)}")
        if not self.restart > 0:
            raise ValueError(f"restart is {self.restart}, wanted a share > 0 of the learning rate of stage 0")
        if self.freeze_to not in ("nearest", "frequent"):
            raise ValueError(f"freeze_to is {self.freeze_to!r}, wanted one of nearest, frequent")
        for name in ("a1_rise", "a2_rise"):
            ends = getattr(self, name)
            if ends and not (len(ends) == 2 and 0 <= ends[0] < ends[1] <= 1):
                raise ValueError(f"{name} is {ends}, wanted two rising shares of the run in [0, 1], or none")
