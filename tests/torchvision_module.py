"""torchvision for tests, by the one helper that imports it without its compiled operators."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def torchvision() -> ModuleType:
    """The module, or a skip."""
    pytest.importorskip("torch")
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("benchmarks/ is not here (tests run from a copy)")
    sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's
    from benchmarks import vision

    try:
        return vision.torchvision()
    except ImportError:
        pytest.skip("torchvision is not installed")
