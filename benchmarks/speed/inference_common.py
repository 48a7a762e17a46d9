"""What the inference benchmarks share: networks with random weights, the peers, and the table with its verdicts."""

import argparse
import datetime
import os
import platform
import tempfile
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from elq_ref import Tensor, binarize, models, no_grad, pack, ternarize
from elq_ref.machine import cpu_name
from elq_ref.nn import BatchNorm2d
from elq_ref.runtime import PackedNetwork
from elq_ref.timing import Timed, percentiles, take_turns

from ..result_text import add_output, write_result
from .networks import Network

QUANTIZE = {"ternary": ternarize, "binary": binarize}
NORMALIZATION = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
FLOAT = ("elq float32", "onnxruntime fp32", "benchmarks.speed.inference_peers:torch compile")
INT8 = ("elq int8", "onnxruntime u8s8", "benchmarks.speed.inference_peers:torch pt2e int8")


def quantized_model(name: str, network: Network, levels: str) -> PackedNetwork:
    """A model with random weights on ternary or binary levels, BatchNorm's statistics those of random pictures: as
    fast as a trained one, with activations of the usual size."""
    net = models.build(name, network.picture, network.classes).eval()
    codes = {}
    for weight, parameter in net.quantizable().items():
        codes[weight] = code, alpha = QUANTIZE[levels](parameter.data)
        parameter.data = alpha * code
    norms = [module for _, module in net.named_modules(deployed=True) if isinstance(module, BatchNorm2d)]
    for norm in norms:
        norm.momentum, norm.training = 1.0, True
    if norms:
        x = np.random.default_rng(0).standard_normal((4, *network.picture), np.float32)
        with no_grad():
            net(Tensor(x))
    names = [f"class {k}" for k in range(network.classes)]
    mean, std = (values[: network.picture[0]] for values in NORMALIZATION)
    return pack(net.eval(), codes, input_shape=network.picture, normalization=(mean, std), classes=names)


def arguments(description: str | None, **defaults: object) -> argparse.ArgumentParser:
    """The options of all inference benchmarks."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=raw)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=4.0, help="for each runtime and batch")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--without-torch", action="store_true", help="its compilation takes minutes")
    add_output(parser)
    parser.set_defaults(**defaults)
    return parser


def heading(title: str, given: argparse.Namespace) -> str:
    """What ran where and when."""
    from elq_ref.runtime import info

    versions = [f"Python {platform.python_version()}"]
    for package in ("numpy", "onnxruntime", "torch", "torchao"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    load = f", load average {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{title}, {datetime.date.today()}\n"
        f"{cpu_name()}; kernels {info()['kernel']}; {', '.join(versions)}; {given.rounds} turns of "
        f"{given.seconds / given.rounds:.2f} s{load}\n"
        f"time / ours: median of the paired ratios of the turns, with quartiles; above 1 elq_ref is faster"
    )


class Comparison:
    """Lines that are printed as they come and collected for the file, with the figures in them; `lost` has where a peer
    was faster."""

    def __init__(self, title: str, given: argparse.Namespace) -> None:
        self.given, self.lines, self.lost = given, [], []
        self.figures: list[dict[str, Any]] = []
        self.say(heading(title, given))

    def say(self, text: str) -> None:
        print(text, flush=True)
        self.lines.append(text)

    def compare(
        self, what: str, network: PackedNetwork, runners: Sequence[str], batches: Iterable[int], unit: int = 1
    ) -> None:
        """Time `runners`, the first of which is ours, on a network; times are given for 1 of `unit` equal parts."""
        chosen = [r for r in runners if not (self.given.without_torch and "torch" in r)]
        work = sum(network.macs.values()) / unit
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "net.elq")
            network.save(path)
            for threads in self.given.threads:
                found, failed = take_turns(chosen, path, threads, list(batches), self.given.seconds, self.given.rounds)
                self.say(f"\n{what}, {threads} thread(s)")
                for name, why in failed.items():
                    self.say(f"  {name.rpartition(':')[2]} could not be run: {why}")
                if found and found[0].runner == runners[0]:
                    self.table(what, threads, found, work, unit)

    def table(self, what: str, threads: int, found: list[Timed], work: float, unit: int) -> None:
        ours = found[0]
        self.say(f"  {'':<18} batch     p50 ms     p99 ms  GMAC/s  time / ours (quartiles)  logits differ by")
        for batch in ours.turns:
            for timed in found:
                name, times = timed.runner.rpartition(":")[2], percentiles(timed.seconds(batch))
                line = f"  {name:<18} {batch:5d} {1e3 * times['p50'] / unit:10.4f} {1e3 * times['p99'] / unit:10.4f}"
                line += f" {batch * work / times['p50'] * unit / 1e9:7.1f}"
                figure: dict[str, Any] = {"what": what, "threads": threads, "runner": name, "batch": batch}
                figure |= {f"seconds_{key}": value / unit for key, value in times.items()}
                if timed is ours:
                    layers = sum(seconds for _, _, _, seconds, macs in ours.profile[batch] if macs)
                    line += f"  its layers alone, at best: {1e3 * layers / unit:.4f} ms"
                    figure["seconds_layers"] = layers / unit
                else:
                    middle, low, high = figure["ratio"] = ours.ratio(timed, batch)
                    line += f"  {middle:.2f} ({low:.2f} .. {high:.2f})      {difference(ours, timed)}"
                    if middle < 1 and not name.startswith("limit"):
                        self.lost.append(f"{what}, {threads} thread(s), batch {batch}: {name} {middle:.2f}")
                self.figures.append(figure)
                self.say(line)

    def finish(self) -> None:
        """Say where we lose, and write the file."""
        self.say("\nelq_ref loses here:" if self.lost else "\nelq_ref loses nowhere here")
        for line in self.lost:
            self.say(f"  {line}")
        write_result(self.given.output, "\n".join(self.lines), self.figures)


def difference(ours: Timed, timed: Timed) -> str:
    """The largest difference of the logits of one picture, of the largest logit."""
    a, b = (np.array(t.about["logits"]) for t in (ours, timed))
    return f"{np.abs(a - b).max() / np.abs(a).max():.1e}" if a.shape == b.shape else ""


def with_integers(network: PackedNetwork) -> PackedNetwork:
    """The network calibrated for int8 activations on random pictures."""
    from elq_ref.deploy import calibrate

    pictures = np.random.default_rng(1).integers(0, 256, (4, *network.graph.input_shape), dtype=np.uint8)
    return calibrate(network, pictures)
