"""The page of `elq verify --report`: whole, well formed, alone, and every link leads somewhere."""

import html.parser
import os
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from elq_ref import statements as room
from elq_ref.cli import main
from elq_ref.statements import Line
from elq_ref.statements.page import page as page_module
from elq_ref.statements.page import write_page
from elq_ref.statements.page.pictures import PICTURES
from elq_ref.statements.page.sources import SOURCES, STANDING

ROOT = Path(__file__).parents[2]
VOID = {"meta"}


class Tree(html.parser.HTMLParser):
    """Elements that are closed in their order, attributes, and text."""

    def __init__(self):
        super().__init__()
        self.open, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(path):
    tree = Tree()
    tree.feed(path.read_text(encoding="utf-8"))
    tree.close()
    assert tree.open == []
    return tree


@pytest.fixture(scope="module")
def page(lines, tmp_path_factory):
    return write_page(lines, tmp_path_factory.mktemp("report") / "new")


def test_the_page_is_well_formed_and_has_every_statement(page, lines):
    content = page.read_text(encoding="utf-8")
    ET.fromstring(re.sub(r"<script>.*?</script>|<!DOCTYPE html>", "", content, flags=re.S))  # as XML too
    tree = parsed(page)
    cards = re.findall(r'<article id="s(\d+)".*?</article>', content, re.S)
    assert cards == [str(k) for k in range(1, len(lines) + 1)]
    text = "".join(tree.text)
    assert f"{len(lines)} of {len(lines)} statements hold" in text
    for line in lines:
        name = line.statement.partition(" ")[2]
        assert name[1:] in text, name
        assert line.ways in text, name
        assert line.why in text, name
    assert len(content) < 600_000
    assert ("article", "class", "fails") not in tree.attributes


def test_every_equation_is_mathml(page):
    cards = re.findall(r'<div class="math">(.*?)</div>', page.read_text(encoding="utf-8"), re.S)
    for card in cards:
        ET.fromstring(f"<div>{card}</div>".replace("&nbsp;", " "))
    assert sum("<math " in card for card in cards) > 0.9 * len(cards)  # some are words alone


def test_the_page_needs_nothing_else(page):
    content = page.read_text(encoding="utf-8")
    for tag, name, value in parsed(page).attributes:
        assert tag not in ("link", "iframe", "object", "img", "base")
        assert name not in ("src", "srcset", "poster", "data", "action")
        assert name != "href" or tag == "a", value  # which is followed, not loaded
    assert "url(" not in content
    assert "@import" not in content


def test_every_link_leads_to_a_file_of_the_repository(page):
    links = [value for tag, name, value in parsed(page).attributes if (tag, name) == ("a", "href")]
    if not page_module.address("tests/statements/test_page.py", page.parent):
        pytest.skip("the package does not run from a checkout")
    files = [value for value in links if not re.match("#|https?:", value)]
    assert len(files) > 100
    assert [value for value in files if not (page.parent / value).is_file()] == []
    assert {value[1:] for value in links if value.startswith("#")} == set(room.CHAPTERS)


def test_every_statement_says_where_it_comes_from(lines):
    assert {line.statement for line in lines} == set(SOURCES)
    for source in SOURCES.values():
        assert set(source.standing.split()) <= set(STANDING)
        for place in (source.function, source.test):
            path, _, name = place.partition("::")
            file = ROOT / path
            if not file.is_file():
                pytest.skip("the sources are not here (tests run from an installed copy)")
            wanted = name.rpartition(".")[2]
            assert not name or re.search(rf"^ *(def|class) {wanted}\b", file.read_text(), re.M), place
    assert set(PICTURES) <= set(SOURCES)


def test_the_standings_are_those_of_the_method_page():
    page = ROOT / "docs" / "method.md"
    if not page.is_file():
        pytest.skip("docs/ is not here (tests run from an installed copy)")
    stated = re.findall(r"\*\*([A-Z])\*\*", re.search(r"^Standing: (.*?)\n\n", page.read_text(), re.M | re.S)[1])
    assert stated == list(STANDING)


