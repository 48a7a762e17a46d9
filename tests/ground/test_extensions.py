"""The extension modules: missing, or there but not loadable; the table of instruction sets that all of them share."""

import contextlib
import re
from pathlib import Path

import pytest
from children import run_python

from elq_ref import extensions

pytestmark = pytest.mark.kernels
_common, _reason = extensions.load("_common")
built = pytest.mark.skipif(_common is None, reason=str(_reason))
TABLE = Path(__file__).parents[2] / "_ext/common/isa.def"

REASONS = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))  # importing one of these fails
from elq_ref import kernels, runtime
for info in kernels.info(), runtime.info():
    print(info["kernel"], info["reason"])
"""


def test_what_is_not_built_is_called_so():
    assert extensions.load("_nothing") == (None, "the extension elq_ref._nothing is not built")


@built
def test_what_is_built_but_does_not_load_is_called_so():
    lines = run_python(REASONS, "elq_ref._common").stdout.splitlines()
    assert [line[: line.index(":")] for line in lines] == [
        "NumPy elq_ref._train does not load",
        "NumPy elq_ref._infer does not load",
    ]


@built
@pytest.mark.skipif(not TABLE.exists(), reason="the C sources are not here")
def test_every_line_of_the_table_is_a_word_with_flags():
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("ELQ_SET(")]
    found = [re.fullmatch(r'ELQ_SET\((\w+), (\w+), (any|x86|arm), .*, "((-[\w.+=-]+ ?)*)"\)', line) for line in lines]
    assert all(found), lines  # as setup.py and tests/c/run.sh read them
    assert [match[1] for match in found] == list(_common.WORDS)
    assert all(match[2] == match[1].upper() for match in found)


@built
def test_a_word_names_no_more_than_its_set_and_those_below():
    every, seen = _common.parse(""), {}
    for word in _common.WORDS:
        with contextlib.suppress(ValueError):  # this CPU lacks it
            seen[word] = _common.parse(word)
    assert all(mask & ~every == 0 for mask in seen.values())
    assert seen["generic"] == 1
    assert len(set(seen.values())) == len(seen)
    with pytest.raises(ValueError, match="'mips', wanted one of generic, avx2"):
        _common.parse("mips")
    for word in set(_common.WORDS) - set(seen):
        with pytest.raises(ValueError, match=f"'{word}', an instruction set that this CPU or this build lacks"):
            _common.parse(word)
