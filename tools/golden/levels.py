"""Scales and codes ("levels") and the start of a stage ("freeze"): exact, apart from the sums in alpha."""

from __future__ import annotations

import reference
import torch
from torch import Tensor

STAGES = (  # sigma2, the last stage?, momentum reset?
    (0.4, False, False),
    (0.25, False, True),
    (0.0, False, False),
    (0.1, True, False),
)


class Collected:
    """Tensors and groups of the operation traces, as they are added."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.groups: list[dict] = []

    def add(self, name: str, op: str, attributes: dict, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
        self.tensors |= {f"{name}/{k}": v.clone() for k, v in {**inputs, **outputs}.items()}
        entry = {"name": name, "op": op, "attributes": attributes, "inputs": list(inputs), "outputs": list(outputs)}
        self.groups.append(entry)


def _levels(found: Collected, g: torch.Generator, dtype: torch.dtype) -> None:
    for levels in ("ternary", "binary"):
        for per_channel in (False, True):
            for shape in ((5, 3, 3, 3), (4, 7)):
                w = torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)
                w.view(-1)[::9] = 0
                for rule in ("elq", "twn", "l2") if levels == "ternary" else ("elq", "l2"):
                    alpha = reference.scale(w, {"levels": levels, "scale": rule, "per_channel": per_channel})
                    codes = reference.codes_of(w, alpha, levels)
                    w_hat = reference.quantized(w, alpha, levels)
                    name = f"levels-{levels}-{rule}-{'channel' if per_channel else 'layer'}-{len(shape)}d"
                    attributes = {"levels": levels, "scale": rule, "per_channel": per_channel}
                    outputs = {"alpha": alpha, "codes": codes, "w_hat": w_hat}
                    found.add(name, "levels", attributes, {"w": w}, outputs)


def _freeze(found: Collected, name: str, run: reference.Run, sigma2: float, last: bool, options: dict) -> None:
    def now(suffix: str) -> dict[str, Tensor]:
        return {
            f"w{suffix}": run.params["w"],
            f"frozen{suffix}": run.frozen["w"],
            f"velocity{suffix}": run.velocity["w"],
        }

    before = now("") | {"alpha": run.alpha["w"]}
    reference.freeze(run, sigma2, last)
    found.add(name, "freeze", options | {"sigma2": sigma2, "last": last}, before, now("_after"))


def groups(g: torch.Generator, dtype: torch.dtype) -> tuple[dict[str, Tensor], list[dict]]:
    """Tensors and groups of all cases."""
    found = Collected()
    _levels(found, g, dtype)
    for levels in ("ternary", "binary"):
        for tail in ("last", "2alpha"):
            for sigma2, last, reset in STAGES:
                options = {"levels": levels, "tail": tail, "momentum_at_freeze": "reset" if reset else "keep"}
                options["per_channel"] = sigma2 == 0.25
                w = 1.3 * torch.randn(6, 4, 2, 2, generator=g, dtype=torch.float64).to(dtype)
                run = reference.Run(options, {}, {"w": w}, {}, ["w"])
                run.velocity["w"] = torch.randn(w.shape, generator=g, dtype=torch.float64).to(dtype)
                if not last:
                    reference.freeze(run, 0.45, False)  # so that some weights are frozen already
                _freeze(found, f"freeze-{levels}-{tail}-{'end' if last else sigma2}", run, sigma2, last, options)
        # Weights on the very edges: alpha = 1 and multiples of 1/8, signed zeros included.
        ties = torch.arange(-20, 21, dtype=dtype)[:, None] / 8
        ties = torch.cat([ties, torch.tensor([[-0.0]], dtype=dtype)])
        options = {"levels": levels, "tail": "2alpha", "momentum_at_freeze": "keep", "per_channel": False}
        run = reference.Run(options, {}, {"w": ties}, {}, ["w"], alpha={"w": torch.ones(1, 1, dtype=dtype)})
        run.velocity["w"] = torch.ones_like(ties)
        _freeze(found, f"freeze-{levels}-ties", run, 0.25, False, options)
    return found.tensors, found.groups
