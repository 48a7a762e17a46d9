"""One network by one exporter: what is measured of it lies under build/onnx_networks, and is not measured again.

Logits of both programs of every part, and the standard deviations that their bounds are made of, in files of their own:
either can be made again without the other.
"""

import json
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import elq_ref as elq
from elq_ref import Tensor, no_grad
from elq_ref.elq.levels import dequantize, ternarize
from elq_ref.exchange import export_onnx

from .. import ROOT, vision
from .rounding_bound import Deviations, bound, deviations

FOLDER = ROOT / "build" / "onnx_networks"
BATCH = 20
PARTS = ("imported", "exported", "packed")
MADE_OF = {"imported": ("theirs", "ours"), "exported": ("theirs", "theirs"), "packed": ("packed", "packed")}
LARGEST = 4  # photographs that the bound is measured on: those with the largest logits, whose errors are largest
LINEAR = 2.0**-8  # a second scale of the errors: the deviations go with it


def answers(path: Path, x: np.ndarray) -> np.ndarray:
    """What onnxruntime computes, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return in_batches(lambda part: session.run(None, {name: part})[0], x)


def in_batches(run: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    return np.concatenate([run(x[k : k + BATCH]) for k in range(0, len(x), BATCH)])


def logits(net: Any, x: np.ndarray) -> np.ndarray:
    """What the Module computes in evaluation mode."""
    net.eval()
    with no_grad():
        return in_batches(lambda part: np.asarray(net(Tensor(part)).data), x)


def compared(a: np.ndarray, b: np.ndarray, most: float | None) -> dict[str, Any]:
    """The largest |difference| and, where a bound is known, the pictures of another class: ties, whose logits are
    nearer than twice the bound, and wrong ones."""
    found: dict[str, Any] = {"difference": float(np.abs(a - b).max()), "photographs": len(a)}
    if most is not None:
        first, second = a.argmax(1), b.argmax(1)
        rows = np.arange(len(a))
        tie = np.abs(a[rows, first] - a[rows, second]) <= 2 * most
        found |= {"bound": most, "ties": int(((first != second) & tie).sum()),
                  "wrong": int(((first != second) & ~tie).sum())}  # fmt: skip
    return found


class Measured:
    """A network, an exporter, and `each` photographs of every class."""

    def __init__(self, name: str, exporter: str, each: int) -> None:
        self.name, self.exporter, self.each = name, exporter, each
        self.path = FOLDER / f"{name}-{exporter}.onnx"
        self.kept = FOLDER / f"{name}-{exporter}-{10 * each}.json"
        self.sigmas = self.kept.with_name(f"{self.kept.stem}-sigmas.json")
        self.found: dict[str, Any] = json.loads(self.kept.read_text()) if self.kept.is_file() else {}

    @cached_property
    def photographs(self) -> tuple[np.ndarray, np.ndarray]:
        return vision.photographs(self.name, "val", self.each)

    @cached_property
    def net(self) -> Any:
        """The imported network."""
        return elq.from_onnx(self.path)

    @cached_property
    def wanted(self) -> np.ndarray:
        """The logits of the file by onnxruntime."""
        kept = self.kept.with_suffix(".npy")
        if not kept.is_file():
            np.save(kept, answers(self.path, self.photographs[0]))
        return np.asarray(np.load(kept))

    def both(self, part: str) -> Path:
        """Where the logits of a part's two programs lie: float32 (2, photographs, classes)."""
        return self.kept.with_name(f"{self.kept.stem}-{part}.npy")

    def run(self, part: str) -> None:
        """Measure a part that is not known yet."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        if not self.path.is_file():
            made = vision.made(self.name, vision.photographs(self.name, "train", 4)[0])
            vision.export(made, self.path, self.exporter)
        if "nodes" not in self.found:
            self.found |= {"name": self.name, "exporter": self.exporter, "nodes": len(self.net.graph.nodes),
                           "largest": float(np.abs(self.wanted).max()),
                           "classes": len(set(self.wanted.argmax(1).tolist()))}  # fmt: skip
        if part not in self.found or not self.both(part).is_file():
            start = time.process_time()
            pair = np.stack(getattr(self, part)())
            np.save(self.both(part), pair)
            self.found[part] = {"seconds": round(time.process_time() - start)}
            if part == "imported" and self.name == vision.LITE0:
                labels = self.photographs[1]
                self.found[part]["right"] = [int((values.argmax(1) == labels).sum()) for values in pair]
            self.kept.write_text(json.dumps(self.found))

    def imported(self) -> tuple[np.ndarray, np.ndarray]:
        return self.wanted, logits(self.net, self.photographs[0])

    def exported(self) -> tuple[np.ndarray, np.ndarray]:
        path = FOLDER / f"{self.name}-{self.exporter}-again.onnx"
        export_onnx(elq.pack(self.net, {}, **self.about), path)
        found = answers(path, self.photographs[0])
        path.unlink()
        return self.wanted, found

    def packed(self) -> tuple[np.ndarray, np.ndarray]:
        """A tenth of the photographs."""
        net, codes = self.ternary()
        packed = elq.pack(net, codes, **self.about)
        x = self.photographs[0][::10]
        return logits(net, x), in_batches(elq.Session(packed), x)

    def ternary(self) -> tuple[Any, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """The network of W_hat, every weight ternary, one alpha an output channel; and its codes."""
        net = elq.from_onnx(self.path)
        codes = {name: ternarize(p.data, per_channel=True) for name, p in net.quantizable().items()}
        net.load_state_dict(net.state_dict() | {name: dequantize(*pair) for name, pair in codes.items()})
        return net, {name: (c, a.reshape(-1)) for name, (c, a) in codes.items()}

    @property
    def about(self) -> dict[str, Any]:
        classes = [str(k) for k in range(self.wanted.shape[1])]
        return {
            "input_shape": self.net.graph.input_shape,
            "normalization": vision.normalization(self.name),
            "classes": classes,
        }

    def run_bound(self) -> None:
        """Measure the standard deviations that the bounds are made of, of the parts whose logits are known."""
        found = json.loads(self.sigmas.read_text()) if self.sigmas.is_file() else {}
        known = [part for part in PARTS if self.both(part).is_file()]
        for kind in dict.fromkeys(kind for part in known for kind in MADE_OF[part]):
            if kind not in found:
                start = time.process_time()
                found[kind] = self.deviation(kind) | {"seconds": round(time.process_time() - start)}
                self.sigmas.write_text(json.dumps(found))

    def deviation(self, kind: str) -> dict[str, Any]:
        """Of one program: the standard deviation, and how far the first photograph's are from linear."""
        net, x, known = self.net, self.photographs[0], self.wanted
        if kind == "packed":
            net, x, known = self.ternary()[0], x[::10], np.load(self.both("packed"))[0]
        x = x[np.argsort(-np.square(known).mean(1))[:LARGEST]]
        given = net.graph, net.state_dict()
        whole = deviations(*given, x, kind != "theirs")
        small = deviations(*given, x[:1], kind != "theirs", scale=LINEAR)
        return {"sigma": whole.sigma, "bent": bent(whole, small)}

    def judged(self, all_logits: int) -> dict[str, Any]:
        """What is known, with the parts compared by their bounds, where these are known; of all_logits in all."""
        sigmas = json.loads(self.sigmas.read_text()) if self.sigmas.is_file() else {}
        figures = {key: self.found[key] for key in ("name", "exporter", "nodes", "largest", "classes")}
        figures["sigmas"] = sigmas
        for part in PARTS:
            if part in self.found and self.both(part).is_file():
                kinds = MADE_OF[part]
                known = all(kind in sigmas for kind in kinds)
                most = bound(*(sigmas[kind]["sigma"] for kind in kinds), all_logits) if known else None
                kept = {key: value for key, value in self.found[part].items() if key in ("seconds", "right")}
                figures[part] = compared(*np.load(self.both(part)), most) | kept
        return figures


def bent(whole: Deviations, small: Deviations) -> float:
    """How far the first photograph's deviations are from those by errors of LINEAR times the size, relative."""
    first, scaled = whole.values[0], small.values[0] / LINEAR
    return float(np.linalg.norm(first - scaled) / max(np.linalg.norm(first), 1e-300))
