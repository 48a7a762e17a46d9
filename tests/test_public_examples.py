"""Every public function and class has an example in its docstring, and it runs: there `np` is NumPy, `elq` elq_ref."""

import doctest
from types import ModuleType

import numpy as np
import pytest

import elq_ref

NAMES = [n for n in elq_ref.__all__ if n != "__version__" and not isinstance(getattr(elq_ref, n), ModuleType)]


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder(recurse=False).find(
        getattr(elq_ref, name), name, globs={"np": np, "elq": elq_ref}
    )
    assert example.examples, f"{name} has no example"
    said: list[str] = []
    assert doctest.DocTestRunner().run(example, out=said.append).failed == 0, "".join(said)
