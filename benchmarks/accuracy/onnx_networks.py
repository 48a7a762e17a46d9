"""Networks of torchvision and EfficientNet-Lite0, imported from ONNX, held to onnxruntime.

For every network and both exporters of PyTorch: the largest |difference| of the logits from onnxruntime's within the
bound of docs/onnx.md, the same classes on photographs; the same again of what export_onnx writes, and of the packed
network with ternary W_hat against the unpacked one. Needs torch, torchvision, onnx, onnxscript, onnxruntime, ELQ_DATA.
What is done already is kept under build/onnx_networks, and not done again.

    python -m benchmarks.accuracy onnx_networks -o benchmarks/results/onnx_networks.txt
"""

import argparse
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
from elq_ref.graph import Graph

from .. import ROOT, vision
from ..result_text import add_output, write_result

FOLDER = ROOT / "build" / "onnx_networks"
U = 2.0**-24
BATCH = 20
PARTS = ("imported", "exported", "packed")


def roundings(graph: Graph) -> int:
    """The sum over all nodes of the roundings that an element of their values sees: K + 1 of a sum of K products."""
    shapes = elq.graph.infer_shapes(graph)
    count = 0
    for node in graph.nodes:
        if node.weight is not None:
            count += int(np.prod(node.weight.shape[1:])) + 1
        elif node.op == "avg_pool":
            count += int(np.prod(node.attributes["kernel"])) + 1
        elif node.op == "global_avg_pool":
            count += int(np.prod(shapes[node.inputs[0]][1:])) + 1
        else:
            count += {"batch_norm": 4, "scale_shift": 2, "max_pool": 0, "concat": 0, "slice": 0, "shuffle": 0}.get(
                node.op, 1
            )
    return count


def bound(count: int, logits: np.ndarray) -> float:
    """How far two programs in float32 may be apart, of `count` roundings: docs/onnx.md derives it."""
    return float(32 * U * np.sqrt(count) * np.abs(logits).max())


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
        return in_batches(lambda part: net(Tensor(part)).data, x)


def compared(a: np.ndarray, b: np.ndarray, most: float) -> dict[str, Any]:
    """The largest |difference|, its bound, and the pictures of another class: ties within the bound, and wrong ones."""
    first, second = a.argmax(1), b.argmax(1)
    rows = np.arange(len(a))
    tie = np.abs(a[rows, first] - a[rows, second]) <= 2 * most
    return {
        "difference": float(np.abs(a - b).max()),
        "bound": most,
        "ties": int(((first != second) & tie).sum()),
        "wrong": int(((first != second) & ~tie).sum()),
        "photographs": len(a),
    }


class Measured:
    """One network by one exporter; what is known of it lies under FOLDER as a file of plain values."""

    def __init__(self, name: str, exporter: str, each: int) -> None:
        self.name, self.exporter, self.each = name, exporter, each
        self.path = FOLDER / f"{name}-{exporter}.onnx"
        self.kept = FOLDER / f"{name}-{exporter}-{10 * each}.json"
        self.found: dict[str, Any] = {}
        if self.kept.is_file():
            self.found = json.loads(self.kept.read_text())

    @cached_property
    def photographs(self) -> tuple[np.ndarray, np.ndarray]:
        return vision.photographs("val", self.each)

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
        return np.load(kept)

    def run(self, part: str) -> None:
        """Measure a part that is not known yet."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        if not self.path.is_file():
            made = vision.made(self.name, vision.photographs("train", 4)[0])
            vision.export(made, self.path, self.exporter)
        if "nodes" not in self.found:
            graph = self.net.graph
            self.found |= {"name": self.name, "exporter": self.exporter, "nodes": len(graph.nodes),
                           "roundings": roundings(graph), "largest": float(np.abs(self.wanted).max()),
                           "classes": len(set(self.wanted.argmax(1).tolist()))}  # fmt: skip
        if part not in self.found or not self.both(part).is_file():
            start = time.process_time()
            measured = getattr(self, part)()
            self.found[part] = measured | {"seconds": round(time.process_time() - start)}
            self.kept.write_text(json.dumps(self.found))

    def both(self, part: str) -> Path:
        """Where the logits of a part's two programs lie: float32 (2, photographs, classes)."""
        return self.kept.with_name(f"{self.kept.stem}-{part}.npy")

    def compared(self, part: str, a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
        """Keep the logits of two programs, and compare them."""
        np.save(self.both(part), np.stack([a, b]))
        return compared(a, b, bound(self.found["roundings"], a))

    @property
    def about(self) -> dict[str, Any]:
        classes = [str(k) for k in range(self.wanted.shape[1])]
        return {
            "input_shape": self.net.graph.input_shape,
            "normalization": (vision.MEAN, vision.STD),
            "classes": classes,
        }

    def imported(self) -> dict[str, Any]:
        x, labels = self.photographs
        got = logits(self.net, x)
        right = [int((values.argmax(1) == labels).sum()) for values in (self.wanted, got)]
        return self.compared("imported", self.wanted, got) | ({"right": right} if self.name == vision.LITE0 else {})

    def exported(self) -> dict[str, Any]:
        path = FOLDER / f"{self.name}-{self.exporter}-again.onnx"
        export_onnx(elq.pack(self.net, {}, **self.about), path)
        found = self.compared("exported", self.wanted, answers(path, self.photographs[0]))
        path.unlink()
        return found

    def packed(self) -> dict[str, Any]:
        """Every weight ternary, one alpha an output channel; a tenth of the photographs."""
        net = elq.from_onnx(self.path)
        codes = {name: ternarize(p.data, per_channel=True) for name, p in net.quantizable().items()}
        net.load_state_dict(net.state_dict() | {name: dequantize(*pair) for name, pair in codes.items()})
        packed = elq.pack(net, {name: (c, a.reshape(-1)) for name, (c, a) in codes.items()}, **self.about)
        x = self.photographs[0][::10]
        unpacked = logits(net, x)
        return self.compared("packed", unpacked, in_batches(elq.Session(packed), x))


def line(found: dict[str, Any]) -> str:
    cells = [
        f"{found['name']:19} {found['exporter']:7} {found['nodes']:5} {found['largest']:9.3g} {found['classes']:7}"
    ]
    for part in PARTS:
        if part in found:
            one = found[part]
            wrong = f"{one['wrong']}+{one['ties']}"
            cells.append(f"{one['difference']:8.1e} {one['bound']:8.1e} {wrong:>5} of {one['photographs']:<4}")
    if "right" in found.get("imported", {}):
        cells.append("right: {} by onnxruntime, {} imported".format(*found["imported"]["right"]))
    return "  ".join(cells).rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=[*vision.NETWORKS, vision.LITE0], metavar="NAME")
    parser.add_argument("--exporters", nargs="+", default=list(vision.EXPORTERS), choices=vision.EXPORTERS)
    parser.add_argument("--photographs", type=int, default=200, help="of val, a tenth of each class (200)")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    add_output(parser)
    given = parser.parse_args()
    header = f"{'network':19} {'by':7} {'nodes':>5} {'largest':>9} {'classes':>7}  " + "  ".join(
        f"{part:>8} {'bound':>8} {'wrong+ties':13}" for part in PARTS
    )
    print(header, flush=True)
    lines, figures = [header], []
    for name in given.networks:
        for exporter in given.exporters:
            one = Measured(name, exporter, given.photographs // 10)
            for part in given.parts:
                one.run(part)
            figures.append(one.found)
            lines.append(line(one.found))
            print(lines[-1], flush=True)
    write_result(given.output, "\n".join(lines), figures)


if __name__ == "__main__":
    main()
