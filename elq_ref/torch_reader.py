"""PyTorch's files read without PyTorch: tensors and nothing else."""

from __future__ import annotations

import numpy as np


def recognises(content: bytes) -> bool:
    """Whether `content` begins as a PyTorch file does."""
    return False


def bfloat16(values: np.ndarray) -> np.ndarray:
    """bfloat16, given as uint16, as float32: its bits are the upper half of a float32's."""
    return (values.astype(np.uint32) << 16).view(np.float32)


def tensors(content: bytes) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file by name."""
    return {}
