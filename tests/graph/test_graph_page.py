"""docs/graph.md has every op with its attributes and arrays, as the table of the code does."""

import re
from pathlib import Path

import pytest

from elq_ref.graph.nodes import ROLES
from elq_ref.graph.shapes import MAX_NODES, OPS, Number

PAGE = Path(__file__).parents[2] / "docs" / "graph.md"


@pytest.fixture(scope="module")
def page():
    if not PAGE.is_file():
        pytest.skip("docs/ is not here (tests run from an installed copy)")
    return PAGE.read_text()


def test_the_table(page):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:3] == "| `"]
    found = {}
    for names, _, attributes, trainable, packed, *_ in rows:
        for name in re.findall(r"`(\w+)`", names):
            found[name] = (set(re.findall(r"`(\w+)`", attributes)), words(trainable), words(packed))
    assert set(found) == set(OPS)
    for name, op in OPS.items():
        assert found[name] == (set(op.attributes), set(op.trainable), set(op.packed or ())), name


def words(cell):
    return set(re.findall(r"\b[a-z]+\b", cell)) & set(ROLES)


def test_the_attributes_that_are_floats(page):
    (said,) = re.findall(r"or \(((?:`\w+`(?:, )?)+)\) floats", page)
    assert set(re.findall(r"`(\w+)`", said)) == {
        name for op in OPS.values() for name, kind in op.attributes.items() if isinstance(kind, Number)
    }
    assert f"at most {MAX_NODES} nodes" in page
