"""ELQ steps and a whole run against the golden traces that PyTorch's autograd made (tools/golden), without
PyTorch.

float64: 1e-10 of a tensor's largest value. float32: the bound that the trace states for every tensor of every
step, derived by Monte Carlo arithmetic (tools/golden/rounding.py). Integers, sets, W_hat and frozen weights:
equal bits.
"""

import numpy as np
import pytest
from golden_traces import FOLDER, GivenBatches, network, part

from elq_ref import SGD, Plan
from elq_ref.crosscheck import compare, load, record
from elq_ref.methods import QuantizedWeight, make
from elq_ref.training.sgd import Schedule
from elq_ref.training.state import State

if not (FOLDER / "steps-float64.safetensors").is_file():
    pytest.skip("the source distribution leaves out tests/golden/steps-float64", allow_module_level=True)
STEPS = load(FOLDER / "steps-float64")
RUNS = {dtype: load(FOLDER / f"run-{dtype}") for dtype in ("float64", "float32")}
OPTIONS = {entry["name"]: entry for entry in STEPS.meta["groups"]}


def check(expected: dict, ours: dict, bounds: dict | None, may_lack: frozenset = frozenset()) -> None:
    """Every recorded tensor, in order of computation, so that the first failure is the cause."""
    for key, want in expected.items():
        kind = key.split("/")[0]
        if key not in ours:
            assert kind in may_lack, f"{key} was not computed"
            continue
        got = ours[key]
        assert got.shape == want.shape, key
        if want.dtype.kind != "f" or kind in ("w_hat", "images", "lr"):
            np.testing.assert_array_equal(got, want, err_msg=key)
            continue
        largest = float(np.abs(want).max())
        bound = 1e-10 * largest if bounds is None else bounds.get(key, 0.0)
        if kind == "alpha" and bounds is not None:
            bound = want.size * 2.0**-23 * largest + 300 * 2.0**-24 * largest  # two sums of up to 300 terms
        worst = float(np.abs(got.astype(np.float64) - want.astype(np.float64)).max())
        assert worst <= bound, f"{key}: {worst:.3g} beyond {bound:.3g}"


def state_at(net, plan: Plan, sgd: SGD, batches, values: dict, suffix: str = "", alpha: dict | None = None) -> State:
    """A run that stands on recorded weights, momenta, running statistics, scales and frozen sets."""
    frozen, alpha = part(values, "frozen"), alpha or part(values, "alpha")
    state = State.start(net, plan, sgd, batches)
    state.method = make(plan)
    state.weights = {n: QuantizedWeight(n, net.quantizable()[n], alpha[n], frozen[n]) for n in frozen}
    state.velocity = {k: v.copy() for k, v in part(values, f"velocity{suffix}").items()}  # steps write over it
    return state


@pytest.mark.parametrize("name", STEPS.groups())
def test_one_step_agrees_with_pytorch(name: str) -> None:
    group, entry = STEPS.group(name), OPTIONS[name]
    plan = Plan.from_json({**entry["plan"], "sigma2": [0.0], "epochs": [1, 1]})
    sgd = SGD(lr=float(group["lr"]), schedule=Schedule("constant"), **entry["sgd"])
    batches = GivenBatches([(group["images"], group["labels"])], 1)
    net = network(part(group, "w"), part(group, "buffer"))
    ours = record(net, batches, plan, steps=1, state=state_at(net, plan, sgd, batches, group)).group("0")
    lacks: set[str] = set()
    if plan.sign == "assumed" and plan.a1 == 1 and plan.scope == "network":  # no pass at W is needed
        lacks = {"loss", "grad", "perturbation", "objective"}
    check(group, ours, None, frozenset(lacks))


def test_steps_cover_both_signs_and_every_option() -> None:
    signs = {name: float(STEPS.group(name)["sign"]) for name in STEPS.groups()}
    for levels in ("ternary", "binary"):
        for gradient in ("constant", "straight-through", "taylor-inner", "taylor-elementwise"):
            assert signs[f"{levels}-{gradient}-minus"] == -1
            assert signs[f"{levels}-{gradient}-plus"] == 1
    for option, values in {
        "perturbation": {"abs", "positive"}, "sign": {"computed", "assumed"}, "norm": {"squared", "absolute"},
        "scope": {"network", "layer"}, "per_channel": {False, True},
    }.items():  # fmt: skip
        assert {entry["plan"][option] for entry in OPTIONS.values()} == values


def run_plan(trace) -> tuple[Plan, SGD]:
    stages = 1 + len(trace.meta["plan"]["sigma2"])
    return Plan.from_json({**trace.meta["plan"], "epochs": [1] * stages}), SGD(**trace.meta["sgd"])


def batches_of(trace) -> GivenBatches:
    groups = [trace.group(name) for name in trace.groups()]
    return GivenBatches([(g["images"], g["labels"]) for g in groups], trace.meta["steps_per_stage"])


@pytest.mark.parametrize("dtype", RUNS)
def test_every_step_of_the_run_from_its_recorded_state(dtype: str) -> None:
    """Step i starts from what step i - 1 left, so that the freeze of a stage is ours too."""
    trace = RUNS[dtype]
    plan, sgd = run_plan(trace)
    batches = batches_of(trace)
    groups = [trace.group(name) for name in trace.groups()]
    for i, (group, entry) in enumerate(zip(groups, trace.meta["groups"], strict=True)):
        before, suffix = (groups[i - 1], "_after") if i else (group, "")
        net = network(part(before, f"w{suffix}"), part(before, f"buffer{suffix}"))
        state = state_at(net, plan, sgd, batches, before, suffix)
        state.stage, state.index, state.step = entry["stage"], entry["step"], i
        ours = record(net, batches, plan, steps=1, state=state).group("0")
        bounds = None
        if dtype == "float32":
            bounds = {k.partition("/")[2]: v for k, v in trace.meta["bounds"].items() if k.startswith(f"{i}/")}
        check(group, ours, bounds)
        for name, frozen in part(group, "frozen").items():
            np.testing.assert_array_equal(ours[f"w_after/{name}"][frozen], group[f"w_hat/{name}"][frozen])


def test_free_run_in_float64() -> None:
    """From the first weights on, nothing else taken over: to the last stage, compared by `compare`."""
    trace = RUNS["float64"]
    plan, sgd = run_plan(trace)
    first = trace.group("0")
    net = network(part(first, "w"), part(first, "buffer"))
    found = compare(trace, record(net, batches_of(trace), plan, sgd))
    assert found.ok, str(found)
    assert len(found.findings) == len(trace.tensors)
    assert not found.only_ours
