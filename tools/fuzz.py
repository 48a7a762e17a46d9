"""Looks for files that break a loader, by coverage of elq_ref and of the libraries in Python that it reads with.

    python tools/fuzz.py --minutes 10 elq            needs `pip install atheris`; ends with 1 when something was found
    python tools/fuzz.py --keep FOLDER elq           keep in the corpus what covers as much as a folder of files

Targets, and what must hold of each: tests/fuzz_targets.py. Files are changed by tools/fuzz_mutators.py, from those of
tools/fuzz_seeds.py and of the corpus on. The corpus, tests/data/fuzz-corpus.zip, is replayed by the test suite.
Everything that is found lies in a folder, build/fuzz/TARGET by default, in which the next search goes on.
"""

import argparse
import io
import os
import random
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "tests" / "data" / "fuzz-corpus.zip"
LONGEST = 1 << 15  # bytes of a content
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # where files are no work for a disk
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tools")]
os.environ.setdefault("ELQ_NUM_THREADS", "1")


def corpus(target: str) -> list[bytes]:
    """The contents of a target in the committed corpus."""
    if not CORPUS.exists():
        return []
    with zipfile.ZipFile(CORPUS) as archive:
        return [archive.read(name) for name in archive.namelist() if name.startswith(f"{target}/")]


def search(target: str, minutes: float, folder: Path) -> None:
    """Run atheris for that long; does not return: 0, or 1 with the content that broke something in `folder`/found."""
    import atheris

    with atheris.instrument_imports(include=["elq_ref", "PIL", "zipfile", "pickletools", "gzip"]):
        import fuzz_mutators
        import fuzz_seeds
        import fuzz_targets

    inputs, found = folder / "corpus", folder / "found"
    for path in (inputs, found):
        path.mkdir(parents=True, exist_ok=True)
    for k, content in enumerate(fuzz_seeds.SEEDS[target]() + corpus(target)):
        (inputs / f"seed-{k}").write_bytes(content)
    place = Path(tempfile.mkdtemp(dir=MEMORY))

    def one(content: bytes) -> None:
        fuzz_targets.check(target, content, place)

    def change(content: bytes, most: int, seed: int) -> bytes:
        return fuzz_mutators.mutate(content, most, random.Random(seed), atheris.Mutate)

    seconds = str(round(60 * minutes))
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        "-timeout=30",
        "-rss_limit_mb=2048",
        "-len_control=0",
    ]
    options += [f"-artifact_prefix={found}/", "-print_final_stats=1", "-verbosity=1", "-error_exitcode=1"]
    atheris.Setup([sys.argv[0], *options, str(inputs)], one, custom_mutator=change)
    atheris.Fuzz()


def keep(target: str, folder: Path) -> None:
    """Put into the corpus, in place of what it has of the target, the smallest contents of it and of `folder` that
    together take every branch of elq_ref and of Pillow that all of them take."""
    import coverage
    import fuzz_targets
    import PIL

    contents = {path.read_bytes() for path in folder.rglob("*") if path.is_file()} | set(corpus(target))
    taken: dict[bytes, set[tuple[str, tuple[int, int]]]] = {}
    sources = [str(ROOT / "elq_ref"), str(Path(PIL.__file__).parent)]
    watch = coverage.Coverage(data_file=None, branch=True, source=sources, config_file=False)
    with tempfile.TemporaryDirectory(dir=MEMORY) as place:
        for content in sorted(contents, key=lambda content: (len(content), content)):
            watch.erase()
            watch.start()
            try:
                fuzz_targets.check(target, content, Path(place))
            finally:
                watch.stop()
            data = watch.get_data()
            taken[content] = {(file, arc) for file in data.measured_files() for arc in data.arcs(file) or ()}
    wanted = set().union(*taken.values())
    chosen = []
    while wanted:
        best = max(taken, key=lambda content: (len(taken[content] & wanted), -len(content), content))
        chosen.append(best)
        wanted -= taken[best]
    others = {}
    if CORPUS.exists():
        with zipfile.ZipFile(CORPUS) as archive:
            others = {n: archive.read(n) for n in archive.namelist() if not n.startswith(f"{target}/")}
    mine = {f"{target}/{k:03}": content for k, content in enumerate(sorted(chosen, key=lambda c: (len(c), c)))}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted((others | mine).items()):
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)
    CORPUS.write_bytes(stream.getvalue())
    print(f"{target}: {len(mine)} of {len(contents)} files, {sum(map(len, mine.values())):,} bytes; corpus "
          f"{len(stream.getvalue()):,} bytes")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="elq, onnx, safetensors, pth, picture, idx, data, run or trace")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--folder", type=Path, help="where the search keeps what it has found")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the corpus smaller instead of searching")
    given = parser.parse_args()
    if given.keep:
        keep(given.target, given.keep)
    else:
        search(given.target, given.minutes, given.folder or ROOT / "build" / "fuzz" / given.target)


if __name__ == "__main__":
    main()
