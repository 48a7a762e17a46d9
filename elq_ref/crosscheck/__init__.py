"""Checking another implementation against this one by traces that any language can read and write."""

from .recording import record
from .report import Finding, Report, compare
from .trace import Trace, load, schema

__all__ = ["Finding", "Report", "Trace", "compare", "load", "record", "schema"]
