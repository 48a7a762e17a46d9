"""Which decisions on weights rounding takes: a level at its threshold, a band at its edge, the sign s at 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .ties import TIED

Group = Mapping[str, np.ndarray]  # the tensors of a step


def undecided(name: str, group: Group, before: Group, meta: Mapping[str, Any]) -> np.ndarray | None:
    """bool: where `name` (codes, w_hat, frozen or sign) of a step may be other in a sound implementation.

    None: nowhere. group, before: the tensors of the step and of the one before ({}: none); meta: the JSON of the trace.
    """
    kind, _, weight = name.partition("/")
    plan = meta.get("plan", {})
    if kind == "sign" and {"loss", "loss_hat"} <= set(group):
        loss = group["loss"]
        return np.asarray(np.abs(loss - group["loss_hat"]) <= _tied(loss) * np.abs(loss))
    levels, alpha = plan.get("levels"), group.get(f"alpha/{weight}")
    if alpha is None or levels not in ("ternary", "binary"):
        return None
    if kind in ("codes", "w_hat"):
        return _at(group.get(f"w/{weight}"), alpha, [0.5 if levels == "ternary" else 0.0])
    if kind == "frozen":
        edges = [2.0] if plan.get("tail") == "2alpha" else []
        for sigma2 in plan.get("sigma2", []):
            edges += [sigma2, 1 - sigma2] if levels == "ternary" else [1 - 2 * sigma2]
        return _at(before.get(f"w_after/{weight}"), alpha, edges)
    return None


def _tied(value: np.ndarray) -> float:
    return TIED.get(str(value.dtype), 0.0)


def _at(w: np.ndarray | None, alpha: np.ndarray, edges: list[float]) -> np.ndarray | None:
    """bool: where |w| is one of `edges` times alpha, up to rounding."""
    if w is None or np.squeeze(alpha).ndim > 1:
        return None
    if alpha.ndim != w.ndim:
        alpha = alpha.reshape(-1, *(1,) * (w.ndim - 1))
    near = [np.abs(np.abs(w) - edge * alpha) <= _tied(w) * alpha for edge in edges]
    return np.any(near, axis=0) if near else None
