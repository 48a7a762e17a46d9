"""A network of 8x8 digits as one HTML file: exported C, compiled to WebAssembly, with a page to draw on.

    python examples/browser/build.py [NET.elq] [-o FILE.html]

clang and its linker for WebAssembly must be there (Debian: clang, lld). The default writes digits.html beside this file
from drawn-digits.elq. The same network and the same compiler give the same bytes.
"""

import argparse
import base64
import json
import math
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from elq_ref.export_c import export_c
from elq_ref.files import atomic_write
from elq_ref.runtime import PackedNetwork

HERE = Path(__file__).parent
FLAGS = ["--target=wasm32", "-std=c99", "-O2", "-ffreestanding", "-fvisibility=hidden", "-nostdlib"]
LINK = ["-Wl,--no-entry", "-Wl,--export-dynamic", "-Wl,--strip-all", "-Wl,-z,stack-size=16384"]
LIMIT = 100_000  # bytes of the page


def compiler() -> str:
    """The clang that is here, in a word or two; SystemExit that says what is missing."""
    for tool, package in (("clang", "clang"), ("wasm-ld", "lld")):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is not installed (Debian's package: {package})")
    said = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout
    return "clang " + re.search(r"version (\S+)", said)[1]


def page(network: PackedNetwork) -> str:
    """The whole page for a network that reads pictures 1x8x8."""
    shape, made_with = network.graph.input_shape, compiler()
    if tuple(shape) != (1, 8, 8):
        raise SystemExit(f"the network reads pictures {tuple(shape)}, wanted (1, 8, 8)")
    export = export_c(network, "digits", prefer="size")
    with tempfile.TemporaryDirectory() as folder:
        export.save(folder)
        sources = [HERE / "glue.c", Path(folder, "digits.c")]
        wasm = Path(folder, "digits.wasm")
        includes = [f"-I{folder}", f"-I{HERE / 'include'}"]
        subprocess.run(["clang", *FLAGS, *LINK, *includes, *map(str, sources), "-o", str(wasm)], check=True)
        code = wasm.read_bytes()
    contents = export.contents
    words = {
        "compiler": made_with,
        "weights": f"{sum(math.prod(layer.shape) for layer in network.layers.values()):,}",
        "macs": f"{contents.macs:,}",
        "weight_bytes": f"{contents.weight_bytes:,}",
        "arena_bytes": f"{contents.plan.bytes:,}",
        "wasm_bytes": f"{len(code):,}",
        "wasm": base64.b64encode(code).decode(),
        "classes": json.dumps(network.metadata.classes),
    }

    def filled(match: re.Match) -> str:
        name = match[1]
        return words[name] if name in words else (HERE / name).read_text(encoding="utf-8")

    return re.sub(r"\{\{([\w.]+)\}\}", filled, (HERE / "page.html").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", default=HERE / "drawn-digits.elq", help="calibrated network (.elq)")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "digits.html", metavar="FILE.html")
    args = parser.parse_args()
    text = page(PackedNetwork.load(args.network)).encode()
    if len(text) > LIMIT:
        raise SystemExit(f"the page has {len(text):,} bytes, wanted at most {LIMIT:,}")
    with atomic_write(args.output) as temporary:
        temporary.write_bytes(text)
    print(f"{args.output}: {len(text):,} bytes")


if __name__ == "__main__":
    main()
