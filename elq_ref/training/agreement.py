"""Before the first step several processes compare what they start from: one result needs one start."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import numpy as np

from ..datasets import Batches, PictureFiles
from .micro_batches import world_of
from .state import State, describe, environment


def check_agreement(state: State, batches: Batches) -> None:
    """ValueError, on all processes, where one has other weights, data or choices than the first, or computes with other
    kernels or versions, of which the bits are others."""
    world = world_of(batches)
    if world.size == 1:
        return
    start = _start(state, batches)
    mine = np.frombuffer(b"".join(map(_digest, start.values())), np.uint8)
    all_of_them = world.joined(mine[None]).reshape(world.size, len(start), -1)
    for what, (name, value) in enumerate(start.items()):
        differs = (all_of_them[:, what] != all_of_them[0, what]).any(-1)
        if differs.any():
            rank = int(differs.argmax())
            here = f": {value}" if isinstance(value, str) and world.rank in (0, rank) else ""
            raise ValueError(f"process {rank} of {world.size} has other {name} than process 0{here}")


def _start(state: State, batches: Batches) -> dict[str, Any]:
    """What all must have alike, by what an error calls it: texts, JSON values and arrays."""
    images, labels = getattr(batches.dataset, "images", None), getattr(batches.dataset, "labels", None)
    made = environment()
    return {
        "versions or kernels": ", ".join(f"{key} {value}" for key, value in made.items()),
        "choices": {"plan": state.plan.to_json(), "sgd": asdict(state.sgd), "step": state.step},
        "batches": describe(batches),
        "labels": np.asarray(labels) if labels is not None else None,
        "pictures": None if isinstance(images, PictureFiles) or images is None else np.asarray(images),
        "weights": state.net.state_dict(),
        "momentum": state.velocity,
        "frozen weights": {name: weight.frozen for name, weight in state.weights.items()},
    }


def _digest(value: Any) -> bytes:
    """SHA-256 of a value of `_start`."""
    sums = hashlib.sha256()
    for name, part in sorted(value.items()) if isinstance(value, dict) else [("", value)]:
        sums.update(name.encode())
        array = isinstance(part, np.ndarray)
        sums.update(np.ascontiguousarray(part).view(np.uint8).data if array else json.dumps(part).encode())
    return sums.digest()
