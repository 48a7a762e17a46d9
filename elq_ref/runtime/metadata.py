"""Metadata: what one must know of a packed network besides its graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..preprocessing import Normalization, ResizeRule

MAX_CLASSES = 1 << 20


@dataclass(frozen=True)
class Metadata:
    """How pictures become the input, what the outputs mean, and where the weights come from.

    normalization: of a uint8 picture, one mean and std per input channel.
    resize: what is done to a picture of another size, a text that elq_ref.preprocessing.ResizeRule reads.
    method: how the weights were made, anything that JSON can hold. library: version that wrote the file.
    """

    classes: tuple[str, ...]
    normalization: Normalization
    resize: str = "stretch"
    method: Mapping[str, Any] = field(default_factory=dict)
    library: str = ""

    def __post_init__(self) -> None:
        if not all(isinstance(name, str) and name.isprintable() for name in (*self.classes, self.library)):
            raise ValueError("class names and library are printable text")
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise ValueError(f"{len(self.classes)} class names, wanted 1 to {MAX_CLASSES}")
        ResizeRule.parse(self.resize)
        if not isinstance(self.method, Mapping):
            raise ValueError("method is not a mapping")
        try:  # through JSON once, so that what is read back equals what was given
            plain = json.loads(json.dumps(dict(self.method), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(f"method does not fit JSON: {error}") from None
        object.__setattr__(self, "method", plain)
