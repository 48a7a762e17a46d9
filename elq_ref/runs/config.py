"""The JSON of a run: as text, and how two runs differ in what they were asked for, by their config.json."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ..methods import plan_from_json


def as_text(value: dict[str, Any], path: Path, indent: int | None = None) -> str:
    """JSON for the file `path`; ValueError for a number that is none, for which JSON has no word."""
    try:
        return json.dumps(value, allow_nan=False, indent=indent) + "\n"
    except ValueError:
        wrong = [key for key, number in value.items() if "NaN" in (text := json.dumps(number)) or "Infinity" in text]
        raise ValueError(f"{path} is not written: {', '.join(wrong)} holds a NaN or an infinity") from None


def changes(one: dict[str, Any], other: dict[str, Any], apart: Collection[str] = ()) -> dict[str, tuple[Any, Any]]:
    """name -> (value in `one`, value in `other`) of all that is not the same, apart from the names in `apart`.

    A plan is compared option by option, so that one written before an option existed has its default; a flag that is
    missing is not set. The command is left out: it says the same in other words. ValueError for a plan that cannot be
    read.
    """
    a, b = _flat(one), _flat(other)
    differing = (key for key in a | b if (a.get(key) or None) != (b.get(key) or None))
    return {key: (a.get(key), b.get(key)) for key in differing if key not in {*apart, "command"}}


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    plan = {"plan": plan_from_json(config["plan"]).to_json()} if "plan" in config else {}
    plain: dict[str, Any] = json.loads(json.dumps(config | plan))
    return dict(_options("", plain))


def _options(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What is in dictionaries by the names that lead to it, "sgd lr"."""
    if not isinstance(value, dict) or not value:
        yield name, value
        return
    for key, inside in value.items():
        yield from _options(f"{name} {key}".lstrip(), inside)
