"""State: everything that changes during a quantization run, in one object that can be saved and resumed."""

from __future__ import annotations

import hashlib
import json
import operator
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, checkpoint, kernels
from ..datasets import Batches, PictureFiles
from ..elq.plan import Plan
from ..errors import FormatError
from ..graph.nodes import Graph
from ..graph_builder import graph_of
from ..methods import Method, QuantizedWeight, make, plan_from_json
from ..nn import Module
from ..tensor import Tensor
from .sgd import SGD, Schedule

KIND = "elq run"
CHECKSUM = "sha256"  # the key in the file's metadata


def environment() -> dict[str, str]:
    """What the bits of a result depend on besides seed, data and plan."""
    info = kernels.info()
    return {
        "elq_ref": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "kernel": info["kernel"],
        "threads": str(info["threads"]),
    }


@dataclass
class State:
    """A run between two steps.

    net holds all parameters as they stand; `weights` says of the quantized ones among them, by name, their alpha and
    frozen set; `velocity` is the momentum of every parameter by name. `stage` and `index` say what comes next: step
    `index` of `stage`, whose freeze happens before its step 0; `step` counts all updates so far. `graph` is what the
    network computes, kept in the file; None of a network that no graph holds.

    >>> train, _ = elq.datasets.digits()
    >>> batches = elq.Batches(train.subset(slice(64)), 32)
    >>> for step in elq.quantize(elq.models.lenet5((1, 8, 8)), batches, elq.Plan(sigma2=(0.0,), epochs=(1, 1))):
    ...     step.state.save("run.safetensors")
    ...     break
    >>> net = elq.models.lenet5((1, 8, 8))
    >>> state = elq.State.load("run.safetensors", net)
    >>> rest = list(elq.quantize(net, batches, state.plan, state=state))
    >>> len(rest), state.done, state.share_frozen()
    (3, True, 1.0)
    """

    net: Module
    plan: Plan
    sgd: SGD
    method: Method
    weights: dict[str, QuantizedWeight]
    velocity: dict[str, np.ndarray]
    batches: dict[str, Any]
    stage: int = 0
    index: int = 0
    step: int = 0
    differences: list[str] = field(default_factory=list)
    graph: Graph | None = None

    @classmethod
    def start(cls, net: Module, plan: Plan, sgd: SGD, batches: Batches) -> State:
        """The state before the first step; ValueError if `plan.keep_float` names a weight that `net` has not."""
        quantizable = net.quantizable()
        unknown = set(plan.keep_float) - set(quantizable)
        if unknown:
            raise ValueError(f"keep_float names {', '.join(sorted(unknown))}; the weights are {', '.join(quantizable)}")
        method = make(plan)
        weights = {n: method.begin(n, p) for n, p in quantizable.items() if n not in plan.keep_float}
        velocity = {n: np.zeros(p.shape, p.dtype) for n, p in net.named_parameters()}
        state = cls(net, plan, sgd, method, weights, velocity, describe(batches))
        state.keep_graph(batches)
        return state

    def keep_graph(self, batches: Batches) -> None:
        """Make the graph that is saved beside the weights, where there is none: files had none once."""
        shape = getattr(batches.dataset, "input_shape", None)  # batches of one's own need not say it
        if self.graph is None and shape is not None:
            self.graph = graph_of(self.net, shape)

    @property
    def done(self) -> bool:
        """Whether every stage has run."""
        return self.stage == self.plan.stages

    def share_frozen(self) -> float:
        """Frozen weights / quantized weights, 0 to 1."""
        total = sum(weight.frozen.size for weight in self.weights.values())
        return sum(int(weight.frozen.sum()) for weight in self.weights.values()) / max(total, 1)

    def quantized(self) -> dict[str, np.ndarray]:
        """W_hat of every quantized weight by name, of its shape and dtype."""
        return {name: self.method.w_hat(weight) for name, weight in self.weights.items()}

    def codes(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """(codes int8, alpha) of every quantized weight by name, for `pack`.

        ValueError for a method whose W_hat is not alpha * codes: ttq has two scales a layer.
        """
        if not self.method.one_scale:
            raise ValueError(
                f"W_hat of {self.plan.method} is not alpha * codes: there are no codes; give the network "
                "state.quantized() for weights and pack it with quantized={}, in float32"
            )
        return {name: (self.method.codes(weight), weight.alpha) for name, weight in self.weights.items()}

    def save(self, path: str | os.PathLike[str], **metadata: Any) -> None:
        """Write the run to a safetensors file, atomically; `metadata` (JSON values) is kept beside it."""
        tensors = self.net.state_dict()
        for name, weight in self.weights.items():
            tensors[f"elq/alpha/{name}"] = weight.alpha
            tensors[f"elq/frozen/{name}"] = weight.frozen
            tensors |= {f"elq/extra/{name}/{key}": value for key, value in weight.extra.items()}
        tensors |= {f"elq/velocity/{name}": v for name, v in self.velocity.items()}
        run = {
            "plan": self.plan.to_json(),
            "sgd": asdict(self.sgd),
            "batches": self.batches,
            "stage": self.stage,
            "index": self.index,
            "step": self.step,
            "environment": environment(),
        }
        said = {**metadata, "kind": KIND, "run": run, **checkpoint.graph_metadata(self.graph)}
        checkpoint.write(path, tensors, sealed(tensors, said))

    @classmethod
    def load(cls, path: str | os.PathLike[str], net: Module) -> State:
        """Read a run written by `save` into `net`, a model of the same architecture.

        `differences` lists what of the environment has changed since: with none, the run goes on to the same bits.
        Raises FormatError for a file that is no run, ValueError for one of another architecture.
        """
        return cls.of(checkpoint.read(path), net)

    @classmethod
    def of(cls, file: checkpoint.Checkpoint, net: Module) -> State:
        """`load` of a file that was read already."""
        path, tensors, metadata = file.path, file.tensors, file.metadata
        if metadata.get("kind") != KIND:
            kind = str(metadata.get("kind", "checkpoint"))[:40]
            raise FormatError(f"{path} is a {kind!r}, wanted a saved quantization run")
        if metadata.get(CHECKSUM) != sealed(tensors, metadata)[CHECKSUM]:
            raise FormatError(f"{path} is damaged: its checksum is not that of its content")
        try:
            run = metadata["run"]
            plan, sgd, method = _choices(path, run)
            net.load_state_dict({n: t for n, t in tensors.items() if not n.startswith("elq/")})
            weights = {n: _weight(n, p, tensors) for n, p in net.quantizable().items() if n not in plan.keep_float}
            velocity = {n: tensors[f"elq/velocity/{n}"] for n, _ in net.named_parameters()}
            now, then = environment(), run["environment"]
            differ = [key for key in now if then.get(key) != now[key]]
            changed = [f"{key} was {str(then.get(key))[:40]}, is {now[key]}" for key in differ]
            stage, index, step = (operator.index(run[key]) for key in ("stage", "index", "step"))
            return cls(
                net, plan, sgd, method, weights, velocity, run["batches"], stage, index, step, changed, file.graph
            )
        except (KeyError, TypeError, AttributeError) as error:
            said = checkpoint.tensors.one_line(error)
            raise FormatError(f"{path} lacks or misstates {said} of a quantization run") from error


def sealed(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata with the SHA-256 of all that a file holds: damage in a tensor would otherwise train on unseen."""
    content = {key: value for key, value in metadata.items() if key != CHECKSUM}
    sums = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        sums.update(f"{name} {array.dtype.str} {array.shape}".encode())
        sums.update(array.reshape(-1).view(np.uint8).data)
    return content | {CHECKSUM: sums.hexdigest()}


def describe(batches: Batches) -> dict[str, Any]:
    """What decides the content of every batch; a run is resumed only with the same."""
    images, augment = getattr(batches.dataset, "images", None), batches.augment  # batches of one's own may hide them
    files = {"files": images.digest} if isinstance(images, PictureFiles) else {}
    micro_batch = getattr(batches, "micro_batch", None)
    cut = {} if micro_batch is None else {"micro_batch": micro_batch}
    return files | cut | {
        "dataset": batches.dataset.name,
        "images": len(batches.dataset),
        "batch_size": batches.batch_size,
        "seed": batches.seed,
        "augment": None if augment is None else json.loads(json.dumps(asdict(augment))),  # lists, as a file has them
    }


def _choices(path: Path, run: dict[str, Any]) -> tuple[Plan, SGD, Method]:
    try:
        plan = plan_from_json(run["plan"])
        return plan, SGD(**{**run["sgd"], "schedule": _schedule(run["sgd"]["schedule"])}), make(plan)
    except ValueError as error:  # it shows values of the file, however long
        raise FormatError(f"{path}: {checkpoint.tensors.one_line(error)}") from error


def _schedule(values: dict[str, Any]) -> Schedule:
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Schedule(**given)


def _weight(name: str, parameter: Tensor, tensors: dict[str, np.ndarray]) -> QuantizedWeight:
    prefix = f"elq/extra/{name}/"
    extra = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    alpha, frozen = tensors[f"elq/alpha/{name}"], tensors[f"elq/frozen/{name}"]
    w = parameter.data
    if frozen.shape != w.shape or frozen.dtype != bool or alpha.ndim != w.ndim or alpha.dtype != w.dtype:
        raise FormatError(
            f"{name} is {w.dtype} {w.shape}, its frozen set {frozen.dtype} {frozen.shape}, "
            f"its alpha {alpha.dtype} {alpha.shape}"
        )
    return QuantizedWeight(name, parameter, alpha, frozen, extra)
