"""What a finished run left behind, read for comparisons and reports: from its folder, or from a line of a file of runs.

A file of runs (NAME.jsonl, written by runs.lines) has a run a line, an object with "name", "config" and "result" as the
run's folder has them, "stages" and "passes" as lists; and "steps" and "layers" of the runs whose curves are drawn.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint.tensors import one_line
from ..elq.plan import Plan
from ..errors import FormatError
from ..files import check_source
from ..methods import OrderPlan, plan_from_json
from . import answers

MEASURED = ("lr", "loss", "loss_hat", "perturbation", "error", "objective", "frozen")  # of a step
LOGS = {  # name: what each of its lines has
    "steps": ("step", "stage", *MEASURED),
    "stages": ("step", "stage", "frozen", "top1", "top1_hat"),
    "layers": ("step", "stage", "layers"),
    "passes": ("step", "stage", "top1", "top1_hat"),
}
_LAYER = ("weights", "levels", "shares", "frozen", "error", "free")


@dataclass(frozen=True)
class RunRecord:
    """A finished run: config, plan, result, and the lines of its logs (runs.folder, runs.run).

    place: where it was read, a folder or FILE#NAME. A run has no steps or layers where these were not kept.
    """

    place: str
    config: dict[str, Any]
    plan: Plan
    result: dict[str, Any]
    steps: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    passes: list[dict[str, Any]]

    @classmethod
    def read(cls, place: str | os.PathLike[str]) -> RunRecord:
        """The run of a folder, or of FILE#NAME, a line of a file of runs.

        FileNotFoundError if there is none, ValueError if it is not finished or if there are several, FormatError if it
        is damaged.
        """
        runs = read_runs([place])
        if len(runs) != 1:
            raise ValueError(f"{os.fspath(place)} has {len(runs)} runs, wanted the name of one: FILE#NAME")
        return runs[0]

    @property
    def method(self) -> str:
        """The method's name; "float" for float fine-tuning."""
        return str(self.config.get("method", self.plan.method))

    @property
    def levels(self) -> str:
        """ "ternary", "binary" or "float"."""
        return str(self.config.get("levels", self.plan.levels))

    @property
    def seed(self) -> int:
        """Of the run's batches."""
        seed: int = self.config.get("seed", 0)
        return seed

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
    def right(self) -> np.ndarray | None:
        """Bool: which of the test images it has right, where the run says so; ValueError for what is no such thing."""
        said, total = self.result.get("right"), self.result["total"]
        return None if said is None else answers.from_text(said, total)

    @property
    def label(self) -> str:
        """What is compared over seeds: method, levels, and what departs from quantizing every layer."""
        method = self.method
        if method == "order" and isinstance(self.plan, OrderPlan):
            method = f"{self.plan.order} order"
        words = [method] if self.levels == "float" else [method, self.levels]
        words += ["(headline plan)"] if self.config.get("headline") else []
        words += [f"({self.config['preset']} preset)"] if self.config.get("preset") else []
        in_float = self.config.get("first_last_float") and self.levels != "float"
        words += ["(first, last layer float)"] if in_float else []
        return " ".join(words)


def read_runs(places: Iterable[str | os.PathLike[str]]) -> list[RunRecord]:
    """The runs of all places, in their order.

    A place is the folder of a run; a file of runs, for all of them; or FILE#PATTERN, for those whose names fit, where
    * stands for any characters and ? for one: "runs.jsonl#comparison/*-seed0". Errors as in `RunRecord.read`, and
    FileNotFoundError for a pattern that no name fits.
    """
    runs: list[RunRecord] = []
    for place in (os.fspath(p) for p in places):
        file, _, pattern = place.rpartition("#")
        if Path(place).is_file():
            runs += _of_file(Path(place), "*")
        elif Path(file).is_file() and not Path(place).is_dir():
            runs += _of_file(Path(file), pattern)
        else:
            runs.append(_of_folder(Path(place)))
    return runs


def names_in(file: str | os.PathLike[str]) -> list[str]:
    """The names of the runs of a file, in its order; none where there is no file."""
    return [line["name"] for line in _objects(Path(file))] if Path(file).is_file() else []


