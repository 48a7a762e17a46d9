"""The benchmark of feeding: its three ways feed the same pictures in the same order, and every part takes time."""

import sys
from pathlib import Path

import numpy as np
import pytest
from photographs import photographs

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.speed import feeding  # noqa: E402


def test_all_ways_feed_the_same(tmp_path):
    ways = feeding.ways(photographs(tmp_path, each=4), 5, 10, 2)
    seen = {way: [(x.shape, y.tolist()) for x, y in batches.epoch(1)] for way, batches in ways.items()}
    assert list(seen) == [feeding.MEMORY, feeding.DECODED, feeding.KEPT]
    assert seen[feeding.MEMORY] == seen[feeding.DECODED] == seen[feeding.KEPT]
    assert [len(y) for _, y in seen[feeding.MEMORY]] == [5, 5]
    decoded, kept = (next(ways[way].epoch(0))[0] for way in (feeding.DECODED, feeding.KEPT))
    np.testing.assert_array_equal(decoded, kept)
    caches = [ways[way].dataset.images.reading.cache.used for way in (feeding.DECODED, feeding.KEPT)]
    assert caches[0] == 0 < caches[1]


def test_every_part_takes_time(tmp_path, monkeypatch):
    monkeypatch.setattr(feeding, "PART", 24)
    parts = dict(feeding.parts(photographs(tmp_path, each=2)))
    assert len(parts) == 4
    assert all(0 < seconds < 1 for seconds in parts.values())
