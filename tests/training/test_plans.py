"""The table of named plans: what the commands run by default."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import batches, small_net

from elq_ref import SGD, Plan, models, quantize
from elq_ref.methods import METHODS, make, plan_from_json
from elq_ref.runs.recipes import recipe
from elq_ref.training.float_training import float_plan
from elq_ref.training.plans import PLANS, levels_of, methods_of, named_plan

WEIGHTS = ("a", "b", "c")


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_of_the_table_can_be_run_and_is_what_its_row_says(name):
    for method, levels in PLANS[name]:
        plan, sgd = named_plan(name, method, levels, WEIGHTS)
        make(plan)
        assert sgd.lr > 0
        assert (plan.method, plan.levels) == ((method, levels) if method != "float" else ("elq", "ternary"))


def test_every_method_has_a_default_plan_and_one_in_the_comparison():
    assert set(methods_of("default")) == set(METHODS)
    assert methods_of("comparison") == (*methods_of("default"), "float")


def test_the_defaults_are_those_that_the_documentation_states():
    best = {"epochs": (5.5, 0.125, 0.125, 0.125, 0.125), "restart": 0.3}
    assert named_plan("default") == (Plan(**best), SGD(lr=0.01))
    assert named_plan("default", levels="binary") == (Plan("binary", **best), SGD(lr=0.01))
    assert named_plan("default", "order")[0].epochs == (2, 1, 1, 1, 1)
    six = {m: named_plan("default", m)[0].epochs for m in ("bwn", "twn", "ttq", "lab", "lat")}
    assert set(six.values()) == {(6.0,)}
    assert named_plan("default", "inq")[0].epochs == (0, 1.5, 1.5, 1.5, 1.5)


def test_every_default_starts_at_the_documented_rate():
    """docs/methods.md."""
    others = {"ttq": SGD(lr=0.003), "inq": SGD(lr=0.1), "binaryrelax": SGD(lr=0.03), "parq": SGD(lr=0.03)}
    for name in ("default", "comparison"):
        for (method, levels), choice in PLANS[name].items():
            assert choice.sgd == others.get(method, SGD(lr=0.01)), (name, method, levels)


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_the_demo_is_the_documented_one(levels):
    """docs/results.md: 8 passes and four of 4, at a rate of 0.05, a1 = 1, a2 = 1e-4, s computed."""
    plan = Plan(levels, a1=1, a2=1e-4, sign="computed", epochs=(8, 4, 4, 4, 4))
    assert named_plan("demo", levels=levels) == (plan, SGD(lr=0.05))
    assert PLANS["demo"]["elq", levels].keeps == "none"


def test_the_plans_of_the_comparison_and_of_the_long_runs_are_those_of_the_committed_runs():
    lines = Path(__file__).parents[2] / "benchmarks" / "results" / "runs.jsonl"
    if not lines.is_file():
        pytest.skip("benchmarks/ is not here (tests run from an installed copy)")
    seen = set()
    for line in map(json.loads, lines.read_text().splitlines()):
        config = line["config"]
        if not line["name"].startswith(("cifar10_comparison/", "cifar10-resnet20/")):
            continue
        name = config.get("preset") or ("headline" if config["headline"] else "comparison")
        kept = WEIGHTS if name == "comparison" else ()
        plan, sgd = named_plan(name, config["method"], config["levels"], kept)
        ran = plan_from_json(config["plan"])
        assert plan.spread(sum(ran.epochs)) == replace(ran, keep_float=plan.keep_float)
        assert json.loads(json.dumps(asdict(sgd))) == config["sgd"]
        seen.add((name, config["method"], config["levels"]))
    absent = ("order", "binaryrelax", "parq")  # no run of these lengths is committed
    wanted = {(name, *key) for name in ("comparison", "headline") for key in PLANS[name] if key[0] not in absent}
    assert seen == wanted
    passes = {sum(recipe(method, levels, WEIGHTS)[0].epochs) for method, levels in PLANS["comparison"]}
    assert passes == {12.0}  # docs/reproduce.md


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_the_presets_are_the_documented_ones(levels):
    """docs/method.md, Presets; best, which is ELQ's default too, at any length."""
    paper = {"a1": 1.0, "a2": 0.2, "a2_rise": (0.1, 0.33), "gradient": "straight-through", "norm": "squared"}
    paper |= {"tail": "pull", "alpha_from": "pretrained", "sigma2": (0.4, 0.3, 0.2, 0.0), "epochs": (2, 1, 1, 1, 1)}
    assert named_plan("paper", levels=levels) == (Plan(levels, **paper), SGD(lr=0.01))
    plan, sgd = named_plan("best", levels=levels)
    assert (plan, sgd) == named_plan("default", levels=levels)
    assert plan.spread(72).epochs == (66, 1.5, 1.5, 1.5, 1.5)
    assert (plan.restart, sgd.lr) == (0.3, 0.01)


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_by_the_paper_the_weights_stand_on_their_peaks_and_by_default_they_do_not(levels):
    """Figure 1: valleys about the boundaries and nothing beyond alpha, after a first pass with all weights free."""
    found = {}
    for name in ("default", "paper"):
        plan, sgd = named_plan(name, levels=levels)
        plan = plan.spread(250 * sum(plan.epochs) / plan.epochs[0])  # stage 0 has 1,000 steps: 3 passes over CIFAR-10
        last = next(step for step in quantize(small_net(), batches(), plan, sgd) if step.ends_stage)
        weights = last.state.weights.values()
        size = np.concatenate([(np.abs(weight.w) / weight.alpha).ravel() for weight in weights])
        low, high = (0.4, 0.6) if levels == "ternary" else (0.0, 0.2)
        found[name] = ((size >= low) & (size < high)).mean(), (size > 1.05).mean()
    assert found["default"][0] > 0.05
    assert found["default"][1] > 0.3
    assert max(found["paper"]) < 0.02


