"""A run: one network quantized in a folder of its own, from the first step to the packed file and its test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from .. import checkpoint
from ..checkpoint import Codes
from ..datasets import Batches, Dataset
from ..deploy import pack
from ..elq.plan import Plan
from ..graph.info import Described, NetworkInfo
from ..nn import Module
from ..runtime import PackedNetwork
from ..training.evaluate import reestimate
from ..training.sgd import SGD
from ..training.stages import Step, check_single, quantize, stage_steps
from ..training.state import State, environment
from . import answers
from .estimate import evaluation_seconds
from .layers import layer_records, shares_of_shape
from .measures import accuracies, largest_difference, right_packed
from .together import folder_of

REESTIMATION_BATCHES = 50
PASS_BATCHES, PASS_PICTURES = 20, 2000  # for the measurements after every pass, which must cost little

Watch = Callable[[Iterator[Step]], Iterator[Step]]
Record = dict[str, Any]


class Run:
    """Quantizes `net` in place, keeps everything in a folder, and goes on from there when it was stopped.

    path: of the folder (elq_ref.runs.folder says what lies in it). batches: what trains; the processes of their world
    share the run. test: what the packed file is measured on, once, at the end. judge: what every stage is measured on
    (default: test). info: which pictures the network reads and what its outputs mean (default: as the pictures of
    `batches`). config: what was asked for, JSON values, "plan" among them; only a run of the same is resumed (default:
    plan, sgd, and what the batches are). every_pass: measure after every pass over the data, too.

    >>> train, test = elq.datasets.digits()
    >>> net, batches = elq.models.digits_cnn(), elq.Batches(train, 128)
    >>> run = elq.Run("first", net, batches, elq.Plan(sigma2=(0.0,), epochs=(1, 1)), elq.SGD(0.03), test=test)
    >>> for stage in run.start():  # or run.resume()
    ...     print(f"stage {stage['stage']}: {stage['frozen']:.0%} frozen")
    stage 0: 0% frozen
    stage 1: 100% frozen
    >>> packed = elq.PackedNetwork.load(run.result()["packed"])
    >>> packed.weight_bytes < packed.float_bytes / 15
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        net: Module,
        batches: Batches,
        plan: Plan,
        sgd: SGD,
        *,
        test: Dataset,
        judge: Dataset | None = None,
        info: Described | None = None,
        config: Mapping[str, Any] | None = None,
        every_pass: bool = False,
    ) -> None:
        self.world = batches.world
        self.folder, self.net, self.batches, self.plan, self.sgd = folder_of(path, self.world), net, batches, plan, sgd
        self.test, self.judge, self.every_pass = test, judge or test, every_pass
        self.info = NetworkInfo.of(info or batches.dataset)
        self.config = dict(config or self._usual_config())
        self.state: State | None = None  # where the run stands, once it has begun

    def _usual_config(self) -> dict[str, Any]:
        asked = {"data": self.batches.dataset.name, "batch_size": self.batches.batch_size, "seed": self.batches.seed}
        return asked | {"plan": self.plan.to_json(), "sgd": asdict(self.sgd)}

    @property
    def left(self) -> int:
        """Steps that are still to do."""
        return sum(stage_steps(self.plan, self.batches)) - (self.state.step if self.state else 0)

    @property
    def files(self) -> dict[str, str]:
        """The paths of the networks that a finished run leaves: {"checkpoint", "packed"}."""
        names = {"checkpoint": "quantized.safetensors", "packed": "net.elq"}
        return {what: str(self.folder.path / name) for what, name in names.items()}

    def start(self, watch: Watch = iter) -> Iterator[Record]:
        """Begin a new run and iterate over its stages: yields a record at the end of each, then packs and tests.

        A record has the means over the stage of L(W), L(W_hat), Lp and E, the share frozen, where free weights stand
        (runs.layers.shares_of_shape), and the accuracies (per cent of `judge`) of the network as it stands (W) and of
        the fully quantized one (W_hat), each with re-estimated BatchNorm; of several "processes" also the bytes of
        gradients that the first "sent" in a step, and those that a "ring" all-reduce would have. It is kept in
        stages.jsonl; layers.jsonl has where the weights stood before the first step and at the end of every stage
        (elq_ref.runs.layers); with `every_pass`, passes.jsonl has accuracies after the other passes, on the first
        `PASS_PICTURES` of `judge`. watch: wraps the iterator over steps, to show progress.
        Raises ValueError if the folder holds a run already, or the plan does not fit the network.
        """
        self.state = State.start(self.net, self.plan, self.sgd, self.batches)
        check_single(self.net, self.batches, range(min(REESTIMATION_BATCHES, len(self.batches))))
        self.folder.start(self.config)
        return self._stages(watch)

    def resume(self, watch: Watch = iter) -> Iterator[Record]:
        """Go on from the state that was saved last, to the same bits: as `start`, of the stages that are left.

        Of a finished run none is. Raises FileNotFoundError if the folder holds no run, ValueError if one of something
        else, or if another process works on it.
        """
        self.folder.check(self.config)
        finished = self.world.told(self.folder.result() is not None)
        return iter(()) if finished else self._stages(watch, resumed=True)

    def packed_bytes(self) -> int:
        """How many bytes the packed file will have, once the run has begun.

        They are those of the network as it stands, whose codes have other values: it is exact unless a ternary layer
        has a weight on 0 now and none at the end, or the other way round.
        """
        if self.state is None:
            raise ValueError(f"the run in {self.folder.path} has not begun")
        return len(self._packed(self._codes(self.state)).content())

    def measuring_seconds(self) -> float:
        """About how long all that is still to be measured at the ends of stages and of the run will take."""
        if self.state is None:
            raise ValueError(f"the run in {self.folder.path} has not begun")
        estimation = REESTIMATION_BATCHES * self.batches.batch_size
        stages = self.plan.stages - self.state.stage
        pictures = 2 * stages * (estimation + len(self.judge)) + estimation + len(self.test)
        return evaluation_seconds(self.net, self.judge, pictures)

    def _codes(self, state: State) -> dict[str, Codes]:
        return state.codes() if state.method.one_scale else {}  # of another method W_hat is packed as float32

    def _packed(self, codes: dict[str, Codes]) -> PackedNetwork:
        return pack(self.net, self.info, quantized=codes, metadata={"plan": self.plan.to_json(short=True)})

    def result(self) -> Record:
        """What `finish` found, of several processes the first; ValueError if the run is not finished."""
        found: Record | None = self.world.told(self.folder.result() if self.world.rank == 0 else None)
        if found is None:
            raise ValueError(f"the run in {self.folder.path} is not finished: go on with resume()")
        return found | self.files

    def _stages(self, watch: Watch, resumed: bool = False) -> Iterator[Record]:
        with self.folder.locked():
            state = self.folder.resume(self.net, self.batches) if resumed else self.state
            self.state = state or State.start(self.net, self.plan, self.sgd, self.batches)
            yield from self._measured(self.state, watch)
            self.finish()

    def _measured(self, state: State, watch: Watch) -> Iterator[Record]:
        """Every stage's record, as it ends; the logs are written on the way."""
        folder, batches, some = self.folder, self.batches, self.judge.subset(slice(PASS_PICTURES))
        sent, ring, steps = self.world.sent, self.world.ring, 0
        if state.step == 0:
            folder.append("layers.jsonl", {"step": 0, "stage": -1, "layers": layer_records(state)})
        for step in folder.follow(watch(quantize(self.net, batches, self.plan, state=state))):
            place = {"step": step.step, "stage": step.stage}
            steps += 1
            if step.ends_stage:
                record = {**place, "stages": step.stages, "frozen": step.frozen}
                record |= folder.means(step.stage, ("loss", "loss_hat", "perturbation", "error"))
                record |= accuracies(state, batches, self.judge, REESTIMATION_BATCHES)
                layers = layer_records(state)
                record |= shares_of_shape(layers, self.plan.levels) if layers else {}
                if self.world.size > 1:
                    record["processes"] = self.world.size
                    record |= {"sent": (self.world.sent - sent) / steps, "ring": (self.world.ring - ring) / steps}
                    sent, ring, steps = self.world.sent, self.world.ring, 0
                folder.append("stages.jsonl", record)
                folder.append("layers.jsonl", {**place, "layers": layers})
                yield record
            elif self.every_pass and step.step % len(batches) == 0:
                folder.append("passes.jsonl", place | accuracies(state, batches, some, PASS_BATCHES))

    def finish(self) -> None:
        """Make W_hat of the network, re-estimate its BatchNorm, write both files, and classify `test` from the packed.

        The iterators of `start` and `resume` end with it. result.json has {"correct", "total", "top1" (per cent),
        "weight_bytes", "float_bytes", "packed_as_float" (layers whose levels do not fit the packed format),
        "difference" (`largest_difference`), "seconds" (the run's time), "environment" (versions, kernels, threads)}.
        """
        state = self.state
        if state is None or not state.done:
            raise ValueError(f"the run in {self.folder.path} has {self.left} steps left")
        codes = self._codes(state)
        parameters = dict(self.net.named_parameters())
        for name, w_hat in state.quantized().items():
            parameters[name].data = w_hat
        reestimate(self.net, self.batches, REESTIMATION_BATCHES)
        if self.world.rank == 0:
            self._write(state, codes)

    def _write(self, state: State, codes: dict[str, Codes]) -> None:
        plan = self.plan.to_json(short=True)
        checkpoint.save(self.net, self.files["checkpoint"], self.info, codes=codes, plan=plan)
        self._packed(codes).save(self.files["packed"])
        packed = PackedNetwork.load(self.files["packed"])
        right = right_packed(packed, self.test)
        correct, total = int(right.sum()), len(right)
        result = {
            "correct": correct,
            "total": total,
            "top1": 100 * correct / total,
            "right": answers.to_text(right),
            "weight_bytes": packed.weight_bytes,
            "float_bytes": packed.float_bytes,
            "packed_as_float": sorted(set(state.weights) - set(codes)),
            "difference": largest_difference(self.net, packed, self.test),
            "seconds": round(self.folder.seconds, 1),
            "environment": environment(),
        }
        self.folder.write_json("result.json", result)
