"""Writing a trace: one safetensors file and one JSON file beside it, with what made them."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

HERE = Path(__file__).resolve().parent
SCRIPTS = (
    "levels.py",
    "make.py",
    "operations.py",
    "reference.py",
    "rounding.py",
    "run.py",
    "steps.py",
    "surrogate.py",
    "traces.py",
)


def scripts_sha256() -> str:
    """Hash of all scripts that make the traces, in the order of SCRIPTS."""
    return hashlib.sha256(b"".join((HERE / name).read_bytes() for name in SCRIPTS)).hexdigest()


def write(folder: Path, name: str, kind: str, tensors: dict[str, Tensor], groups: list[dict], **more) -> None:
    """NAME.safetensors and NAME.json in `folder`; `more` goes into the JSON as it is."""
    payload = save({key: value.detach().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()})
    (folder / f"{name}.safetensors").write_bytes(payload)
    meta = {
        "format": "elq-trace",
        "version": 1,
        "kind": kind,
        **more,
        "groups": groups,
        "made_by": {
            "program": "tools/golden/make.py",
            "scripts": list(SCRIPTS),
            "scripts_sha256": scripts_sha256(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "safetensors": safetensors.__version__,
        },
        "tensors": {"file": f"{name}.safetensors", "sha256": hashlib.sha256(payload).hexdigest()},
    }
    (folder / f"{name}.json").write_text(json.dumps(meta, indent=1) + "\n")
    print(f"{name}: {len(tensors)} tensors in {len(groups)} groups, {len(payload):,} bytes")
