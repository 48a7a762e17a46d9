"""a1 and a2 that rise over a run: what they weigh, and that nothing else changes where they have risen."""

import math
from dataclasses import replace

import numpy as np
import pytest
from small_runs import PLAN, batches, small_net

from elq_ref import SGD, Plan, Tensor, quantize
from elq_ref.cli.plan_options import changed
from elq_ref.elq.gradients import Pass
from elq_ref.methods import Moment, make

EPOCHS = (6.0, 1.0, 1.0, 2.0)  # ten passes: a tenth of the run each


def one_step(plan: Plan, moment: Moment):
    """J at one weight, g = 1 at W and 0 at W_hat, and how many passes that took."""
    made = []

    def at(loss, slope):
        def forward(weights):
            made.append(loss)
            return Pass(loss, [np.full_like(a, slope) for a in weights], [np.full(1, slope)])

        return forward

    method = make(plan)
    weight = method.begin("w", Tensor(np.array([[3.0, 1.0, -0.5]])))
    return method.objective(at(1.0, 1.0), at(2.0, 0.0), [weight], moment), len(made)


@pytest.mark.parametrize(
    ("stage", "share", "tenths"),
    [(0, 0.0, 0.0), (0, 0.25, 1.5), (0, 0.5, 3.0), (1, 0.0, 6.0), (2, 0.5, 7.5), (3, 0.9, 9.8)],
)
def test_a1_and_a2_rise_by_a_cosine_over_the_passes_of_the_run(stage, share, tenths):
    """Integrals of the slope pi/2 sin(pi u), by the middles of small steps, instead of the cosine."""

    def rise(begin, end):
        u = min(1.0, max(0.0, (tenths / 10 - begin) / (end - begin)))
        middles = (np.arange(20000) + 0.5) * u / 20000
        return float(np.sum(math.pi / 2 * np.sin(math.pi * middles)) * u / 20000)

    plan = replace(PLAN, epochs=EPOCHS, a1=1.0, a2=0.5, sign="assumed", a1_rise=(0.1, 0.5), a2_rise=(0.55, 1.0))
    seen, _ = one_step(plan, Moment(stage, share))
    a1, a2 = rise(0.1, 0.5), 0.5 * rise(0.55, 1.0)
    gap = np.array([3.0, 1.0, -0.5]) - 1.65 * np.array([1, 1, 0])  # alpha = 4.5 / 3 + 0.05 * 3
    np.testing.assert_allclose(seen.weights[0][0], (1 - a1) + a2 * 2 * gap, rtol=1e-7, atol=1e-7)  # (1 - a1) g, ghat 0
    np.testing.assert_allclose(seen.shared[0], 1 - a1, rtol=1e-7, atol=1e-7)
    if seen.value is not None:
        assert seen.value == pytest.approx(1.0 + a1 * 1.0 + a2 * np.sum(gap**2), rel=1e-6)


@pytest.mark.parametrize("sign", ["assumed", "computed"])
def test_where_a1_has_risen_everything_is_as_with_a_constant_one_to_the_bit(sign):
    rising = Plan(sigma2=(0.3, 0.1, 0.0), epochs=EPOCHS, sign=sign, a2=0.3, a1_rise=(0.0, 0.3), a2_rise=(0.1, 0.2))
    constant = replace(rising, a1_rise=(), a2_rise=())
    for moment, risen in ((Moment(0, 0.49), False), (Moment(0, 0.5), True), (Moment(1, 0.0), True)):
        (ours, passes), (theirs, fewest) = one_step(rising, moment), one_step(constant, moment)
        same = ours.weights[0].tobytes() == theirs.weights[0].tobytes()
        assert (same, ours.shared[0].tobytes() == theirs.shared[0].tobytes()) == (risen, risen)
        assert passes == (fewest if risen else 2)  # below 1 the pass at W counts
        assert fewest == (1 if sign == "assumed" else 2)


def test_a_run_makes_the_pass_at_w_until_a1_has_risen():
    plan = Plan(sigma2=(0.3, 0.0), epochs=(1.0, 0.5, 0.5), a1_rise=(0.0, 0.6))  # 4, 2 and 2 steps of 2 passes
    steps = list(quantize(small_net(), batches(), plan, SGD(0.05)))
    assert [step.loss is None for step in steps[:6]] == [False] * 5 + [True]  # at 0, 1/8 .. 4/8 and 5/8 of the run


@pytest.mark.parametrize("ends", [(0.5,), (0.5, 0.5), (0.6, 0.5), (-0.1, 0.5), (0.5, 1.1), (0.1, 0.2, 0.3)])
def test_ends_that_do_not_rise_within_the_run_are_refused(ends):
    for name in ("a1_rise", "a2_rise"):
        with pytest.raises(ValueError, match=rf"{name} is \({ends[0]}.*, wanted two rising shares of the run"):
            Plan(**{name: ends})


def test_the_command_line_sets_them():
    assert changed(Plan(), ["a1_rise=0,0.25", "a2=0.01", "a2_rise=0.5,1"]) == Plan(
        a2=0.01, a1_rise=(0.0, 0.25), a2_rise=(0.5, 1.0)
    )


def test_what_has_no_ends_is_constant():
    seen, passes = one_step(Plan(a2=0.3, a2_rise=(0.5, 1.0)), Moment(0, 0.0))
    assert passes == 1  # a1 is 1
    assert not seen.weights[0].any()  # ghat = 0, and of a2 nothing yet
