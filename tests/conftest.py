"""Fixtures of several test files."""

import pytest
from train_kernels import _train


@pytest.fixture(params=["generic", "avx2", "avx512", "neon"])
def isa(request):
    """Each instruction set that this CPU has, in turn."""
    if _train is None:
        pytest.skip("the C kernels are not built")
    try:
        _train.use(request.param)
    except ValueError as error:
        pytest.skip(str(error))
    yield request.param
    _train.use()
