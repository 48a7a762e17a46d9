"""The names of a trace, their order of computation, and the reader of trace files."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ..errors import FormatError
from ..files import check_source

VERSION = 1
LARGEST = 1 << 30  # bytes of a trace that is read at all

# kind -> (what it is named by, meaning), in order of computation within one step
KINDS: dict[str, tuple[str, str]] = {
    "images": ("", "batch (N, C, H, W) as the network reads it"),
    "labels": ("", "classes of the batch (N), integers"),
    "lr": ("", "learning rate of this step"),
    "w": ("parameter", "every parameter before the update, after the freeze of this stage"),
    "velocity": ("parameter", "momentum buffer before the update; 0 where frozen"),
    "buffer": ("buffer", "BatchNorm running statistics before the step"),
    "frozen": ("weight", "bool: the weight is on its level for ever"),
    "alpha": ("weight", "scale, (1, 1, ...) for a layer or (O, 1, ...) per output channel"),
    "codes": ("weight", "int8 codes of the nearest levels"),
    "w_hat": ("weight", "W_hat = alpha * codes, zeros are +0.0"),
    "loss_hat": ("", "L(W_hat), train mode; this pass moves the running statistics"),
    "grad_hat": ("parameter", "gradient of L(W_hat): at W_hat for weights, shared parameters as they are"),
    "slack_hat": ("parameter", "what other decisions of ties may change grad_hat by, element by element; absent: 0"),
    "loss_one": ("weight", "scope layer: loss with this layer alone quantized"),
    "grad_one": ("weight/parameter", "scope layer: gradient of that loss"),
    "slack_one": ("weight/parameter", "scope layer: slack of grad_one"),
    "loss": ("", "L(W), train mode; this pass leaves the running statistics alone"),
    "grad": ("parameter", "gradient of L(W)"),
    "slack": ("parameter", "slack of grad"),
    "sign": ("", "s; the sum over the layers for scope layer; 0 when every weight is frozen"),
    "perturbation": ("", "Lp"),
    "error": ("", "E"),
    "objective": ("", "J = L(W) + a1 Lp + a2 E"),
    "grad_total": ("parameter", "gradient of J that is handed to SGD, without weight decay; 0 where frozen"),
    "velocity_after": ("parameter", "momentum buffer after the update"),
    "w_after": ("parameter", "every parameter after the update"),
    "buffer_after": ("buffer", "running statistics after the step"),
}


_LAYOUT = """\
A trace is one safetensors file. Its tensors are named STEP/KIND or STEP/KIND/NAME: STEP counts from 0
through all stages, NAME is the parameter's PyTorch name (conv1.weight). Weights are O C KH KW, images are
N C H W, scalars have shape (); float32 or float64, one of them throughout (scalars may be float64). KIND, in
order of computation:

{kinds}

Write as many kinds as you have: what one side lacks is listed, not judged. A kind that is not in this list is
an error.

