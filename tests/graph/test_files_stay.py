"""Packed files that were written before give the same bytes when they are read and written again."""

from pathlib import Path

import pytest

from elq_ref.runtime import PackedNetwork

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for folder in ("tests/data", "benchmarks/networks", "benchmarks/results", "examples")
    for path in (ROOT / folder).rglob("*.elq")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_same_bytes(path, tmp_path):
    PackedNetwork.load(path).save(tmp_path / "again.elq")
    assert (tmp_path / "again.elq").read_bytes() == path.read_bytes()


def test_there_are_some():
    assert len(FILES) >= 2
