"""Our own trace: a quantization run that notes everything it computes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as serialize

from ..datasets import Batches
from ..elq.gradients import Evaluated, Forward, Objective
from ..elq.plan import Plan
from ..files import atomic_write
from ..methods import Descent, Method, Moment, QuantizedWeight
from ..nn import Module
from ..tensor import Tensor
from ..training.put_off import LazyPass
from ..training.sgd import SGD
from ..training.stages import quantize
from ..training.state import State, environment
from .ties import Ties, seen
from .trace import VERSION, Trace, files


class _Witness(Method):
    """A Method that does what `inner` does and keeps what passed by, and where rounding decided (`ties`)."""

    def __init__(self, inner: Method, state: State, break_ties: bool) -> None:
        super().__init__(inner.plan)
        self.inner, self.state, self.break_ties = inner, state, break_ties
        self.seen: dict[str, np.ndarray] = {}
        self.ties: dict[str, dict[str, int]] = {}

    def begin(self, name: str, parameter: Tensor) -> QuantizedWeight:
        return self.inner.begin(name, parameter)

    def codes(self, weight: QuantizedWeight) -> np.ndarray:
        return self.inner.codes(weight)

    def w_hat(self, weight: QuantizedWeight) -> np.ndarray:
        return self.inner.w_hat(weight)

    def follow(self, weight: QuantizedWeight, stage: int, descend: Descent) -> None:
        self.inner.follow(weight, stage, descend)

    def select(self, weight: QuantizedWeight, stage: int) -> np.ndarray:
        return self.inner.select(weight, stage)

    def settle(self, weight: QuantizedWeight, chosen: np.ndarray) -> None:
        self.inner.settle(weight, chosen)

    def note(self, kind: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep copies under KIND/NAME."""
        self.seen |= {f"{kind}/{name}": np.array(a, order="C") for name, a in arrays.items()}

    def watch(self, forward: Forward, values: Sequence[np.ndarray]) -> tuple[LazyPass, Ties]:
        """One pass, its gradients formed, and its ties."""
        with seen(self.break_ties) as ties:
            at = forward(values)
            assert isinstance(at, LazyPass)
            _ = at.weights
        return at, ties

    def note_pass(self, suffix: str, at: LazyPass, ties: Ties, weights: Sequence[QuantizedWeight]) -> None:
        """Keep the loss and all gradients of one pass, and what ties may change them by."""
        names = [weight.name for weight in weights]
        shared = [n for n, _ in self.state.net.named_parameters() if n not in names]
        grads = dict(zip(names, at.weights, strict=True)) | dict(zip(shared, at.shared, strict=True))
        head, _, layer = suffix.partition("/")
        of_layer = f"{head}/{layer}" if layer else head
        self.seen[f"loss{suffix}"] = np.asarray(at.loss)
        self.note(f"grad{of_layer}", grads)
        slacks = {name: ties.slack(leaf) for name, leaf in zip([*names, *shared], chain(*at.leaves), strict=True)}
        self.note(f"slack{of_layer}", {name: slack for name, slack in slacks.items() if slack is not None})
        if ties.counts:
            self.ties[f"grad{of_layer}"] = dict(ties.counts)

    def note_state(self, when: str) -> None:
        """Keep momentum, parameters and running statistics."""
        self.note(f"w{when}", {name: p.data for name, p in self.state.net.named_parameters()})
        self.note(f"velocity{when}", self.state.velocity)
        self.note(f"buffer{when}", dict(self.state.net.named_buffers()))

    def objective(
        self, at_w: Forward, at_hat: Forward, weights: Sequence[QuantizedWeight], moment: Moment
    ) -> Objective:
        self.note_state("")
        self.note("frozen", {weight.name: weight.frozen for weight in weights})
        self.note("alpha", {weight.name: weight.alpha for weight in weights})
        self.note("codes", {weight.name: self.inner.codes(weight) for weight in weights})
        self.note("w_hat", {weight.name: self.inner.w_hat(weight) for weight in weights})

        def watched_hat(values: Sequence[np.ndarray]) -> Evaluated:
            at, ties = self.watch(at_hat, values)
            self.note_pass("_hat", at, ties, weights)
            if all(weight.frozen.all() for weight in weights):  # W is W_hat: this pass is both
                self.note_pass("", at, ties, weights)
            return at

        def watched_w(values: Sequence[np.ndarray]) -> Evaluated:
            at, ties = self.watch(at_w, values)
            changed = [weight.name for weight, w in zip(weights, values, strict=True) if w is not weight.w]
            self.note_pass(f"_one/{changed[0]}" if changed else "", at, ties, weights)
            return at

        found = self.inner.objective(watched_w, watched_hat, weights, moment)
        scalars = {
            "sign": found.sign,
            "perturbation": found.perturbation,
            "error": found.error,
            "objective": found.value,
        }
        for kind, value in scalars.items():
            if value is not None:
                self.seen[kind] = np.asarray(value, np.float64)
        names = [weight.name for weight in weights]
        shared = [n for n, _ in self.state.net.named_parameters() if n not in names]
        self.note("grad_total", dict(zip([*names, *shared], [*found.weights, *found.shared], strict=True)))
        return found


