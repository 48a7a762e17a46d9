"""Networks of torchvision and EfficientNet-Lite0, imported from ONNX, held to onnxruntime.

For every network and both exporters of PyTorch: the largest |difference| of the logits from onnxruntime's within the
bound of docs/onnx.md, the same classes on photographs; the same again of what export_onnx writes, and of the packed
network with ternary W_hat against the unpacked one. Needs torch, torchvision, onnx, onnxscript, onnxruntime and ELQ_DATA.
What is done already is kept under build/onnx_networks, and not done again.
"""

import argparse
import json
import time
from collections.abc import Callable
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


def bound(graph: Graph, logits: np.ndarray) -> float:
    """How far two programs in float32 may be apart: docs/onnx.md derives it."""
    return float(8 * U * np.sqrt(roundings(graph)) * np.abs(logits).max())


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
    """The largest |difference|, its bound, and on how many pictures the classes differ though the bound tells them apart."""
    first, second = a.argmax(1), b.argmax(1)
    rows = np.arange(len(a))
    ties = np.abs(a[rows, first] - a[rows, second]) <= 2 * most
    return {
        "difference": float(np.abs(a - b).max()),
        "bound": most,
        "ties": int(((first != second) & ties).sum()),
        "wrong": int(((first != second) & ~ties).sum()),
    }


def measured(name: str, exporter: str, each: int) -> dict[str, Any]:
    """One network: a file of plain values under FOLDER, made where it is not there yet."""
    kept = FOLDER / f"{name}-{exporter}-{10 * each}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    start = time.process_time()
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}-{exporter}.onnx"
    x, right = vision.photographs("val", each)
    net = vision.made(name, vision.photographs("train", 4)[0])
    vision.export(net, path, exporter)
    wanted = answers(path, x)
    imported = elq.from_onnx(path)
    graph = imported.graph
    got = logits(imported, x)
    most = bound(graph, wanted)
    found: dict[str, Any] = {
        "name": name,
        "exporter": exporter,
        "photographs": len(x),
        "nodes": len(graph.nodes),
        "roundings": roundings(graph),
        "largest": float(np.abs(wanted).max()),
        "classes": len(set(wanted.argmax(1).tolist())),
        "imported": compared(wanted, got, most),
    }
    about = {"input_shape": (3, vision.SIZE, vision.SIZE), "normalization": (vision.MEAN, vision.STD),
             "classes": [str(k) for k in range(wanted.shape[1])]}  # fmt: skip
    again = FOLDER / f"{name}-{exporter}-again.onnx"
    export_onnx(elq.pack(imported, {}, **about), again)
    found["exported"] = compared(wanted, answers(again, x), most)
    again.unlink()
    codes = {key: ternarize(p.data, per_channel=True) for key, p in imported.quantizable().items()}
    state = imported.state_dict() | {key: dequantize(*pair) for key, pair in codes.items()}
    imported.load_state_dict(state)
    packed = elq.pack(imported, {key: (c, a.reshape(-1)) for key, (c, a) in codes.items()}, **about)
    part = x[::5]
    unpacked = logits(imported, part)
    session = elq.Session(packed)
    found["packed"] = compared(unpacked, in_batches(session, part), bound(graph, unpacked)) | {"photographs": len(part)}
    if name == vision.LITE0:
        found["right"] = {
            "onnxruntime": int((wanted.argmax(1) == right).sum()),
            "elq": int((got.argmax(1) == right).sum()),
        }
    path.unlink()
    kept.write_text(json.dumps(found | {"seconds": round(time.process_time() - start)}))
    return found


def line(found: dict[str, Any]) -> str:
    cells = [
        f"{found['name']:19} {found['exporter']:7} {found['nodes']:5} {found['largest']:9.3g} {found['classes']:7}"
    ]
    for part in ("imported", "exported", "packed"):
        one = found[part]
        cells.append(
            f"{one['difference']:8.1e} {one['bound']:8.1e} {one['wrong']:3}{'+' + str(one['ties']) if one['ties'] else '':3}"
        )
    return "  ".join(cells).rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=[*vision.NETWORKS, vision.LITE0], metavar="NAME")
    parser.add_argument("--exporters", nargs="+", default=list(vision.EXPORTERS), choices=vision.EXPORTERS)
    parser.add_argument("--photographs", type=int, default=200, help="of val, a tenth of each class (200)")
    add_output(parser)
    given = parser.parse_args()
    header = (f"{'network':19} {'by':7} {'nodes':>5} {'largest':>9} {'classes':>7}  "
              + "  ".join(f"{part:>8} {'bound':>8} {'wrong':6}" for part in ("imported", "exported", "packed")))  # fmt: skip
    print(header, flush=True)
    lines, figures = [header], []
    for name in given.networks:
        for exporter in given.exporters:
            figures.append(measured(name, exporter, given.photographs // 10))
            lines.append(line(figures[-1]))
            print(lines[-1], flush=True)
    write_result(given.output, "\n".join(lines), figures)


if __name__ == "__main__":
    main()
