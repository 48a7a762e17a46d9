"""The house: on which floor every room stands, and that no import runs upwards (docs/README.md draws it)."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "elq_ref"

# The floors, lowest first; rooms of one floor do not know each other.
FLOORS = (
    ("ground",),
    ("graph", "kernels", "parallel"),
    ("ops", "runtime"),
    ("nn", "exchange", "export_c"),
    ("datasets", "checkpoint", "elq"),
    ("methods", "deploy"),
    ("training",),
    ("runs", "statements", "crosscheck", "timing"),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# Modules and folders whose name is not their room's.
GROUND = ("draws", "errors", "extensions", "files", "gradcheck", "machine", "pictures", "preprocessing", "splitmix")
ROOM = dict.fromkeys((*GROUND, "tensor"), "ground")
ROOM |= {"models": "nn", "forward_pass": "nn", "graph_builder": "nn", "graph_net": "nn"}
ROOM |= {"__init__": "ground", "__main__": "cli"}
ROOM |= {"_train": "kernels", "_infer": "runtime", "_bundled": "ground", "_common": "ground"}
WALLS = {"runtime": {"ground", "graph"}}  # the file is the wall: the runtime knows it and nothing that made it


def room_of(module: str) -> str:
    """The room of a module by its dotted name below elq_ref."""
    first = module.partition(".")[0] or "__init__"
    return ROOM.get(first, first)


def imported(path: Path, source: str) -> set[str]:
    """The modules of the package that a file imports, anywhere in it, by dotted name below elq_ref."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    folder = parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.partition(".")[0] == "elq_ref"}
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = ".".join((*folder[: len(folder) - node.level + 1], *filter(None, [node.module])))
        elif node.module and node.module.partition(".")[0] == "elq_ref":
            base = node.module.partition(".")[2]
        else:
            continue
        found |= {base} if base else {alias.name for alias in node.names}
    return {name.removeprefix("elq_ref.") for name in found}


def breaches(path: Path, source: str) -> list[str]:
    """What a file imports and may not."""
    own = room_of(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    wrong = []
    for module in sorted(imported(path, source)):
        other = "ground" if module.startswith("__") else room_of(module)
        allowed = other == own or FLOOR[other] < FLOOR[own]
        if not allowed or (other != own and other not in WALLS.get(own, FLOOR)):
            wrong.append(f"{own} imports {module} of {other}")
    return wrong


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_runs_upwards(path):
    assert breaches(path, path.read_text()) == []


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("tensor.py", "from .ops import add", "ground imports ops of ops"),
        ("elq/bands.py", "from ..training.stages import quantize", "elq imports training.stages of training"),
        ("checkpoint/tensors.py", "from .. import datasets", "checkpoint imports datasets of datasets"),
        ("runtime/session.py", "def f():\n    from ..kernels import numpy_ops", "runtime imports kernels of kernels"),
        ("runtime/session.py", "import elq_ref.deploy", "runtime imports deploy of deploy"),
    ],
)
def test_an_import_upwards_is_noticed(file, line, said):
    path = PACKAGE / file
    assert breaches(path, f"{path.read_text()}\n{line}\n") == [said]


def test_the_picture_of_the_house_has_the_same_floors():
    page = PACKAGE.parent / "docs" / "README.md"
    if not page.is_file():
        pytest.skip("docs/ is not here (tests run from an installed copy)")
    drawn = re.findall(r"^ *(\d+)  \|(.*)\|", page.read_text(), re.M)
    floors = {int(number): tuple(room.strip() for room in rooms.split("|")) for number, rooms in drawn}
    assert {number: set(rooms) for number, rooms in floors.items()} == {
        number: set(rooms) for number, rooms in enumerate(FLOORS)
    }
    assert list(floors) == sorted(floors, reverse=True)  # the ground is below


def test_no_module_has_the_name_of_a_public_verb():
    verbs = {"quantize", "pack", "unpack", "load", "save", "fit", "accuracy", "objective", "partition", "ternarize"}
    assert not {path.stem for path in FILES if path.parent.name != "cli"} & verbs