class _Overheard:
    """Batches that remember the last one they gave."""

    def __init__(self, batches: Batches) -> None:
        self.inner = batches
        self.last: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for batch in self.inner.epoch(epoch, first):
            self.last = batch
            yield batch


def record(
    net: Module,
    batches: Batches,
    plan: Plan,
    sgd: SGD | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    steps: int | None = None,
    state: State | None = None,
    break_ties: bool = False,
) -> Trace:
    """Quantize `net` in place and return the trace of the run (its first `steps` steps; all by default).

    With `path` it is written too, as PATH.safetensors and PATH.json; `state` goes on from a run that was
    saved. break_ties: where rounding would decide what a gradient flows through, a rule does (`ties.seen`), so that
    every machine records the same; the run is then not quite the one that training makes.
    """
    if plan.method != "elq":
        raise ValueError(f"a trace says what ELQ computes: wanted method elq, given {plan.method}")
    if plan.second_loss != "whole":
        raise ValueError(f"a trace has L(W_hat) for the second loss: wanted whole, given {plan.second_loss}")
    overheard = _Overheard(batches)
    state = state or State.start(net, plan, sgd or SGD(), batches)
    witness = _Witness(state.method, state, break_ties)
    state.method = witness
    tensors: dict[str, np.ndarray] = {}
    groups: list[dict[str, Any]] = []
    try:
        for step in islice(quantize(net, overheard, plan, state=state), steps):  # type: ignore[arg-type]
            assert overheard.last is not None  # a step has had its batch
            images, labels = overheard.last
            witness.note_state("_after")
            seen = {
                "images": np.array(images, order="C"),
                "labels": np.array(labels),
                "lr": np.asarray(step.lr),
                **witness.seen,
            }
            name = str(len(groups))
            tensors |= {f"{name}/{key}": value for key, value in seen.items()}
            groups.append(
                {
                    "name": name,
                    "stage": step.stage,
                    "step": step.index,
                    "starts_stage": step.index == 0,
                    "frozen": step.frozen,
                    "ties": witness.ties,
                }
            )
            witness.seen, witness.ties = {}, {}
    finally:
        state.method = witness.inner
    meta = {
        "format": "elq-trace",
        "version": VERSION,
        "kind": "run",
        "dtype": str(next(net.named_parameters())[1].dtype),
        "plan": plan.to_json(),
        "sgd": asdict(state.sgd),
        "parameters": [name for name, _ in net.named_parameters()],
        "quantized": list(state.weights),
        "bounds": {},
        "ties": "broken" if break_ties else "as computed",
        "groups": groups,
        "made_by": environment(),
    }
    return _written(Path("trace" if path is None else path), tensors, meta, path is not None)


def _written(path: Path, tensors: dict[str, np.ndarray], meta: dict[str, Any], to_disk: bool) -> Trace:
    target, beside = files(path)
    if to_disk:
        payload = serialize(tensors)
        meta["tensors"] = {"file": target.name, "sha256": hashlib.sha256(payload).hexdigest()}
        for file, content in (
            (target, payload),
            (beside, json.dumps(meta, indent=1).encode()),
        ):
            with atomic_write(file) as temporary:
                temporary.write_bytes(content)
    return Trace(target, tensors, meta)
