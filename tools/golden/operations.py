"""Operation traces: inputs, results, a random cotangent of the result, gradients; float64 and float32."""

from __future__ import annotations

from pathlib import Path

import levels
import torch
import torch.nn.functional as F
from rounding import bounds
from torch import Tensor
from traces import write

CONV = [  # name, x, w, bias, stride, padding, dilation, groups
    ("one", (1, 1, 1, 1), (1, 1, 1, 1), True, (1, 1), (0, 0), (1, 1), 1),
    ("plain", (2, 3, 6, 6), (4, 3, 3, 3), False, (1, 1), (1, 1), (1, 1), 1),
    ("nonsquare", (2, 3, 5, 7), (5, 3, 2, 3), True, (2, 1), (0, 2), (1, 1), 1),
    ("stride-over-kernel", (1, 5, 8, 7), (3, 5, 2, 1), False, (3, 4), (1, 0), (1, 1), 1),
    ("dilated", (2, 2, 9, 8), (3, 2, 3, 2), True, (1, 2), (2, 1), (2, 3), 1),
    ("groups", (2, 6, 5, 4), (9, 2, 3, 3), False, (1, 1), (1, 1), (1, 1), 3),
    ("depthwise", (1, 5, 6, 5), (5, 1, 3, 2), True, (2, 2), (1, 1), (1, 1), 5),
    ("pointwise", (3, 7, 3, 5), (2, 7, 1, 1), False, (1, 1), (0, 0), (1, 1), 1),
    ("row-kernel", (2, 2, 3, 9), (3, 2, 1, 5), False, (1, 2), (0, 3), (1, 1), 1),
    ("kernel-is-image", (4, 3, 4, 3), (6, 3, 4, 3), True, (1, 1), (0, 0), (1, 1), 1),
]
LINEAR = [("one", 1, 1, 1, True), ("wide", 3, 17, 5, True), ("no-bias", 5, 7, 11, False)]
NORM = [("image", (3, 4, 2, 5)), ("one-pixel", (6, 3, 1, 1)), ("flat", (7, 5)), ("shifted", (4, 2, 3, 3))]
POOL = [
    ("square", (2, 3, 6, 6), (2, 2), (2, 2)),
    ("ragged", (1, 2, 7, 5), (3, 2), (2, 2)),
    ("gaps", (2, 1, 8, 9), (2, 3), (3, 4)),
    ("overlap", (1, 3, 5, 6), (3, 3), (1, 2)),
]
PAD = [
    ("option-a", (2, 3, 3, 4), (0, 1, 0, 0), (0, 2, 0, 0)),
    ("rows", (1, 2, 2, 3), (0, 0, 1, 2), (0, 0, 3, 0)),
]
SUBSAMPLE = [("two", (2, 3, 5, 6), 2), ("three", (1, 2, 7, 4), 3)]
LOSS = [("four", 5, 4), ("one-row", 1, 3), ("large", 6, 10)]


class Case:
    """One group of the trace: its arguments and a function that computes the results from them."""

    def __init__(self, op: str, name: str, arguments: dict[str, Tensor], compute, **attributes) -> None:
        self.op, self.name, self.arguments, self.compute, self.attributes = (
            op,
            f"{op}-{name}",
            arguments,
            compute,
            attributes,
        )


def results(case: Case, ops, dtype: torch.dtype, source: torch.dtype) -> dict[str, Tensor]:
    """y, what else comes out and all gradients, computed in `dtype` from values stored in `source`."""
    args = {k: v.to(source).to(dtype) if v.is_floating_point() else v for k, v in case.arguments.items()}
    dy = args.pop("dy", None)
    leaves = {k: v.clone().requires_grad_() for k, v in args.items() if v.is_floating_point() and k not in STATE}
    state = {k: v.clone() for k, v in args.items() if k not in leaves}
    y = case.compute(ops, **leaves, **state)
    grads = torch.autograd.grad(y, list(leaves.values()), dy)
    out = {"y": y.detach()} | {f"{k}_after": v for k, v in state.items() if k in STATE}
    return out | {f"d{k}": g for k, g in zip(leaves, grads, strict=True)}


STATE = ("running_mean", "running_var")


