"""What one must know of a network besides its tensors: which pictures it reads, and what its outputs mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..preprocessing import Normalization


class Described(Protocol):
    """What says of itself which pictures it has and what their labels mean: a data set, a NetworkInfo."""

    @property
    def input_shape(self) -> tuple[int, int, int]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def normalization(self) -> Normalization: ...


@dataclass(frozen=True)
class NetworkInfo:
    """input_shape (C, H, W) of the pictures, their normalization, one name a class, and the model that was built.

    model: its name in elq_ref.models, None for a network of one's own. Checked when it is made: ValueError says what
    was given and what was wanted.

    >>> info = elq.NetworkInfo((3, 32, 32), ("cat", "dog"), elq.datasets.Normalization((0.5,) * 3, (0.25,) * 3))
    >>> train, _ = elq.datasets.digits()
    >>> elq.NetworkInfo.of(train).input_shape
    (1, 8, 8)
    """

    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    normalization: Normalization
    model: str | None = None

    def __post_init__(self) -> None:
        shape = self.input_shape
        if len(shape) != 3 or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"input_shape is {shape}, wanted three integers > 0: (C, H, W)")
        if not self.classes or not all(isinstance(name, str) for name in self.classes):
            raise ValueError(f"classes are {str(self.classes)[:80]}, wanted at least one text")
        if len(self.normalization.mean) != shape[0]:
            raise ValueError(f"{len(self.normalization.mean)} mean(s) for {shape[0]} channel(s)")
        if not isinstance(self.model, str | None):
            raise ValueError(f"model is {str(self.model)[:80]}, wanted a name")

    @classmethod
    def of(cls, about: Described) -> NetworkInfo:
        """The info that a data set states; a NetworkInfo as it is. TypeError for what states none."""
        if isinstance(about, cls):
            return about
        try:
            return cls(about.input_shape, tuple(about.classes), about.normalization)
        except AttributeError:
            raise TypeError(f"given a {type(about).__name__}, wanted a data set or a NetworkInfo") from None

    def to_json(self) -> dict[str, Any]:
        """Plain values from which `from_json` makes the same."""
        values: dict[str, Any] = {
            "input_shape": list(self.input_shape),
            "classes": list(self.classes),
            "normalization": {"mean": list(self.normalization.mean), "std": list(self.normalization.std)},
        }
        return values if self.model is None else {"model": self.model, **values}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> NetworkInfo:
        """The info that a file states; KeyError, TypeError or ValueError for what is missing or wrong."""
        stored = values["normalization"]
        normalization = Normalization(tuple(map(float, stored["mean"])), tuple(map(float, stored["std"])))
        return cls(tuple(values["input_shape"]), tuple(values["classes"]), normalization, values.get("model"))
