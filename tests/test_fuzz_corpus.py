"""The contents that cover the loaders, found by tools/fuzz.py: what must hold of each still does.

`elq` is run again under AddressSanitizer and UndefinedBehaviorSanitizer by tests/c/run.sh.
"""

import zipfile
from pathlib import Path

import pytest
from fuzz_targets import TARGETS, check

pytestmark = pytest.mark.kernels

FILE = Path(__file__).parent / "data" / "fuzz-corpus.zip"
if not FILE.exists():
    pytest.skip("the corpus is not in the source distribution", allow_module_level=True)
with zipfile.ZipFile(FILE) as archive:
    CORPUS = {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("target", TARGETS)
def test_replay(target, tmp_path):
    if target == "onnx":
        pytest.importorskip("onnx", reason="the package onnx is not installed")
    contents = [content for name, content in CORPUS.items() if name.startswith(f"{target}/")]
    taken = [check(target, content, tmp_path) for content in contents]
    assert len(set(taken)) == 2  # some are taken, some refused


def test_every_content_is_of_a_target():
    assert {name.partition("/")[0] for name in CORPUS} == set(TARGETS)
