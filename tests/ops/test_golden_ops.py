"""Every operation, the levels and the freeze against golden traces made by PyTorch, without PyTorch.

float64: 1e-10 of a tensor's largest value. float32: the bound that the trace states for each tensor
(tools/golden/rounding.py derives it). Codes, sets and levels: equal bits.
"""

import numpy as np
import pytest
from golden_traces import FOLDER

from elq_ref import SGD, Plan, Tensor, ops
from elq_ref.crosscheck import load
from elq_ref.elq.levels import dequantize, nearest_codes, scale
from elq_ref.methods import QuantizedWeight, make
from elq_ref.nn import Module
from elq_ref.training.stages import freeze
from elq_ref.training.state import State

pytestmark = pytest.mark.kernels

if not (FOLDER / "operations-float64.safetensors").is_file():
    pytest.skip("the source distribution leaves out tests/golden/operations-*", allow_module_level=True)
TRACES = {dtype: load(FOLDER / f"operations-{dtype}") for dtype in ("float64", "float32")}
CASES = [
    pytest.param(dtype, entry, id=f"{entry['name']}-{dtype}")
    for dtype, trace in TRACES.items()
    for entry in trace.meta["groups"]
]


def cases(*only: str) -> pytest.MarkDecorator:
    chosen = [case for case in CASES if (case.values[1]["op"] in ("levels", "freeze")) == bool(only)]
    return pytest.mark.parametrize(("dtype", "entry"), [c for c in chosen if not only or c.values[1]["op"] in only])


def apply(op: str, args: dict[str, Tensor], given: dict[str, np.ndarray], attributes: dict) -> Tensor:
    if op == "softmax_cross_entropy":
        return ops.softmax_cross_entropy(args["x"], given["labels"])
    if op == "batch_norm":
        return ops.batch_norm(**args, **given, **attributes)
    if op in ("add", "mul"):
        return getattr(ops, op)(args["a"], args["b"])
    return getattr(ops, op)(**args, **attributes)


@cases()
def test_results_and_gradients(dtype: str, entry: dict) -> None:
    trace = TRACES[dtype]
    group = trace.group(entry["name"])
    attributes = {k: tuple(v) if isinstance(v, list) else v for k, v in entry["attributes"].items()}
    given = {k: group[k].copy() for k in ("running_mean", "running_var", "labels") if k in group}
    names = [k for k in entry["inputs"] if k not in given and k != "dy"]
    args = {k: Tensor(group[k], requires_grad=True) for k in names}
    y = apply(entry["op"], args, given, attributes)
    y.backward(group["dy"])
    ours = {"y": y.data} | {f"{k}_after": v for k, v in given.items()} | {f"d{k}": t.grad for k, t in args.items()}
    for key in entry["outputs"]:
        want, got = group[key], ours[key]
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        bound = 1e-10 * float(np.abs(want).max())
        if dtype == "float32":
            bound = trace.meta["bounds"][f"{entry['name']}/{key}"]
        worst = float(np.abs(got.astype(np.float64) - want.astype(np.float64)).max())
        assert worst <= bound, f"{key}: {worst:.3g} beyond {bound:.3g}"


@cases("levels")
def test_levels(dtype: str, entry: dict) -> None:
    group, levels = TRACES[dtype].group(entry["name"]), entry["attributes"]["levels"]
    alpha = scale(group["w"], levels, entry["attributes"]["scale"], entry["attributes"]["per_channel"])
    # A mean of n terms in any order, by either side: n u each (Higham 2002, section 4.2).
    terms = group["w"].size // alpha.size
    np.testing.assert_allclose(alpha, group["alpha"], rtol=(terms + 3) * np.finfo(dtype).eps, atol=0)
    codes = nearest_codes(group["w"], group["alpha"], levels)
    np.testing.assert_array_equal(codes, group["codes"])
    w_hat = dequantize(codes, group["alpha"])
    assert w_hat.tobytes() == np.ascontiguousarray(group["w_hat"]).tobytes()  # +0.0 included


class OneWeight(Module):
    """A network that is one weight, to freeze."""

    def __init__(self, w: np.ndarray) -> None:
        self.w = Tensor(w, requires_grad=True)


@cases("freeze")
def test_freeze(dtype: str, entry: dict) -> None:
    group, told = TRACES[dtype].group(entry["name"]), entry["attributes"]
    options = {k: v for k, v in told.items() if k not in ("sigma2", "last")}
    sigma2 = (0.5, told["sigma2"]) if told["last"] else (told["sigma2"], 0.0)
    plan = Plan(sigma2=sigma2, epochs=(1.0, 1.0, 1.0), **options)
    net = OneWeight(group["w"])
    weight = QuantizedWeight("w", net.w, group["alpha"], group["frozen"])
    state = State(net, plan, SGD(), make(plan), {"w": weight}, {"w": group["velocity"]}, {})
    state.stage = 2 if told["last"] else 1
    freeze(state)
    np.testing.assert_array_equal(weight.frozen, group["frozen_after"])
    assert np.ascontiguousarray(weight.w).tobytes() == np.ascontiguousarray(group["w_after"]).tobytes()
    np.testing.assert_array_equal(state.velocity["w"], group["velocity_after"])
    assert weight.frozen.any()
    assert weight.frozen.all() == told["last"]