An optional NAME.json beside NAME.safetensors describes it: "format": "elq-trace", "version": 1, "kind" (run,
steps or operations), "groups" (a list of objects with a "name" each, in order: what stands for STEP),
"parameters" (names in order), "quantized" (names), "plan" and "sgd" (all options), "ties" ("as computed", or
"broken" by rule), "bounds" (tensor name -> largest difference that is allowed), "tensors" (file, sha256),
"made_by". For kind "operations" a tensor is CASE/NAME; the case's group says "op", "attributes" and, in order, the
names of its "inputs" and "outputs"."""


def schema() -> str:
    """Text that says how a trace is laid out, for who writes one."""
    width = max(len(kind) + len(names) for kind, (names, _) in KINDS.items()) + 3
    rows = [f"  {kind + (f'/<{names}>' if names else ''):<{width}}  {text}" for kind, (names, text) in KINDS.items()]
    return _LAYOUT.format(kinds="\n".join(rows))


@dataclass(frozen=True)
class Trace:
    """A trace in memory: arrays by name, and the JSON beside them ({} if there is none)."""

    path: Path
    tensors: dict[str, np.ndarray]
    meta: dict[str, Any]

    def groups(self) -> list[str]:
        """Names of the steps (or cases) in order."""
        listed = [group["name"] for group in self.meta.get("groups", [])]
        if listed:
            return listed
        found = dict.fromkeys(name.partition("/")[0] for name in self.tensors)
        return sorted(found, key=lambda g: (not g.isdigit(), int(g) if g.isdigit() else 0, g))

    def group(self, name: str) -> dict[str, np.ndarray]:
        """Tensors of one step (or case) in order of computation, named without it."""
        prefix = f"{name}/"
        inside = {key[len(prefix) :]: value for key, value in self.tensors.items() if key.startswith(prefix)}
        if self.meta.get("kind") == "operations":
            entry = next(g for g in self.meta["groups"] if g["name"] == name)
            return {key: inside[key] for key in [*entry["inputs"], *entry["outputs"]]}
        kinds, order = list(KINDS), {p: i for i, p in enumerate(self.meta.get("parameters", []))}

        def place(key: str) -> tuple[Any, ...]:
            kind, _, rest = key.partition("/")
            return kinds.index(kind), [(order.get(part, len(order)), part) for part in rest.split("/")]

        return {key: inside[key] for key in sorted(inside, key=place)}


def files(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """(PATH.safetensors, PATH.json); PATH may already end in either."""
    path = Path(path)
    if path.name in ("", ".."):
        raise ValueError(f"{path} is a folder, wanted the name of a trace")
    stem = path.with_suffix("") if path.suffix in (".safetensors", ".json") else path
    return stem.with_name(stem.name + ".safetensors"), stem.with_name(stem.name + ".json")


def load(path: str | os.PathLike[str]) -> Trace:
    """Read PATH (.safetensors or .json) and the file beside it.

    Raises FileNotFoundError, or FormatError for what is not a trace: damaged files, a hash that does not fit,
    names outside the schema.
    """
    tensors_path, meta_path = files(path)
    if not tensors_path.exists():
        raise FileNotFoundError(f"no trace at {tensors_path}")
    check_source(tensors_path)
    size = tensors_path.stat().st_size
    if size > LARGEST:
        raise FormatError(f"{tensors_path}: {size} bytes, a trace has at most {LARGEST}")
    meta = _meta(meta_path) if meta_path.exists() else {}
    wanted = meta.get("tensors", {}).get("sha256")
    if wanted is not None and hashlib.sha256(tensors_path.read_bytes()).hexdigest() != wanted:
        raise FormatError(f"{tensors_path}: sha256 is not the one that {meta_path.name} states ({wanted[:12]}...)")
    try:
        with safe_open(tensors_path, framework="numpy") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, AttributeError) as error:
        raise FormatError(f"{tensors_path}: not a safetensors file of NumPy types ({error})") from None
    if not tensors:
        raise FormatError(f"{tensors_path}: no tensors")
    if unprintable := [name for name in tensors if not name.isprintable()]:
        raise FormatError(f"{tensors_path}: the name {ascii(unprintable[0])[:80]} is no printable text")
    if meta.get("kind") == "operations":
        _check_cases(tensors_path, tensors, meta)
    else:
        _check_names(tensors_path, tensors)
    listed = {group["name"] for group in meta.get("groups", [])}
    if loose := [name for name in tensors if listed and name.partition("/")[0] not in listed]:
        raise FormatError(f"{tensors_path}: {loose[0][:80]!r} is in none of the groups that {meta_path.name} lists")
    return Trace(tensors_path, tensors, meta)


def _meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not JSON ({error})") from None
    if not isinstance(meta, dict) or meta.get("format") != "elq-trace" or meta.get("version") != VERSION:
        raise FormatError(f'{path}: wanted "format": "elq-trace" and "version": {VERSION}')
    for name, fits, wanted in _FIELDS:
        if name in meta and not fits(meta[name]):
            raise FormatError(f'{path}: "{name}" is {str(meta[name])[:40]}, wanted {wanted}')
    if meta.get("kind") == "operations" and not all(
        _names(group.get("inputs")) and _names(group.get("outputs")) for group in meta.get("groups", [])
    ):
        raise FormatError(f'{path}: every group of operations wants lists of names "inputs" and "outputs"')
    return meta


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _groups(value: Any) -> bool:
    if not isinstance(value, list) or not all(isinstance(g, dict) and isinstance(g.get("name"), str) for g in value):
        return False
    return len({group["name"] for group in value}) == len(value)


def _bounds(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(b, int | float) and b >= 0 for b in value.values())


def _plan(value: Any) -> bool:
    sigma2 = value.get("sigma2", []) if isinstance(value, dict) else None
    return isinstance(sigma2, list) and all(isinstance(s, int | float) for s in sigma2)


_FIELDS = (
    ("groups", _groups, 'a list of objects, each with a "name" of its own'),
    ("parameters", _names, "a list of names"),
    ("plan", _plan, "an object, its sigma2 a list of numbers"),
    ("bounds", _bounds, "numbers >= 0 by tensor name"),
    ("tensors", lambda v: isinstance(v, dict) and isinstance(v.get("sha256", ""), str), "an object, its sha256 a text"),
)


def _check_names(path: Path, tensors: dict[str, np.ndarray]) -> None:
    for name in tensors:
        step, _, rest = name.partition("/")
        kind, _, tail = rest.partition("/")
        if not step or kind not in KINDS or bool(tail) != bool(KINDS[kind][0]):
            raise FormatError(
                f"{path}: {name[:80]!r} is not STEP/KIND or STEP/KIND/NAME of the schema (elq crosscheck schema)"
            )


def _check_cases(path: Path, tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    for group in meta.get("groups", []):
        for key in [*group["inputs"], *group["outputs"]]:
            if f"{group['name']}/{key}" not in tensors:
                name = f"{group['name']}/{key}"[:80]
                raise FormatError(f"{path}: the JSON lists {name}, the file has no such tensor")
