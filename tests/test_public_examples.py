"""Every public function and class has an example in its docstring, and it runs: there `np` is NumPy, `elq` elq_ref."""

import doctest
import inspect
from types import ModuleType

import numpy as np
import pytest

import elq_ref

ROOMS = ("nn", "ops", "models")  # whose functions and classes count beside those of elq_ref itself


def public(module: ModuleType) -> list[str]:
    """The functions and classes of a module that one may use, those of `__all__` where there is one."""
    named = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    found = {name: getattr(module, name) for name in named}
    own = {n: v for n, v in found.items() if inspect.isclass(v) or inspect.isfunction(v)}
    return [n for n, v in own.items() if hasattr(module, "__all__") or v.__module__ == module.__name__]


NAMES = public(elq_ref) + [f"{room}.{name}" for room in ROOMS for name in public(getattr(elq_ref, room))]


def test_all_that_is_public_is_looked_at():
    assert {"Tensor", "pack", "record", "State", "nn.Conv2d", "ops.relu", "models.lenet5"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    room, _, last = name.rpartition(".")
    value = getattr(getattr(elq_ref, room) if room else elq_ref, last)
    (example,) = doctest.DocTestFinder(recurse=False).find(value, name, globs={"np": np, "elq": elq_ref})
    assert example.examples, f"{name} has no example"
    said: list[str] = []
    assert doctest.DocTestRunner().run(example, out=said.append).failed == 0, "".join(said)