def cases(g: torch.Generator) -> list[Case]:
    """All differentiable operations over all shapes."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    found = []

    def add(op: str, name: str, compute, arguments: dict[str, Tensor], **attributes) -> None:
        y = compute(None, **{k: v.clone() for k, v in arguments.items()})
        cotangent = {"dy": normal(*y.shape)} if op != "softmax_cross_entropy" else {"dy": 0.5 + normal().abs()}
        found.append(Case(op, name, arguments | cotangent, compute, **attributes))

    for name, x, w, bias, stride, padding, dilation, groups in CONV:
        geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

        def conv(ops, x, w, b=None, geometry=geometry):
            return (ops.conv2d if ops else F.conv2d)(x, w, b, **geometry)

        add(
            "conv2d",
            name,
            conv,
            {"x": normal(*x), "w": normal(*w)} | ({"b": normal(w[0])} if bias else {}),
            **geometry,
        )
    for name, n, inputs, outputs, bias in LINEAR:

        def linear(ops, x, w, b=None):
            return (ops.linear if ops else F.linear)(x, w, b)

        arguments = {"x": normal(n, inputs), "w": normal(outputs, inputs)}
        add("linear", name, linear, arguments | ({"b": normal(outputs)} if bias else {}))
    for training in (True, False):
        for name, shape in NORM:

            def norm(ops, x, gamma, beta, running_mean, running_var, training=training):
                if ops:
                    return ops.batch_norm(x, running_mean, running_var, gamma, beta, training)
                return F.batch_norm(x, running_mean, running_var, gamma, beta, training, 0.1, 1e-5)

            c = shape[1]
            x = normal(*shape) * (0.3 if name == "shifted" else 1) + (3 if name == "shifted" else 0)
            arguments = {
                "x": x,
                "gamma": normal(c),
                "beta": normal(c),
                "running_mean": normal(c),
                "running_var": normal(c) ** 2 + 0.1,
            }
            add(
                "batch_norm",
                f"{'train' if training else 'eval'}-{name}",
                norm,
                arguments,
                training=training,
                momentum=0.1,
                eps=1e-5,
            )
    add(
        "relu",
        "any",
        lambda ops, x: F.relu(x),
        {"x": torch.cat([normal(11), torch.zeros(2, dtype=torch.float64)])},
    )
    for name, shape, kernel, stride in POOL:

        def max_pool(ops, x, kernel=kernel, stride=stride):
            return F.max_pool2d(x, kernel, stride)

        def avg_pool(ops, x, kernel=kernel, stride=stride):
            return (ops.avg_pool2d if ops else F.avg_pool2d)(x, kernel, stride)

        add("max_pool", name, max_pool, {"x": normal(*shape)}, kernel=kernel, stride=stride)
        add("avg_pool", name, avg_pool, {"x": normal(*shape)}, kernel=kernel, stride=stride)
    ties = torch.tensor([[1.0, 1, 0, 2], [1, 1, 2, 2], [0, 0, 5, 5], [0, 0, 5, 4]], dtype=torch.float64)[None, None]
    add("max_pool", "ties", lambda ops, x: F.max_pool2d(x, 2), {"x": ties}, kernel=(2, 2), stride=(2, 2))
    for name, shape in (("image", (2, 3, 4, 5)), ("one-pixel", (3, 2, 1, 1))):

        def global_pool(ops, x):
            return (ops.avg_pool2d if ops else F.avg_pool2d)(x, tuple(x.shape[2:]), (1, 1)).flatten(1)

        add("global_avg_pool", name, global_pool, {"x": normal(*shape)})
    add("add", "two", lambda ops, a, b: a + b, {"a": normal(2, 3, 4), "b": normal(2, 3, 4)})
    add("mul", "two", lambda ops, a, b: a * b, {"a": normal(3, 5), "b": normal(3, 5)})
    for name, shape, before, after in PAD:
        widths = [n for pair in reversed(list(zip(before, after, strict=True))) for n in pair]
        add(
            "pad",
            name,
            lambda ops, x, widths=widths: F.pad(x, widths),
            {"x": normal(*shape)},
            before=before,
            after=after,
        )
    for name, shape, stride in SUBSAMPLE:
        add("subsample", name, lambda ops, x, s=stride: x[:, :, ::s, ::s], {"x": normal(*shape)}, step=stride)
    for name, n, k in LOSS:
        labels = torch.randint(k, (n,), generator=g)

        def loss(ops, x, labels):
            return (ops.cross_entropy if ops else F.cross_entropy)(x, labels)

        add(
            "softmax_cross_entropy",
            name,
            loss,
            {"x": normal(n, k) * (30 if name == "large" else 1), "labels": labels},
        )
    return found


def make(folder: Path) -> None:
    """operations-float64 and operations-float32; the second with the bounds of its roundings."""
    for dtype, name in ((torch.float64, "float64"), (torch.float32, "float32")):
        g = torch.Generator().manual_seed(2018)
        tensors: dict[str, Tensor] = {}
        groups, limits = [], {}
        for case in cases(g):
            found = results(case, None, dtype, dtype)
            inputs = {k: v.to(dtype) if v.is_floating_point() else v for k, v in case.arguments.items()}
            tensors |= {f"{case.name}/{k}": v for k, v in {**inputs, **found}.items()}
            groups.append(
                {
                    "name": case.name,
                    "op": case.op,
                    "attributes": case.attributes,
                    "inputs": list(inputs),
                    "outputs": list(found),
                }
            )
            if dtype == torch.float32:
                limit = bounds(lambda ops, case=case: results(case, ops, torch.float64, torch.float32))
                limits |= {f"{case.name}/{k}": v for k, v in limit.items()}
        more_tensors, more_groups = levels.groups(g, dtype)
        write(
            folder,
            f"operations-{name}",
            "operations",
            tensors | more_tensors,
            groups + more_groups,
            dtype=name,
            bounds=limits,
        )
