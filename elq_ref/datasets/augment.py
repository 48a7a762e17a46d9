"""Augmentation: what is drawn for a picture, and what that makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..splitmix import random_bits

# What random numbers are for; 4 is elq_ref.datasets.split's.
ORDER, ROW, COLUMN, FLIP = range(4)
AREA, ASPECT = 5, 6
TRIES = 10


@dataclass(frozen=True)
class Augment:
    """A random crop of the picture padded by `pad` pixels on every side, mirrored half the time if `flip`.

    The padding is black: 0 before normalization. Each of the (2 pad + 1)^2 crops is as likely as the others.
    """

    pad: int
    flip: bool

    def __post_init__(self) -> None:
        if self.pad < 0:
            raise ValueError(f"pad is {self.pad}, wanted an integer >= 0")


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random part of a picture in a file, scaled to the network's input; mirrored half the time if `flip`.

    Its area is a share of the picture's, uniform in `scale`; columns / rows of it is log-uniform in `ratio`; of ten
    such draws the first that fits lies somewhere in the picture, each place as likely. If none fits, the largest
    central part whose ratio is in `ratio`: torchvision's definition, by Pillow's bilinear filter as there.
    """

    scale: tuple[float, float] = (0.35, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True

    def __post_init__(self) -> None:
        if not (0 < self.scale[0] <= self.scale[1] <= 1 and 0 < self.ratio[0] <= self.ratio[1] < math.inf):
            raise ValueError(f"scale {self.scale}, ratio {self.ratio}: wanted two ascending each, > 0, of scale <= 1")

    def box(self, height: int, width: int, draws: Draws, k: int) -> tuple[int, int, int, int]:
        """(top, left, rows, columns) of the part of a picture that the draws of sample k of a batch choose."""
        low, high = (math.log(end) for end in self.ratio)
        for area, aspect in zip(draws.area[k].tolist(), draws.aspect[k].tolist(), strict=True):
            target = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * area)
            ratio = math.exp(low + (high - low) * aspect)
            columns, rows = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
            if 0 < columns <= width and 0 < rows <= height:
                top = below(height - rows + 1, int(draws.row[k]))
                return top, below(width - columns + 1, int(draws.column[k])), rows, columns
        rows, columns = height, width
        if width / height < self.ratio[0]:
            rows = round(width / self.ratio[0])
        elif width / height > self.ratio[1]:
            columns = round(height * self.ratio[1])
        return (height - rows) // 2, (width - columns) // 2, rows, columns


@dataclass(frozen=True, eq=False)
class Draws:
    """The random numbers of RandomResizedCrop for n samples: area, aspect float64 (n, TRIES) in [0, 1); row, column
    uint64 (n,) below 2^32.
    """

    area: np.ndarray
    aspect: np.ndarray
    row: np.ndarray
    column: np.ndarray

    @classmethod
    def of(cls, seed: int, epoch: int, samples: np.ndarray) -> Draws:
        tries = samples[:, None] * TRIES + np.arange(TRIES)
        area, aspect = ((random_bits(seed, epoch, what, tries) >> 11) * 2.0**-53 for what in (AREA, ASPECT))
        return cls(area, aspect, *(upper(seed, epoch, what, samples) for what in (ROW, COLUMN)))


def upper(seed: int, epoch: int, purpose: int, samples: np.ndarray) -> np.ndarray:
    """uint64 (N,), uniform below 2^32, one a sample."""
    bits: np.ndarray = random_bits(seed, epoch, purpose, samples) >> np.uint64(32)
    return bits


def below(limit: int, bits: int) -> int:
    """An integer 0 <= i < limit from one of `upper`, uneven by less than limit / 2^32."""
    return bits * limit >> 32
