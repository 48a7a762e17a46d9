"""docs/method.md says what the code does: the names, defaults and tests that it lists exist."""

import ast
import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest

from elq_ref import SGD, Plan
from elq_ref.elq.borrowed import Borrowed
from elq_ref.methods import OrderPlan
from elq_ref.training.sgd import Schedule

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "method.md"

if not PAGE.is_file():
    pytest.skip("docs/ is not here (tests run from an installed copy)", allow_module_level=True)


def rows(section: str = "") -> list[list[str]]:
    """The cells of the rows of the page, or of one section of it."""
    text = PAGE.read_text()
    text = re.search(rf"^## {section}$(.*?)(?=^## )", text, re.M | re.S).group(1) if section else text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "equation"]


def test_every_row_has_all_columns():
    assert len(rows()) > 15
    assert {len(row) for row in rows()} == {7}
    assert all(re.match(r"[PSDC]\b", row[5]) for row in rows())


def test_every_option_of_the_plan_is_listed_with_its_default():
    defaults = {f.name: f.default for f in fields(Plan)}
    listed = {row[1]: ast.literal_eval(row[2]) for row in rows() if row not in rows("Descent")}
    assert listed == defaults


def descent() -> dict[str, object]:
    """The options of SGD and of its schedule with their defaults."""
    return {f.name: f.default for kind in (SGD, Schedule) for f in fields(kind) if f.name != "schedule"}


def test_every_option_of_the_descent_is_listed_with_its_default():
    assert {row[1]: ast.literal_eval(row[2]) for row in rows("Descent")} == descent()


def test_what_is_borrowed_stands_in_its_own_section_and_nowhere_else_in_the_plan():
    borrowed = {f.name for f in fields(Borrowed)}
    assert {row[1] for row in rows("Borrowed")} == borrowed
    assert not borrowed & set(vars(Plan)["__annotations__"])


def test_the_options_of_an_order_are_listed_with_their_defaults():
    lines = (ROOT / "docs" / "methods.md").read_text().split("\n## Order\n")[1].splitlines()
    listed = {cells[0]: cells[1] for line in lines if len(cells := line.strip("| ").split(" | ")) == 3}
    own = {f.name: f.default for f in fields(OrderPlan) if f.name not in {g.name for g in fields(Plan)}}
    assert {name: ast.literal_eval(listed[name]) for name in own} == own
    assert len(listed) == len(own) + 1  # and the head


def test_every_function_exists():
    for row in rows():
        module, _, name = row[3].rpartition(".")
        try:
            holder = importlib.import_module(module)
        except ModuleNotFoundError:
            module, _, middle = module.rpartition(".")
            holder = getattr(importlib.import_module(module), middle)
        assert callable(getattr(holder, name)), row[3]


def test_every_test_exists():
    for row in rows():
        file, name = row[4].split("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), row[4]
