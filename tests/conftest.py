"""Fixtures of several test files."""

import pytest
from train_kernels import _train

from elq_ref.extensions import load

_common, _ = load("_common")


@pytest.fixture(params=["none"] if _common is None else _common.WORDS)
def isa(request):
    """Each instruction set that this CPU has and that training kernels are written for, in turn."""
    if _train is None:
        pytest.skip("the C kernels are not built")
    try:
        _train.use(request.param)
    except ValueError as error:
        pytest.skip(str(error))
    if _train.isa() == request.param:
        yield request.param
    else:
        pytest.skip(f"no training kernels are written for {request.param}")
    _train.use()
