"""A network on int8 activations as C99 for a microcontroller: the same bits as in Python. docs/export-c.md explains it.

PackedNetwork with int8 -> layers -> choice of a form for each layer's weights -> planner -> writer -> NAME.h, NAME.c
"""

from .choice import PREFERENCES, TARGETS
from .export import Export, export_c

__all__ = ["PREFERENCES", "TARGETS", "Export", "export_c"]
