"""torchvision, whose compiled operators may be absent: what is compared with it needs none of them."""

import importlib
from types import ModuleType

import pytest


def torchvision() -> ModuleType:
    """The module, or a skip. Its import wants the schemas of two operators, which CPU builds of PyTorch lack."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("PIL")
    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        try:
            torch.library.define(f"torchvision::{schema.partition('(')[0]}", schema[schema.index("(") :])
        except RuntimeError:  # it is there already
            continue
    try:
        return importlib.import_module("torchvision")
    except ImportError:
        pytest.skip("torchvision is not installed")