def test_the_same_lines_give_the_same_bytes(lines, page, tmp_path):
    again = write_page(lines, page.parent.parent / "other")
    assert again.read_bytes() == page.read_bytes()


def test_a_statement_that_fails_is_seen(lines, tmp_path):
    broken = [replace(line, deviation=7.0, bound=2.0) if k == 3 else line for k, line in enumerate(lines[:6])]
    broken += [replace(lines[6], deviation=float("nan"))]
    page = write_page(broken, tmp_path)
    tree = parsed(page)
    assert tree.attributes.count(("article", "class", "fails")) == 2
    assert "5 of 7 statements hold" in "".join(tree.text)
    assert tree.text.count("FAILS") == 2
    assert ("button", "data-chapter", "fails") in tree.attributes


def test_the_bar_has_the_bound_at_one_place_and_ends_at_the_deviation():
    def width(deviation, bound):
        bar = page_module._bar(Line("1 a", "a", "", deviation, bound, ""))
        filled = re.findall(r'width="([\d.]+)" height="8" rx="4" fill="var\(--(good|bad)\)"', bar)
        return float(filled[0][0]) if filled else 0.0

    whole = 432
    assert width(1e-6, 1.0) == pytest.approx(whole * 6 / 14, abs=0.1)
    assert width(1.0, 1.0) == pytest.approx(whole * 12 / 14, abs=0.1)
    assert width(1e-3, 1e-12) == width(float("inf"), 1.0) == width(float("nan"), 1.0) == width(1.0, 0.0) == whole
    assert width(0.0, 0.0) == width(0.0, 1.0) == width(1e-20, 1.0) == 0


def test_a_link_is_an_address_a_path_or_words(monkeypatch, tmp_path):
    place = "elq_ref/elq/levels.py::scale"
    monkeypatch.setattr(page_module, "_project_url", lambda: "https://example.org/elq/")
    assert 'href="https://example.org/elq/blob/v' in page_module.link(place, tmp_path)
    monkeypatch.setattr(page_module, "_project_url", lambda: None)
    monkeypatch.setattr(page_module, "ROOT", tmp_path / "elsewhere")
    assert page_module.link(place, tmp_path) == "elq/levels.py: scale"
    (tmp_path / "elsewhere" / "elq_ref" / "elq").mkdir(parents=True)
    (tmp_path / "elsewhere" / "tests").mkdir()
    (tmp_path / "elsewhere" / "elq_ref" / "elq" / "levels.py").touch()
    wanted = os.path.join("..", "elsewhere", "elq_ref", "elq", "levels.py").replace(os.sep, "/")
    assert page_module.link(place, tmp_path / "deep") == f'<a href="{wanted}">elq/levels.py: scale</a>'


def test_the_command_writes_it_and_its_exit_code_is_as_before(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(room, "ON_ARRAYS", (room.gaussian,))
    monkeypatch.setattr(room, "ON_A_NETWORK", ())
    assert main(["verify", "--report", str(tmp_path / "a" / "b")]) == 0
    page = tmp_path / "a" / "b" / "index.html"
    assert capsys.readouterr().out.splitlines()[-1] == str(page)
    assert [p.name for p in page.parent.iterdir()] == ["index.html"]
    monkeypatch.setattr(room.gaussian, "best_scale", lambda *args: 1.3)
    assert main(["verify", "--report", str(tmp_path)]) == 1
    assert 'class="fails"' in (tmp_path / "index.html").read_text(encoding="utf-8")
    (tmp_path / "file").touch()
    assert main(["verify", "--report", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_another_network_has_the_page_without_our_pictures(lines, tmp_path):
    content = write_page(lines[:8], tmp_path, "lenet5 on noise").read_text(encoding="utf-8")
    assert "<figure>" not in content
    assert "losses on lenet5 on noise" in content
