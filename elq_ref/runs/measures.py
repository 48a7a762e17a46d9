"""What a run measures: W and W_hat on the way, and at the end the packed file."""

from __future__ import annotations

import numpy as np

from ..datasets import Batches, Dataset
from ..nn import Module
from ..runtime import PackedNetwork, Session
from ..runtime.packed import MOST_OPERATIONS
from ..tensor import Tensor, no_grad
from ..training.evaluate import evaluate, right, standing_on
from ..training.micro_batches import world_of
from ..training.state import State


def accuracies(state: State, batches: Batches, judge: Dataset, reestimation: int) -> dict[str, float]:
    """{"top1": of W, "top1_hat": of W_hat, in per cent; "judge_loss", "judge_loss_hat": their mean cross entropy}.

    reestimation: number of batches over which BatchNorm's statistics are taken anew for each.
    """
    result: dict[str, float] = {}
    for end, weights in (("", {}), ("_hat", state.quantized())):
        if end and all(weight.frozen.all() for weight in state.weights.values()):  # W is W_hat
            result |= {f"{key}_hat": value for key, value in result.items()}
            break
        with standing_on(state.net, weights, batches, reestimation):
            correct, loss = evaluate(state.net, judge, world=world_of(batches))
        result |= {f"top1{end}": 100 * correct / len(judge), f"judge_loss{end}": loss}
    return result


def right_packed(
    packed: PackedNetwork,
    dataset: Dataset,
    batch_size: int = 250,
    activations: str = "float32",
    most_operations: int = MOST_OPERATIONS,
) -> np.ndarray:
    """Bool (N): which pictures the packed network classifies correctly, with the file's own normalization."""
    session = Session(packed, activations, most_operations)
    parts = [slice(start, start + batch_size) for start in range(0, len(dataset), batch_size)]
    return np.concatenate([right(session(dataset.images[part]), dataset.labels[part]) for part in parts])


def largest_difference(net: Module, packed: PackedNetwork, dataset: Dataset, count: int = 100) -> float:
    """Largest |packed - unpacked| logit over the first pictures, relative to the largest |logit|."""
    chosen = np.arange(min(count, len(dataset)))
    with no_grad():
        logits = net.eval()(Tensor(dataset.normalized(chosen))).data
    return float(np.abs(Session(packed)(dataset.images[chosen]) - logits).max() / np.abs(logits).max())
