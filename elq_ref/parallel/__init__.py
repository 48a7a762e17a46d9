"""Several processes that compute one result: who they are, what each takes of a batch, how sums are made."""

from .world import ALONE, World, here

__all__ = ["ALONE", "World", "here"]
