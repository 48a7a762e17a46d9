"""Records of runs made before plans had their present form: read as the runs they describe."""

import importlib.util
import json
from pathlib import Path

import pytest

from elq_ref import Plan
from elq_ref.methods import OrderPlan, make, plan_from_json
from elq_ref.runs.comparison import grouped
from elq_ref.runs.record import RunRecord

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "old_plans.py"
if not TOOL.is_file():
    pytest.skip("tools/ is not here (tests run from an installed copy)", allow_module_level=True)
_spec = importlib.util.spec_from_file_location("old_plans", TOOL)
old_plans = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(old_plans)

OLD = {  # what Plan().to_json() was
    "levels": "ternary", "method": "elq", "scale": "elq", "per_channel": False, "alpha_from": "pretrained",
    "sigma2": [0.4, 0.3, 0.2, 0.0], "partition": "interval", "partition_seed": 0,
    "portions": [0.5, 0.75, 0.875, 1.0], "tail": "last", "tail_rate": 0.01, "a1": 1.0, "a2": 0.0,
    "gradient": "straight-through", "sign": "assumed", "perturbation": "abs", "norm": "squared",
    "scope": "network", "momentum_at_freeze": "keep", "epochs": [2.0, 1.0, 1.0, 1.0, 1.0], "restart": 1.0,
    "keep_float": [],
}  # fmt: skip
SHARES = [0.164, 0.313, 0.448, 1.0]


@pytest.mark.parametrize(
    ("changes", "plan"),
    [
        ({}, Plan()),
        ({"per_channel": True, "restart": 0.3, "a2": 1e-3}, Plan(per_channel=True, restart=0.3, a2=1e-3)),
        ({"partition": "magnitude", "portions": SHARES}, OrderPlan(portions=tuple(SHARES))),
        (
            {"partition": "random", "partition_seed": 3, "portions": SHARES, "levels": "binary"},
            OrderPlan("binary", order="random", order_seed=3, portions=tuple(SHARES)),
        ),
        (
            {"method": "inq", "epochs": [0.0, 3.0, 1.0], "portions": [0.5, 1.0]},
            OrderPlan(method="inq", epochs=(0.0, 3.0, 1.0), portions=(0.5, 1.0)),
        ),
        (
            {"method": "lat", "scale": "l2", "sigma2": [], "epochs": [12.0]},
            Plan(method="lat", scale="l2", sigma2=(), epochs=(12.0,)),
        ),
    ],
)
def test_an_old_plan_is_the_plan_that_it_was(changes, plan):
    old = OLD | changes
    kept = json.dumps(old)
    read = plan_from_json(old_plans.translated(old))
    assert (type(read), read) == (type(plan), plan)
    make(read)
    assert json.dumps(old) == kept
    assert old_plans.translated(plan.to_json()) == plan.to_json()  # today's form stays
    without = {name: value for name, value in old.items() if name != "restart"}
    if old["restart"] == 1.0:
        assert plan_from_json(old_plans.translated(without)) == plan


def test_a_partition_that_never_was_is_named():
    with pytest.raises(ValueError, match="partition is 'largest', wanted interval, magnitude or random"):
        old_plans.translated(OLD | {"partition": "largest"})


CONFIGS = sorted((ROOT / "benchmarks" / "results").rglob("config.json"))


@pytest.mark.skipif(not CONFIGS, reason="no folders of runs are kept here")
def test_every_record_of_before_is_read_and_says_what_it_said():
    """What a run was made with is compared option by option, labels by their words."""
    seen = {}
    for path in CONFIGS:
        config = json.loads(path.read_text())
        new, old = old_plans.translated_config(config), config["plan"]
        plan = plan_from_json(new["plan"])
        make(plan)
        ordered = old["partition"] != "interval"
        assert plan.method == ("order" if ordered else old["method"])
        assert new["method"] == ("order" if ordered else config["method"]), path
        said = json.loads(json.dumps(plan.to_json()))
        gone = {"partition", "partition_seed", "portions", "method"}
        assert {name: said[name] for name in old.keys() - gone} == {n: v for n, v in old.items() if n not in gone}
        if ordered:
            assert (said["order"], said["order_seed"]) == (old["partition"], old["partition_seed"])
        if ordered or old["method"] == "inq":
            assert said["portions"] == old["portions"]
        assert {name: new[name] for name in config.keys() - {"plan", "method"}} == {
            name: value for name, value in config.items() if name not in ("plan", "method")
        }
        seen[path.parent.name] = RunRecord(path, new, plan, {"total": 5000, "top1": 0}, [], [], [], [])
        label = RunRecord(path, config, plan, {}, [], [], [], []).label
        assert (seen[path.parent.name].label == label) == (not ordered)
    variants = [seen[f"{name}-seed0"] for name in ("baseline", "partition-magnitude", "partition-random")]
    assert [group.label for group in grouped(variants)] == [
        "elq ternary", "magnitude order ternary", "random order ternary",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"both elq ternary, but differ in their .*plan tail"):
        grouped([seen["baseline-seed0"], seen["tail-pull-seed0"]])
