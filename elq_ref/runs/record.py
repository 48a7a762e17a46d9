"""What a finished run left behind, read for reports; and the small part of it worth keeping."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..elq.plan import Plan
from ..errors import FormatError
from ..files import atomic_write
from ..methods import OrderPlan, plan_from_json

BLOCKS = 120  # lines of steps.jsonl that `keep` leaves, each the mean of as many steps
_MEASURED = ("lr", "loss", "loss_hat", "perturbation", "error", "objective", "frozen")
_NEEDED = {
    "steps.jsonl": ("step", "stage", *_MEASURED),
    "stages.jsonl": ("step", "stage", "frozen", "top1", "top1_hat"),
    "layers.jsonl": ("step", "stage", "layers"),
    "passes.jsonl": ("step", "stage", "top1", "top1_hat"),
}

_LAYER = ("weights", "levels", "shares", "held", "error", "free")


@dataclass(frozen=True)
class RunRecord:
    """A finished run: config, plan, result, and the lines of its logs (runs.folder, runs.quantizing)."""

    path: Path
    config: dict[str, Any]
    plan: Plan
    result: dict[str, Any]
    steps: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    passes: list[dict[str, Any]]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> RunRecord:
        """The run of a folder.

        FileNotFoundError if there is none, ValueError if it is not finished, FormatError if it is damaged.
        """
        path = Path(path)
        if not (path / "config.json").is_file():
            raise FileNotFoundError(f"there is no run in {path}: it has no config.json")
        config = _object(path / "config.json", ("plan",))
        if not (path / "result.json").is_file():
            raise ValueError(f"the run in {path} is not finished: go on with --resume")
        result = _object(path / "result.json", ("correct", "total", "top1"))
        try:
            plan = plan_from_json(config["plan"])
        except (ValueError, TypeError, AttributeError) as error:
            raise FormatError(f"{path / 'config.json'} has no plan that can be read: {error}") from error
        logs = {name.partition(".")[0]: _lines(path / name, keys) for name, keys in _NEEDED.items()}
        names = {tuple(line["layers"]) for line in logs["layers"] if isinstance(line["layers"], dict)}
        records = [r for line in logs["layers"] for r in (line["layers"].values() if names else [None])]
        if len(names) > 1 or not all(isinstance(r, dict) and set(_LAYER) <= set(r) for r in records):
            raise FormatError(f"{path / 'layers.jsonl'} wants {', '.join(_LAYER)} of the same layers in every line")
        return cls(path, config, plan, result, **logs)

    @property
    def method(self) -> str:
        """The method's name; "float" for float fine-tuning."""
        return self.config.get("method", self.plan.method)

    @property
    def levels(self) -> str:
        """ "ternary", "binary" or "float"."""
        return self.config.get("levels", self.plan.levels)

    @property
    def seed(self) -> int:
        """Of the run's batches."""
        return int(self.config.get("seed", 0))

    @property
    def measured(self) -> list[dict[str, Any]]:
        """The lines that hold accuracies on the way, in the order of their steps."""
        return sorted([*self.passes, *self.stages], key=lambda line: line["step"])

    @property
    def passes_over_data(self) -> float:
        """In all stages together."""
        return sum(self.plan.epochs)

    @property
    def top1(self) -> float:
        """Per cent of the test images that the packed network has right."""
        return float(self.result["top1"])

    @property
    def label(self) -> str:
        """What is compared over seeds: method, levels, and what departs from quantizing every layer."""
        method = self.method
        if method == "order" and isinstance(self.plan, OrderPlan):
            method = f"{self.plan.order} order"
        words = [method] if self.levels == "float" else [method, self.levels]
        words += ["(headline plan)"] if self.config.get("headline") else []
        kept = self.config.get("first_last_float") and self.levels != "float"
        words += ["(first, last layer float)"] if kept else []
        return " ".join(words)

    def keep(self, folder: str | os.PathLike[str]) -> None:
        """Write to `folder` what a report needs: the logs, with means over blocks of steps, and a small packed file.

        It reads as the run does.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        logs = {"steps": _thinned(self.steps), "stages": self.stages, "layers": self.layers, "passes": self.passes}
        for name, lines in logs.items():
            _write(folder / f"{name}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        packed = self.path / "net.elq"
        if packed.is_file() and self.result.get("weight_bytes", 0) < self.result.get("float_bytes", 0) / 2:
            with atomic_write(folder / "net.elq") as temporary:
                shutil.copyfile(packed, temporary)
        _write(folder / "config.json", json.dumps(self.config, indent=2) + "\n")
        _write(folder / "result.json", json.dumps(self.result, indent=2) + "\n")  # last: it says that the rest is there


def _thinned(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over blocks of steps of one stage, placed at the block's last step; "steps" says of how many."""
    size = max(1, len(steps) // BLOCKS)
    thinned = []
    for stage, lines in itertools.groupby(steps, lambda step: step["stage"]):
        members = list(lines)
        for part in blocks(len(members), size):
            block = members[part]
            place = {"step": block[-1]["step"], "stage": stage, "steps": len(block)}
            thinned.append(place | {key: _mean(step[key] for step in block) for key in _MEASURED})
    return thinned


def blocks(count: int, size: int) -> list[slice]:
    """`count` things cut into blocks of about `size`, as equal as can be: no short rest that a mean would jump in."""
    parts = max(1, round(count / size))
    ends = [count * (i + 1) // parts for i in range(parts)]
    return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]


def _mean(values: Iterable[float | None]) -> float | None:
    seen = [v for v in values if v is not None]
    return round(sum(seen) / len(seen), 6) if seen else None


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def _object(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    return _checked(path.read_text(errors="replace"), keys, str(path))


def _lines(path: Path, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Lines of a log; one that is not there is empty (a run that measured nothing of its kind)."""
    text = path.read_text(errors="replace") if path.is_file() else ""
    return [_checked(line, keys, f"{path} line {n}") for n, line in enumerate(text.splitlines(), 1)]


def _checked(text: str, keys: tuple[str, ...], where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is no JSON: {error}") from None
    missing = keys if not isinstance(value, dict) else [key for key in keys if key not in value]
    if missing:
        raise FormatError(f"{where} lacks {', '.join(missing)}")
    return value
