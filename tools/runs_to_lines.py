"""Folders of finished runs as lines of a file of runs: python tools/runs_to_lines.py SOURCE -o FILE.jsonl

SOURCE is a folder with runs SERIES/NAME in it, or a git revision and a path, as git show wants them:
29cd831:benchmarks/results. Lines of the series named by --curves have steps and layers too. FILE is written new.
"""

import argparse
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from elq_ref.runs.lines import add_run
from elq_ref.runs.record import RunRecord


def translated(folder: Path) -> None:
    """Bring what a folder has in older words into those of today."""
    path = folder / "layers.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    for line in lines:
        line["layers"] = {name: renamed(layer) for name, layer in line["layers"].items()}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def renamed(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer's record with "frozen" for "held"."""
    return {{"held": "frozen"}.get(key, key): value for key, value in layer.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--curves", nargs="*", default=["cifar10-resnet20"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if Path(args.source).is_dir():
            archive = io.BytesIO()
            with tarfile.open(fileobj=archive, mode="w") as made:
                made.add(args.source, ".")
            data = archive.getvalue()
        else:
            data = subprocess.run(["git", "archive", args.source], check=True, stdout=subprocess.PIPE).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as archived:
            archived.extractall(temporary, filter="data")
        args.output.unlink(missing_ok=True)
        for config in sorted(Path(temporary).glob("*/*/config.json")):
            folder = config.parent
            series, name = folder.parts[-2:]
            translated(folder)
            add_run(args.output, f"{series}/{name}", RunRecord.read(folder), curves=series in args.curves)
            print(f"{series}/{name}")


if __name__ == "__main__":
    main()
