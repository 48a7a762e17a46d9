"""Plots of finished runs and the page that holds them. Needs matplotlib: the extra `plot`."""

from .page import write_report

__all__ = ["write_report"]
