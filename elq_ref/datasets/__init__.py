"""Data sets as arrays, and seeded batches of them."""

from .base import Dataset, Normalization, renormalized
from .batches import Augment, Batches

__all__ = ["Augment", "Batches", "Dataset", "Normalization", "renormalized"]
