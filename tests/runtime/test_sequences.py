"""Sequences of the graph's operations, with every kind of weights and activations: a Session against the interpreters.

All pairs, and 500 triples of a seed. All triples, for the kernels here (some minutes):
ELQ_SEQUENCES=all python -m pytest tests/runtime/test_sequences.py
"""

import os

import numpy as np
import pytest
from op_sequences import KINDS, disagreements, sequences

from elq_ref.graph.shapes import PACKED_OPS
from elq_ref.runtime import native

pytestmark = pytest.mark.kernels


@pytest.fixture(params=["C", "NumPy"])
def backend(request, monkeypatch):
    if request.param == "NumPy":
        monkeypatch.setattr(native, "_infer", None)
    elif native._infer is None:
        pytest.skip("the extension _infer is not built")
    return request.param


def run(chosen):
    """What is wrong, in words, and how many networks were run."""
    found = [disagreements(sequence, seed) for seed, sequence in enumerate(chosen)]
    return [line for wrong, _ in found for line in wrong], sum(count for _, count in found)


def test_every_operation_and_level_is_there():
    assert {op for op, _ in KINDS} <= set(PACKED_OPS)
    assert {("linear", levels) for levels in ("float", "ternary", "binary")} < set(KINDS)


def test_all_pairs(backend):
    wrong, count = run(sequences(1) + sequences(2))
    assert not wrong, "\n".join(wrong)
    assert count > 200  # a conv reads no value of one axis, and a linear no other


def test_triples(backend):
    chosen = sequences(3)
    if os.environ.get("ELQ_SEQUENCES") != "all":
        chosen = [chosen[k] for k in np.random.default_rng(19).permutation(len(chosen))[:500]]
    wrong, count = run(chosen)
    assert not wrong, "\n".join(wrong)
    assert count > len(chosen) // 2
