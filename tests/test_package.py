"""The package's face: every public name is there, documented, and loaded only when it is used."""

import re
from pathlib import Path

import pytest
from children import run_python

import elq_ref


@pytest.mark.parametrize("name", elq_ref.__all__)
def test_every_public_name_exists_and_is_documented(name):
    value = getattr(elq_ref, name)
    assert name == "__version__" or value.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        elq_ref.nonsense  # noqa: B018 - looking it up is the test


def test_importing_the_package_imports_no_room_of_it():
    code = "import sys, elq_ref; print([m for m in sys.modules if m.startswith('elq_ref.')])"
    done = run_python(code)
    assert done.stdout.strip() == "[]"


def test_the_version_is_one():
    root = Path(__file__).parents[1]
    if not (root / "CITATION.cff").is_file():
        pytest.skip("CITATION.cff is not here (tests run from a copy)")
    cited = dict(re.findall(r"^(version|date-released): (\S+)$", (root / "CITATION.cff").read_text(), re.M))
    version, date = re.search(r"^## (\S+) \((.*)\)$", (root / "CHANGELOG.md").read_text(), re.M).groups()
    assert (version, date) == (cited["version"], cited["date-released"])
    assert version == elq_ref.__version__
