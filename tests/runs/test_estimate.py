"""What is said before hours are spent: the bytes of the packed file, to the byte, and the time of the steps."""

from pathlib import Path

import pytest
import small_runs

from elq_ref import SGD, Plan, Run
from elq_ref.methods import plan_for
from elq_ref.runs import estimate


@pytest.mark.parametrize(
    "plan",
    [
        Plan(sigma2=(0.2, 0.0), epochs=(1, 1, 1)),
        Plan("binary", sigma2=(0.0,), epochs=(1, 1), per_channel=True),
        Plan(sigma2=(0.0,), epochs=(1, 1), keep_float=("4.weight",)),
        plan_for("ttq", epochs=(2.0,)),
    ],
    ids=("ternary", "binary", "kept", "packed as float"),
)
def test_the_size_that_is_said_is_the_files(plan, tmp_path):
    batches = small_runs.batches()
    run = Run(tmp_path / "run", small_runs.small_net(), batches, plan, SGD(0.05), test=batches.dataset)
    with pytest.raises(ValueError, match="has not begun"):
        run.packed_bytes()
    said = []
    stages = run.start(lambda steps: said.append(run.packed_bytes()) or steps)
    for _ in stages:
        pass
    assert said == [Path(run.files["packed"]).stat().st_size]


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.mark.parametrize(("each", "aside", "said"), [
    (2.0, 60.0, ["about 0:04:08 to go: 94 steps of 2 s, and what is measured"]),
    (0.05, 1.0, []),  # five seconds: nobody wants to know
    (0.11, 4.0, ["about 0:00:14 to go: 94 steps of 0.11 s, and what is measured"]),
])  # fmt: skip
def test_the_time_is_that_of_some_steps_behind_the_first(each, aside, said, monkeypatch):
    clock, told = Clock(), []
    monkeypatch.setattr(estimate, "time", clock)

    def steps():
        for number in range(100):
            clock.now += each if number else 50.0  # the first takes long
            yield number

    assert list(estimate.timed(steps(), 100, lambda: aside, told.append)) == list(range(100))
    assert told == said


def test_a_short_run_says_nothing(monkeypatch):
    told = []
    assert list(estimate.timed(iter(range(3)), 3, lambda: 1000.0, told.append)) == [0, 1, 2]
    assert told == []


def test_what_is_measured_is_counted(tmp_path):
    batches = small_runs.batches()
    plan = Plan(sigma2=(0.0,), epochs=(1, 1))
    run = Run(tmp_path / "run", small_runs.small_net(), batches, plan, SGD(0.05), test=batches.dataset)
    seconds = []
    before = []

    def watch(steps):
        for step in steps:
            yield step
            before.append(run.net.state_dict()["1.running_mean"].tolist())
            seconds.append(run.measuring_seconds())
            assert run.net.state_dict()["1.running_mean"].tolist() == before[-1]

    for _ in run.start(watch):
        pass
    assert all(value > 0 for value in seconds)
