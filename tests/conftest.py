"""Fixtures of several test files."""

import contextlib

import pytest
from train_kernels import _train

from elq_ref.extensions import load


def _words() -> list[str]:
    """The instruction sets that this CPU has and that training kernels are written for."""
    common, _ = load("_common")
    found = []
    for word in () if _train is None else common.WORDS:
        with contextlib.suppress(ValueError):  # this CPU lacks it
            _train.use(word)
            found += [word] * (_train.isa() == word)
    if _train is not None:
        _train.use()
    return found


@pytest.fixture(params=_words() or ["none"])
def isa(request):
    """Each instruction set of `_words`, in turn."""
    if _train is None:
        pytest.skip("the C kernels are not built")
    _train.use(request.param)
    yield request.param
    _train.use()


@pytest.fixture
def one_torch_thread():
    """PyTorch's threads spin while they wait, which starves ours."""
    import torch

    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(kept)
