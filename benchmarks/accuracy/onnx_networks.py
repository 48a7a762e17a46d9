"""Networks of torchvision and EfficientNet-Lite0, imported from ONNX, held to onnxruntime.

For every network and both exporters of PyTorch: the largest |difference| of the logits from onnxruntime's within the
bound of docs/onnx.md, the same classes on photographs; the same again of what export_onnx writes, and of the packed
network with ternary W_hat against the unpacked one. Needs torch, torchvision, onnx, onnxscript, onnxruntime, ELQ_DATA.
What is done already is kept under build/onnx_networks, and not done again. Where something is beyond its bound or of
another class, or the photographs have few classes, it ends with 1 and a line for each.

    python -m benchmarks.accuracy onnx_networks -o benchmarks/results/onnx_networks.txt
"""

import argparse
import sys
from importlib.metadata import version
from typing import Any

from .. import vision
from ..result_text import about, add_output, made_by, write_result
from .onnx_measured import PARTS, Measured
from .rounding_bound import RISK, quantile

ALL = (*vision.NETWORKS, vision.LITE0)
CLASSES = 1000
LEAST_CLASSES, OF = 20, 200  # classes among the answers on so many photographs
MOST_BENT = 0.1  # of the deviations, between errors of one size and of another


def logits_of_all(photographs: int) -> int:
    """How many logits the whole comparison bounds: `packed` takes a tenth of the photographs."""
    return len(ALL) * len(vision.EXPORTERS) * (2 * photographs + photographs // 10) * CLASSES


def line(found: dict[str, Any]) -> str:
    cells = [
        f"{found['name']:19} {found['exporter']:7} {found['nodes']:5} {found['largest']:9.3g} {found['classes']:7}"
    ]
    for part in PARTS:
        if part in found:
            one = found[part]
            most, wrong = f"{one['bound']:8.1e}" if "bound" in one else " " * 8, " " * 5
            if "bound" in one:
                wrong = f"{one['wrong']}+{one['ties']}"
            cells.append(f"{one['difference']:8.1e} {most} {wrong:>5} of {one['photographs']:<4}")
    if "right" in found.get("imported", {}):
        cells.append("right: {} by onnxruntime, {} imported".format(*found["imported"]["right"]))
    return "  ".join(cells).rstrip()


def failures(found: dict[str, Any], photographs: int) -> list[str]:
    """What is not as it should be, a line each."""
    said = []
    if photographs >= OF and found["classes"] < LEAST_CLASSES:
        said.append(f"{found['classes']} classes among the answers, wanted at least {LEAST_CLASSES}")
    for kind, sigma in found["sigmas"].items():
        if sigma["bent"] > MOST_BENT:
            said.append(f"deviations ({kind}) of smaller errors differ by {sigma['bent']:.2g}, at most {MOST_BENT}")
    for part in PARTS:
        one = found.get(part, {})
        if "bound" in one and one["difference"] > one["bound"]:
            said.append(f"{part}: a difference of {one['difference']:.2g}, bound {one['bound']:.2g}")
        if one.get("wrong"):
            said.append(f"{part}: {one['wrong']} photographs of another class")
    return [f"FAILED {found['name']} {found['exporter']}: {text}" for text in said]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(ALL), metavar="NAME")
    parser.add_argument("--exporters", nargs="+", default=list(vision.EXPORTERS), choices=vision.EXPORTERS)
    parser.add_argument("--photographs", type=int, default=200, help="of val, a tenth of each class (200)")
    parser.add_argument("--parts", nargs="+", default=[*PARTS, "bound"], choices=[*PARTS, "bound"])
    add_output(parser)
    given = parser.parse_args()
    parts = tuple(part for part in PARTS if part in given.parts)
    count = logits_of_all(given.photographs)
    said = f"{count} logits: bounds of {quantile(count):.2f} standard deviations, for a risk of {RISK:.0e}"
    header = f"{'network':19} {'by':7} {'nodes':>5} {'largest':>9} {'classes':>7}  " + "  ".join(
        f"{part:>8} {'bound':>8} {'wrong+ties':13}" for part in PARTS
    )
    print(f"{said}\n{header}", flush=True)
    versions = {peer: version(peer) for peer in ("onnxruntime", "torch")}
    lines, figures, failed = [made_by(about() | versions), said, "", header], [], []
    for name in given.networks:
        for exporter in given.exporters:
            one = Measured(name, exporter, given.photographs // 10)
            for part in parts:
                one.run(part)
            if not one.found:
                parser.error(f"nothing is measured of {name} by {exporter}: a bound is made of the logits")
            if "bound" in given.parts:
                one.run_bound()
            figures.append(one.judged(count))
            lines.append(line(figures[-1]))
            failed += failures(figures[-1], given.photographs)
            print(lines[-1], flush=True)
    text = "\n".join([*lines, *failed])
    write_result(given.output, text, figures)
    if failed:
        print(*failed, sep="\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
