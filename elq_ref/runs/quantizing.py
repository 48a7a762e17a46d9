"""A whole quantization with its reports: what `elq quantize`, `elq reproduce` and `elq demo` do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import checkpoint
from ..datasets import Batches, Dataset
from ..deploy import pack
from ..elq.plan import Plan
from ..nn import Module
from ..runtime import PackedNetwork, Session
from ..tensor import Tensor, no_grad
from ..training.evaluate import evaluate, reestimate, standing_on
from ..training.sgd import SGD
from ..training.stages import Step, quantize
from ..training.state import State, environment
from .folder import RunFolder
from .layers import layer_records

REESTIMATION_BATCHES = 50
PASS_BATCHES, PASS_PICTURES = 20, 2000  # for the measurements after every pass, which must cost little


def run_stages(
    net: Module,
    batches: Batches,
    judge: Dataset,
    plan: Plan,
    sgd: SGD,
    folder: RunFolder,
    *,
    state: State | None = None,
    every_pass: bool = False,
    watch: Callable[[Iterator[Step]], Iterator[Step]] = iter,
) -> Iterator[dict[str, Any]]:
    """Run or resume the quantization of `net` in `folder`, yielding a record at the end of every stage.

    A record has the means over the stage of L(W), L(W_hat), Lp and E, the share frozen, and the accuracies (per cent of
    `judge`) of the network as it stands (W) and of the fully quantized one (W_hat), each with re-estimated BatchNorm.
    It is kept in stages.jsonl; layers.jsonl has where the weights stood before the first step and at the end of every
    stage (elq_ref.runs.layers). With `every_pass`, passes.jsonl has accuracies after the other passes over the data, on
    the first `PASS_PICTURES` of `judge`.
    """
    state = state or State.start(net, plan, sgd, batches)
    if state.step == 0:
        folder.append("layers.jsonl", {"step": 0, "stage": -1, "layers": layer_records(state)})
    some = judge.subset(slice(PASS_PICTURES))
    for step in folder.follow(watch(quantize(net, batches, plan, state=state))):
        place = {"step": step.step, "stage": step.stage}
        if step.ends_stage:
            record = {**place, "stages": step.stages, "frozen": step.frozen}
            record |= folder.means(step.stage, ("loss", "loss_hat", "perturbation", "error"))
            record |= accuracies(step.state, batches, judge, REESTIMATION_BATCHES)
            folder.append("stages.jsonl", record)
            folder.append("layers.jsonl", {**place, "layers": layer_records(step.state)})
            yield record
        elif every_pass and step.step % len(batches) == 0:
            folder.append("passes.jsonl", place | accuracies(step.state, batches, some, PASS_BATCHES))


def accuracies(state: State, batches: Batches, judge: Dataset, reestimation: int) -> dict[str, float]:
    """{"top1": of W, "top1_hat": of W_hat, in per cent; "judge_loss", "judge_loss_hat": their mean cross entropy}."""
    result: dict[str, float] = {}
    for end, weights in (("", {}), ("_hat", state.quantized())):
        if end and all(weight.frozen.all() for weight in state.weights.values()):  # W is W_hat
            result |= {f"{key}_hat": value for key, value in result.items()}
            break
        with standing_on(state.net, weights, batches, reestimation):
            correct, loss = evaluate(state.net, judge)
        result |= {f"top1{end}": 100 * correct / len(judge), f"judge_loss{end}": loss}
    return result


def stage_line(record: dict[str, Any]) -> str:
    """One line of the log that `run_stages` makes."""

    def number(key: str) -> str:
        return f"{record[key]:.4f}" if key in record else "-"

    return (
        f"stage {record['stage']}/{record['stages'] - 1}  frozen {record['frozen']:6.1%}  L(W) {number('loss')}  "
        f"L(W_hat) {number('loss_hat')}  Lp {number('perturbation')}  E {number('error')}  "
        f"top-1 W {record['top1']:.2f} %  W_hat {record['top1_hat']:.2f} %"
    )


def finish(net: Module, batches: Batches, test: Dataset, folder: RunFolder, metadata: dict[str, Any]) -> dict[str, Any]:
    """Re-estimate BatchNorm for the network of the run's last state, write quantized.safetensors and net.elq, and
    classify `test` from the packed file.

    Returns {"correct", "total", "top1" (per cent), "weight_bytes", "float_bytes", "packed" and "checkpoint" (paths),
    "packed_as_float" (layers whose levels do not fit the packed format), "difference" (`largest_difference`), "seconds"
    (the run's time), "environment" (versions, kernels, threads)}; without the paths it is also result.json. `test` is
    read once.
    """
    state = State.load(folder.state_path, net)
    codes = state.codes()
    parameters = dict(net.named_parameters())
    for name, weights in state.quantized().items():
        parameters[name].data = weights
    reestimate(net, batches, REESTIMATION_BATCHES)
    paths = written(folder)
    save_quantized(net, codes, paths["checkpoint"], {**metadata, "plan": state.plan.to_json()})
    pack_network(net, codes, metadata | {"plan": state.plan.to_json()}).save(paths["packed"])

    packed = PackedNetwork.load(paths["packed"])
    correct, total = count_correct_packed(packed, test)
    result = {
        "correct": correct,
        "total": total,
        "top1": 100 * correct / total,
        "weight_bytes": packed.weight_bytes,
        "float_bytes": packed.float_bytes,
        "packed_as_float": sorted(set(state.weights) - set(codes)),
        "difference": largest_difference(net, packed, test),
        "seconds": round(folder.seconds, 1),
        "environment": environment(),
    }
    folder.write_json("result.json", result)
    return result | paths


def written(folder: RunFolder) -> dict[str, str]:
    """The paths of the networks that `finish` writes."""
    return {"checkpoint": str(folder.path / "quantized.safetensors"), "packed": str(folder.path / "net.elq")}


def save_quantized(
    net: Module, codes: dict[str, tuple[np.ndarray, np.ndarray]], path: str, metadata: dict[str, Any]
) -> None:
    """A checkpoint that says, beside the weights W_hat, their codes and alpha: elq/codes/NAME and elq/alpha/NAME."""
    tensors = net.state_dict()
    for name, (code, alpha) in codes.items():
        tensors |= {f"elq/codes/{name}": code, f"elq/alpha/{name}": alpha}
    checkpoint.save(path, tensors, metadata)


def pack_network(
    net: Module, codes: dict[str, tuple[np.ndarray, np.ndarray]], metadata: dict[str, Any]
) -> PackedNetwork:
    """`pack` with what a checkpoint's metadata says about pictures and classes."""
    normalization = metadata["normalization"]
    return pack(
        net.eval(),
        codes,
        input_shape=tuple(metadata["input_shape"]),
        normalization=(normalization["mean"], normalization["std"]),
        classes=metadata["classes"],
        metadata={k: metadata[k] for k in ("model", "plan") if k in metadata},
    )


def count_correct_packed(
    packed: PackedNetwork, dataset: Dataset, batch_size: int = 250, activations: str = "float32"
) -> tuple[int, int]:
    """(pictures that the packed network classifies correctly, pictures), with the file's own normalization."""
    session = Session(packed, activations)
    correct = 0
    for start in range(0, len(dataset), batch_size):
        logits = session(dataset.images[start : start + batch_size])
        correct += int((logits.argmax(1) == dataset.labels[start : start + batch_size]).sum())
    return correct, len(dataset)


def largest_difference(net: Module, packed: PackedNetwork, dataset: Dataset, count: int = 100) -> float:
    """Largest |packed - unpacked| logit over the first pictures, relative to the largest |logit|."""
    chosen = np.arange(min(count, len(dataset)))
    with no_grad():
        logits = net.eval()(Tensor(dataset.normalized(chosen))).data
    return float(np.abs(Session(packed)(dataset.images[chosen]) - logits).max() / np.abs(logits).max())
