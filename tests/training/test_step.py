"""A step is an update, then alpha, then the tail; how many steps a stage has, at which rates; what a freeze resets."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import batches, small_net

from elq_ref import SGD, Plan, State, quantize
from elq_ref.training.sgd import Schedule
from elq_ref.training.stages import freeze, stage_steps

PLAN = Plan(sigma2=(0.3, 0.2, 0.1, 0.0), epochs=(1.0, 1.0, 1.0, 1.0, 1.0))


@pytest.mark.parametrize(("rule", "kept"), [("reset", 0.0), ("keep", 1.0)])
def test_every_freeze_resets_or_keeps_the_momentum_of_what_stays_free(rule, kept):
    state = State.start(small_net(), replace(PLAN, momentum_at_freeze=rule), SGD(), batches())
    for stage in range(1, PLAN.stages):
        state.velocity = {name: np.ones_like(v) for name, v in state.velocity.items()}
        state.stage = stage
        freeze(state)
        for name, weight in state.weights.items():
            velocity = state.velocity[name]
            assert (velocity[weight.frozen] == 0).all()
            assert (velocity[~weight.frozen] == kept).all()
            assert weight.frozen.all() == (stage == PLAN.stages - 1)


def test_the_steps_of_a_stage_are_its_passes_rounded_to_the_nearest():
    given = batches()  # 4 batches a pass
    assert len(given) == 4
    wanted = {
        1.0: 4,
        0.6: 2,
        0.7: 3,
        0.95: 4,
        1.4: 6,
        0.374: 1,
        0.01: 1,
        0.625: 2,
        0.875: 4,
        2.6: 10,
    }  # halves: to even
    for epochs, steps in wanted.items():
        assert stage_steps(replace(PLAN, epochs=(0.0, epochs, epochs, epochs, epochs)), given) == [0, *[steps] * 4]


def test_a_learning_rate_is_the_cosine_of_its_place_in_the_stage():
    *_, last = quantize(small_net(), batches(), replace(PLAN, epochs=(2.0, 0.7, 1.4, 1.0, 1.0)), SGD(0.3))
    assert last.steps == 4
    for step in quantize(small_net(), batches(), replace(PLAN, epochs=(2.0, 0.7, 1.4, 1.0, 1.0)), SGD(0.3)):
        wanted = 0.3 * (1 + np.cos(np.pi * step.index / step.steps)) / 2
        assert step.lr == pytest.approx(wanted, rel=1e-14)
    assert Schedule(warmup=0.5)(1, 8) == pytest.approx(2 / 4 * (1 + np.cos(np.pi / 8)) / 2)


@pytest.mark.parametrize(("tail", "rate", "share"), [("pull", 0.25, 0.25), ("clip", 0.01, 1.0)])
def test_a_step_updates_then_estimates_alpha_then_draws_in(tail, rate, share):
    """One step of stage 0 with a moving alpha, against the three formulas in their order."""
    plan = Plan(sigma2=(0.0,), epochs=(1.0, 1.0), alpha_from="stage0", tail=tail, tail_rate=rate)
    sgd = SGD(0.3, momentum=0.5, schedule=Schedule("constant"))
    plain = replace(plan, tail="last")  # the same step without a tail: the updated weights
    updated = next(quantize(small_net(), batches(), plain, sgd)).state
    moved = next(quantize(small_net(), batches(), plan, sgd)).state
    start = State.start(small_net(), plan, sgd, batches())
    for name, weight in moved.weights.items():
        w = updated.weights[name].w.astype(np.float64)
        alpha = np.float32(np.mean(np.abs(w)) + 0.05 * np.max(np.abs(w)))  # of the updated weights, before the tail
        assert weight.alpha.item() == alpha
        assert alpha != start.weights[name].alpha.item()
        size, drawn = np.abs(w), np.abs(w) > alpha
        assert 0.1 < drawn.mean() < 0.9
        wanted = np.where(drawn, np.sign(w) * (size - share * (size - float(alpha))), w)
        np.testing.assert_allclose(weight.w, wanted, rtol=3e-7)
