"""What one must know of a network besides its tensors: which pictures it reads, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..preprocessing import Normalization, ResizeRule


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
    """input_shape (C, H, W) of the pictures, one name a class, the pictures' normalization, and the model that it is.

    resize: what is done to pictures of another size (elq_ref.preprocessing.ResizeRule).
    model: a name in elq_ref.models, None for a network of one's own. Checked when it is made: ValueError says what was
    given and what was wanted. `of` takes it from a data set, `checkpoint.read` from a file.

    >>> info = elq.NetworkInfo((3, 32, 32), ("cat", "dog"), elq.datasets.Normalization((0.5,) * 3, (0.25,) * 3))
    >>> train, _ = elq.datasets.digits()
    >>> elq.NetworkInfo.of(train).input_shape
    (1, 8, 8)
    """

    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    normalization: Normalization
    model: str | None = None
    resize: str = "stretch"

    def __post_init__(self) -> None:
        ResizeRule.parse(self.resize)
        object.__setattr__(self, "input_shape", _shape(self.input_shape))
        object.__setattr__(self, "classes", _classes(self.classes))
        if self.model is not None:
            _model(self.model)
        if len(self.normalization.mean) != self.input_shape[0]:
            means, channels = len(self.normalization.mean), self.input_shape[0]
            raise ValueError(f"the normalization has {means} channel(s), the pictures have {channels}")

    @classmethod
    def of(cls, about: Described) -> NetworkInfo:
        """The info that a data set states; a NetworkInfo as it is. TypeError for what states none."""
        if isinstance(about, cls):
            return about
        try:
            resize = getattr(about, "resize", None) or "stretch"
            return cls(about.input_shape, tuple(about.classes), about.normalization, resize=resize)
        except AttributeError:
            raise TypeError(f"given a {type(about).__name__}, wanted a data set or a NetworkInfo") from None

    def to_json(self) -> dict[str, Any]:
        """Plain values, of which `stated` makes the fields again."""
        optional = {} if self.model is None else {"model": self.model}
        if self.resize != "stretch":
            optional["resize"] = self.resize
        return optional | {
            "input_shape": list(self.input_shape),
            "classes": list(self.classes),
            "normalization": {"mean": list(self.normalization.mean), "std": list(self.normalization.std)},
        }

    @staticmethod
    def stated(values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that plain values state, all or some or none, each checked; other values are passed over.

        KeyError, TypeError or ValueError for one that cannot be used.
        """
        return {name: read(values[name]) for name, read in _FIELDS.items() if name in values}


def _shape(value: Any) -> tuple[int, int, int]:
    if not isinstance(value, list | tuple) or len(value) != 3 or not all(type(n) is int and n > 0 for n in value):
        raise ValueError(f"input_shape is {str(value)[:80]}, wanted three integers > 0: (C, H, W)")
    channels, height, width = value
    return channels, height, width


def _classes(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError(f"classes are {str(value)[:80]}, wanted at least one text")
    return tuple(value)


def _model(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"model is {str(value)[:80]}, wanted a name")
    return value


def _resize(value: Any) -> str:
    ResizeRule.parse(value)
    return str(value)


def _normalization(value: Any) -> Normalization:
    return Normalization(tuple(map(float, value["mean"])), tuple(map(float, value["std"])))


_FIELDS = {"model": _model, "input_shape": _shape, "classes": _classes, "normalization": _normalization}
_FIELDS["resize"] = _resize
