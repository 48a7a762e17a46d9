"""What a folder of a million pictures costs at the start: listed, found in the kept list, and sampled.

    python -m benchmarks.speed listing [--files 1281167] [--folder FOLDER] [-o benchmarks/results/listing.txt]

Makes a tree like ImageNet's train/, 1,000 folders of one photograph under as many names as are asked for (hard links,
a new copy for every 30,000), in a temporary folder below FOLDER, and removes it at the end. Each start is a process of
its own: the first lists the tree, the second finds the list kept. Then it sets 2,000 pictures apart, shuffles an epoch,
reads the pictures of a batch, cut to 224, and sums up all names for a run that is resumed. Times are the clock's and,
in brackets, the processor's; memory is the process's peak above what it takes with elq_ref loaded.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from elq_ref import Batches, datasets
from elq_ref.datasets import RandomResizedCrop

from ..result_text import add_output, write_result

CLASSES, LINKS, BATCH, JUDGED = 1000, 30_000, 256, 2000
PARTS = ("listed", "hold out", "first batch", "digest")


def make_tree(root: Path, files: int) -> None:
    """root/train with `files` pictures in folders of their classes, root/val with one a class."""
    picture = root / "0.JPEG"
    values = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(values).resize((500, 375)).save(picture)
    count = min(CLASSES, files)
    for part, total in (("train", files), ("val", count)):
        for label in range(count):
            (root / part / f"n{label:08}").mkdir(parents=True)
        for k in range(total):
            if k % LINKS == 0:
                copy = root / f"{part}{k}.JPEG"
                copy.write_bytes(picture.read_bytes())
            name = f"n{k % count:08}"
            os.link(copy, root / part / name / f"{name}_{k}.JPEG")
    then = time.time() - 60  # a tree that lies there for a while
    for part in ("train", "val"):
        for folder in (root / part, *(root / part).iterdir()):
            os.utime(folder, (then, then))


def work(root: str) -> None:
    """The process of one start: a line of JSON with seconds, processor seconds and megabytes."""
    before, figures = _peak(), {}

    def timed(what: str, do: Callable[[], Any]) -> Any:
        begin, used = time.perf_counter(), time.process_time()
        found = do()
        figures[what] = [time.perf_counter() - begin, time.process_time() - used]
        return found

    train, val = timed("listed", lambda: datasets.imagenet(root))
    rest, _ = timed("hold out", lambda: datasets.hold_out(train, min(JUDGED, len(train) // 2)))
    batches = Batches(rest, BATCH, augment=RandomResizedCrop((0.08, 1.0)))
    figures["MB of names and labels"] = _peak() - before
    timed("first batch", lambda: next(batches.epoch(0)))
    timed("digest", lambda: rest.images.digest)
    print(json.dumps({"files": len(train) + len(val), "MB": _peak() - before, **figures}))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Parse, run, print, and write the table if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_281_167)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    add_output(parser)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work)
        return
    if arguments.files < 2:
        parser.error(f"--files is {arguments.files}, wanted at least 2")
    starts = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        root = Path(name)
        make_tree(root, arguments.files)
        environment = os.environ | {"XDG_CACHE_HOME": str(root / "cache")}
        for which in ("first", "second"):
            command = [sys.executable, "-m", "benchmarks.speed", "listing", "--work", str(root)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            starts[which] = json.loads(done.stdout)
        kept = sum(path.stat().st_size for path in (root / "cache").rglob("*.npz"))
    text = table(starts, kept)
    print(text)
    write_result(arguments.output, text, {"kept_bytes": kept, **starts})


def table(starts: dict[str, dict[str, Any]], kept: int) -> str:
    """Of the figures of both starts."""
    lines = [f"{starts['first']['files']:,} files, kept list {kept / 1e6:.1f} MB; seconds (of the processor), MB"]
    lines.append("  " + "".join(f"{word:>16}" for word in ("", *PARTS, "names, labels", "all")))
    for which, seen in starts.items():
        cells = [f"{seen[part][0]:.2f} ({seen[part][1]:.2f})" for part in PARTS]
        cells += [f"{seen[what]:.1f}" for what in ("MB of names and labels", "MB")]
        lines.append("  " + "".join(f"{word:>16}" for word in (f"{which} start", *cells)))
    return "\n".join(lines)