def _of_folder(path: Path) -> RunRecord:
    if not path.is_dir():
        if path.exists():
            check_source(path)
        raise FileNotFoundError(f"there is no run {path}: wanted the folder of one, or FILE.jsonl#NAME")
    if not (path / "config.json").is_file():
        raise FileNotFoundError(f"there is no run in {path}: it has no config.json")
    if not (path / "result.json").is_file():
        raise ValueError(f"the run in {path} is not finished: go on with --resume")
    parts: dict[str, Any] = {name: _parsed(_text(path / f"{name}.json"), path / f"{name}.json") for name in _OBJECTS}
    for name in LOGS:
        file = path / f"{name}.jsonl"  # one that is not there is empty: a run that measured nothing of its kind
        lines = _text(file).splitlines() if file.is_file() else []
        parts[name] = [_parsed(line, f"{file} line {n}") for n, line in enumerate(lines, 1)]
    return _checked(str(path), parts, {name: f"{path / name}.json{'l' * (name in LOGS)}" for name in parts})


def _of_file(file: Path, pattern: str) -> list[RunRecord]:
    chosen = [line for line in _objects(file) if fnmatchcase(line["name"], pattern)]
    if not chosen:
        raise FileNotFoundError(f"no run in {file} is called {pattern}")
    return [_of_line(file, line) for line in chosen]


def _of_line(file: Path, line: dict[str, Any]) -> RunRecord:
    place = f"{file}#{line['name']}"
    parts = {name: line.get(name) for name in _OBJECTS} | {name: line.get(name, []) for name in LOGS}
    if missing := [name for name in LOGS if not isinstance(parts[name], list)]:
        raise FormatError(f"{place}: {', '.join(missing)}: wanted lists")
    return _checked(place, parts, {name: f"{place}: {name}" for name in parts})


def _objects(file: Path) -> list[dict[str, Any]]:
    """The lines of a file of runs; FormatError unless each is an object with a name of its own."""
    lines = [_parsed(text, f"{file} line {n}") for n, text in enumerate(_text(file).splitlines(), 1)]
    for n, line in enumerate(lines, 1):
        if not isinstance(line, dict) or not isinstance(line.get("name"), str):
            raise FormatError(f"{file} line {n} has no name: it is no line of a file of runs")
    names = [line["name"] for line in lines]
    if twice := {name for name in names if names.count(name) > 1}:
        raise FormatError(f"{file} has {', '.join(sorted(twice))} twice")
    return lines


_OBJECTS = {"config": ("plan",), "result": ("correct", "total", "top1")}  # name: what it has


def _checked(place: str, parts: dict[str, Any], called: dict[str, str]) -> RunRecord:
    """The run of its parts; FormatError names one that is damaged as it is `called`."""
    for name, keys in _OBJECTS.items():
        _want(parts[name], keys, called[name])
    if none := [key for key in _OBJECTS["result"] if parts["result"][key] is None]:
        raise FormatError(f"{called['result']} has no {none[0]}")
    seed = parts["config"].get("seed", 0)
    if type(seed) is not int:
        raise FormatError(f"{called['config']} has seed {str(seed)[:40]}, wanted an integer")
    for name, keys in LOGS.items():
        for n, line in enumerate(parts[name], 1):
            _want(line, keys, f"{called[name]} line {n}")
    try:
        plan = plan_from_json(parts["config"]["plan"])
    except (ValueError, TypeError, AttributeError) as error:
        raise FormatError(f"{called['config']} has no plan that can be read: {one_line(error)}") from error
    layers = [line["layers"] if isinstance(line["layers"], dict) else {"": None} for line in parts["layers"]]
    records = [record for line in layers for record in line.values()]
    if len(set(map(tuple, layers))) > 1 or not all(isinstance(r, dict) and set(_LAYER) <= set(r) for r in records):
        raise FormatError(f"{called['layers']} wants {', '.join(_LAYER)} of the same layers in every line")
    run = RunRecord(place, parts.pop("config"), plan, **parts)
    try:
        counted = None if run.right is None else int(run.right.sum())
    except (ValueError, TypeError) as error:
        raise FormatError(f"{called['result']} has a wrong right: {one_line(error)}") from error
    if counted not in (None, run.result["correct"]):
        raise FormatError(f"{called['result']} has {run.result['correct']} correct, and {counted} by its right")
    return run


def _want(value: Any, keys: tuple[str, ...], where: str) -> None:
    missing = keys if not isinstance(value, dict) else [key for key in keys if key not in value]
    if missing:
        raise FormatError(f"{where} lacks {', '.join(missing)}")
    wrong = [k for k in keys if k not in ("plan", "layers") and not isinstance(value[k], int | float | None)]
    if wrong := wrong or [k for k in ("step", "stage") if k in keys and type(value[k]) is not int]:
        raise FormatError(f"{where} has {wrong[0]} {str(value[wrong[0]])[:40]}, wanted a number")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _parsed(text: str, where: object) -> Any:
    try:
        return json.loads(text, parse_float=_number, parse_constant=_number)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is no JSON: {error}") from None


def _number(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:20]} is no number of float64")
    return value
