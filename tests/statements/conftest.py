"""The lines of `elq verify`, computed once for all files here."""

import pytest

from elq_ref.statements import Line, statements


@pytest.fixture(scope="session")
def lines() -> list[Line]:
    return list(statements())
