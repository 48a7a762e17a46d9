"""The extension modules, which are optional: one of them, or why it is missing."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

INSTEAD = "NumPy computes instead, 10 to 20 times as slowly"


def load(name: str) -> tuple[Any | ModuleType, str | None]:
    """The extension elq_ref.`name` and None, or None and why it is missing: not built, or built but not loadable.

    ValueError where the environment sets ELQ_ISA or ELQ_NUM_THREADS to what they cannot be.
    """
    if find_spec(f"elq_ref.{name}") is None:
        return None, f"the extension elq_ref.{name} is not built"
    try:
        return import_module(f"elq_ref.{name}"), None
    except ImportError as error:
        return None, f"elq_ref.{name} does not load: {error}"
