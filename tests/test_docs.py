"""The documentation says what is there: commands, drivers, tables, and every path, name and link of a page."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

import elq_ref
from elq_ref.cli import parser

ROOT = Path(__file__).parent.parent

if not (ROOT / "docs").is_dir():
    pytest.skip("docs/ is not here (tests run from an installed copy)", allow_module_level=True)


@pytest.mark.parametrize("page", ["docs/reproduce.md"])
def test_every_command_of_the_page_is_understood(page):
    lines = (ROOT / page).read_text().splitlines()
    commands = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("elq ")]
    assert len(commands) > 5
    for words in commands:
        assert parser(words[:1]).parse_args(words).run


def test_the_drivers_that_the_page_names_are_there():
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("benchmarks/ is not here (tests run from a copy)")
    text = (ROOT / "docs" / "reproduce.md").read_text()
    for path in set(re.findall(r"(?:benchmarks|elq_ref)/[\w/]+\.py", text)):
        assert (ROOT / path).is_file(), path


def test_the_ladder_on_its_page_is_the_one_that_was_measured():
    measured = ROOT / "benchmarks" / "results" / "ladder.txt"
    if not measured.is_file():
        pytest.skip("benchmarks/ is not here (tests run from a copy)")
    _, machine, table = measured.read_text().strip().split("\n\n")
    page = (ROOT / "docs" / "kernels" / "ladder.md").read_text()
    assert f"{machine}. " in page
    assert f"```\n{table}\n```" in page


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 130


# ---- what the pages name

PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
TOP = "elq_ref|_ext|tests|tools|docs|benchmarks|examples|data|\\.github|\\.ci"
FILE = re.compile(rf"(?<![\w./-])(?:\.\./)*((?:{TOP})/[\w./*{{}},-]*[\w/}}])(?:::([\w.]+))?")
LINK = re.compile(r"\]\(([^)#]+?)(?:#[^)]*)?\)")


def without_examples(text: str) -> str:
    """A page without its longer code blocks, whose names may be the reader's own."""
    return re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)


def spelled_out(path: str) -> list[str]:
    """a{b,c} as ab and ac; what the reader is to fill in (NAME) as *."""
    path = re.sub(r"(?<=/)[A-Z]+(?=/|$)", "*", path)
    match = re.search(r"\{([^}]*)\}", path)
    if not match:
        return [path]
    return [name for word in match[1].split(",") for name in spelled_out(path.replace(match[0], word, 1))]


def defines(path: Path, name: str) -> bool:
    """Whether a file has the (dotted) name: of Python a definition, of anything else a word."""
    if path.suffix != ".py":
        return re.search(rf"\b{name}\b", path.read_text()) is not None
    scope = ast.parse(path.read_text()).body
    for part in name.split("."):
        found = [node for node in scope if part in names_of(node)]
        if not found:
            return False
        scope = getattr(found[0], "body", [])
    return True


def names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def missing(text: str) -> list[str]:
    """Paths, names in files and modules that a page speaks of and that are not there."""
    wrong = []
    for match in FILE.finditer(without_examples(text)):
        for path in spelled_out(match[1]):
            found = sorted(ROOT.glob(path.rstrip("/")))
            if not found or (match[2] and not any(defines(p, match[2]) for p in found)):
                wrong.append(match[0])
    for name in set(re.findall(r"\belq_ref(?:\.\w+)+", without_examples(text))):
        if not resolves(name):
            wrong.append(name)
    return wrong


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or leads to something in one."""
    value = elq_ref
    for part in name.split(".")[1:]:
        try:
            value = getattr(value, part)
        except AttributeError:
            try:
                value = importlib.import_module(f"{value.__name__}.{part}")
            except (ModuleNotFoundError, AttributeError):
                return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_name_and_link_of_a_page_is_there(page):
    if not (ROOT / "_ext").is_dir():
        pytest.skip("the sources are not here (tests run from a copy)")
    text = page.read_text()
    assert missing(text) == []
    for folder, name in re.findall(r"python -m benchmarks\.(\w+) (\w+)", text):
        assert (ROOT / "benchmarks" / folder / f"{name}.py").is_file(), name
    links = [link for link in LINK.findall(without_examples(text)) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "text",
    [
        "elq_ref/elq/nowhere.py",
        "`elq_ref/elq/levels.py::nowhere`",
        "`elq_ref/runtime/session.py::Session.nowhere`",
        "_ext/nowhere.c",
        "elq_ref.elq.levels.nowhere",
        "elq_ref/{elq,nowhere}/levels.py",
    ],
)
def test_what_is_not_there_is_noticed(text):
    assert len(missing(text)) == 1


def test_what_is_there_is_not_missed():
    assert (
        missing("`elq_ref/runtime/session.py::Session.raw` elq_ref/{elq/levels,files}.py elq_ref.elq.levels.scale")
        == []
    )
