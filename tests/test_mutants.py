"""The mutation run makes the mistakes that once went unseen, and each is a program that differs in that place."""

import ast
import itertools
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"
if not (TOOLS / "mutate.py").is_file():
    pytest.skip("tools/ is not here (tests run from an installed copy)", allow_module_level=True)


@pytest.fixture
def tools(monkeypatch):
    """The modules of tools/ by name."""
    monkeypatch.syspath_prepend(str(TOOLS))
    before = set(sys.modules)
    import mutate
    import operators
    import statement_order

    yield {"mutate": mutate, "operators": operators, "statement_order": statement_order}
    for name in set(sys.modules) - before:
        if name in ("mutate", "operators", "statement_order"):
            del sys.modules[name]


SOURCE = """
def steps(epochs, n):
    return round(epochs * n)

def bias(b):
    return np.floor(b + 0.5)

def largest(size):
    return size.argmax(1), np.argmax(size**2, axis=1), np.argsort(size, axis=None, kind="stable")

def total(w):
    return np.sum(np.abs(w, dtype=np.float64))

def freeze(state, word):
    reset = state.word == word
    return reset

def follow(weight, moves, share):
    if moves:
        weight.alpha = scale(weight.w)
    if share:
        weight.w = pull(weight.w, weight.alpha)
"""


@pytest.mark.parametrize(
    "made",
    [
        "int(epochs * n)",
        "int(epochs * n + 0.5)",
        "np.rint(b)",
        "np.floor(b)",
        "np.size(size, 1) - 1 - np.argmax(np.flip(size, 1), 1)",
        "np.size(size ** 2, 1) - 1 - np.argmax(np.flip(size ** 2, 1), 1)",
        "np.size(size, None) - 1 - np.argsort(np.flip(size, None), None, kind='stable')",
        "dtype=np.float32",
        "reset = state.word == word and state.stage == 1",
    ],
)
def test_a_kind_of_mistake_is_made(tools, made):
    found = [mutant.source for mutant in tools["operators"].mutants(SOURCE, "file.py")]
    assert sum(made in source for source in found) == 1
    assert (
        len({ast.unparse(ast.parse(source)) for source in found} | {ast.unparse(ast.parse(SOURCE))}) == len(found) + 1
    )


def test_a_statement_is_moved_behind_the_next_with_an_effect(tools):
    (moved,) = tools["statement_order"].reordered(SOURCE, "file.py")
    body = ast.parse(moved.source).body[-1].body
    assert [ast.unparse(statement.test) for statement in body] == ["share", "moves"]


def test_of_equal_elements_the_last_is_chosen(tools):
    import numpy as np

    size = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 1.0]])
    flat = size.ravel()
    found = [
        m.source
        for m in tools["operators"].mutants("a = size.argmax(1)\nb = np.argsort(flat, axis=None, kind='stable')", "f")
    ]
    values = []
    for source in found:
        names = {"size": size, "flat": flat, "np": np}
        exec(source, names)
        values.append((names["a"].tolist(), names["b"].tolist()))
    assert ([2, 1], np.argsort(flat, kind="stable").tolist()) in values
    assert ([1, 0], [5, 0, 4, 3, 2, 1]) in values  # of the ones at 5 and 0, twos at 4 and 3, threes at 2 and 1


def test_what_is_broken_is_the_method_training_packing_and_the_integers(tools):
    files = set(tools["mutate"].FILES)
    wanted = {"elq/levels", "methods/twn", "methods/lat", "training/sgd", "training/evaluate", "deploy/derive"}
    wanted |= {"deploy/packing", "runtime/integer", "runtime/integer_interpreter"}
    assert {f"elq_ref/{name}.py" for name in wanted} <= files
    for file in files:
        for test in tools["mutate"].tests_of(file):
            assert (TOOLS.parent / test.partition("::")[0]).is_file()


def test_every_mistake_written_by_hand_still_fits_the_code_and_has_tests(tools):
    written = list(tools["mutate"].written())
    assert len(written) > 60
    assert all(tools["mutate"].tests_of(mistake.file) for mistake in written)


def test_what_was_tried_of_the_same_files_is_known_when_the_run_starts_again(tools, tmp_path, monkeypatch):
    mutate = tools["mutate"]
    first, second = itertools.islice(mutate.generated(), 2)
    notes = mutate.Notes(tmp_path / "notes.part")
    notes.add(first, "elq/test_plan.py::test_it")
    notes.add(second, None)
    again = mutate.Notes(tmp_path / "notes.part")
    assert [again.caught(broken) for broken in (first, second)] == ["elq/test_plan.py::test_it", None]
    assert [again.survived(broken) for broken in (first, second)] == [False, True]
    other = mutate.tests_of(second.file)[1:]
    monkeypatch.setattr(mutate, "tests_of", lambda _: other)
    assert not again.survived(second)
    assert again.caught(first)
    monkeypatch.setattr(mutate, "_digest", lambda *_: "other sources")
    assert not again.caught(first)
