"""Checking another implementation against this one by traces that any language can read and write."""

from typing import Any

from .differences import Differences, Finding, compare
from .trace import Trace, load, schema

__all__ = ["Differences", "Finding", "Trace", "compare", "load", "record", "schema"]


def __getattr__(name: str) -> Any:
    if name == "record":  # needs the training code, which comparing does not
        from .recording import record

        return record
    raise AttributeError(f"elq_ref.crosscheck has no attribute {name!r}")