def test_what_stays_float_is_named_by_the_weights():
    assert named_plan("default", "ttq", weights=WEIGHTS)[0].keep_float == ("a", "c")
    assert named_plan("default", "ttq", weights=("a",))[0].keep_float == ("a",)
    assert named_plan("comparison", "ttq", weights=WEIGHTS)[0].keep_float == ()
    assert named_plan("comparison", "float", weights=WEIGHTS)[0].keep_float == WEIGHTS


def test_float_training_is_the_plan_that_quantizes_nothing():
    net = models.digits_cnn()
    plan = float_plan(net, 2.5)
    assert plan == Plan(sigma2=(), epochs=(2.5,), keep_float=tuple(net.quantizable()))


def test_what_is_not_in_the_table_is_named():
    assert levels_of("default", "bwn") == "binary"
    for method, levels, words in (
        ("dorefa", None, "no default plan for method 'dorefa'; there are: elq ternary, elq binary, bwn binary"),
        ("twn", "binary", "no default plan for method 'twn' with binary levels; there are: elq ternary"),
    ):
        with pytest.raises(ValueError, match=words):
            named_plan("default", method, levels)


def test_the_comparison_has_the_best_of_the_rates_that_were_tried():
    table = Path(__file__).parents[2] / "benchmarks" / "results" / "tuning.txt"
    if not table.is_file():
        pytest.skip("benchmarks/ is not here (tests run from an installed copy)")
    head, *lines = [line.split() for line in table.read_text().splitlines() if "." in line and "--" not in line][1:]
    rates = [float(v) for v in head[head.index("lr") + 1 :]]
    seen = set()
    for line in lines:
        if len(line) < len(rates) + 1 or line[0] not in methods_of("comparison"):
            continue
        right = [float(v) for v in line[-len(rates) :]]
        levels = line[1] if line[0] != "float" else "float"
        assert named_plan("comparison", line[0], levels, WEIGHTS)[1].lr == rates[right.index(max(right))], line
        seen.add(line[0])
    assert seen == set(methods_of("comparison")) - {"order"}  # which is at elq's rate
    for levels in ("ternary", "binary"):
        assert named_plan("comparison", "order", levels)[1] == named_plan("comparison", "elq", levels)[1]
