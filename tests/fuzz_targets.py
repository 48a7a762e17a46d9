"""What must hold of any content that a reader of files is given: tools/fuzz.py looks for one of which it does not, the
replay (tests/test_fuzz_corpus.py) and the mutations of tests/runtime/test_format_fuzz.py hold what was found.

    a refusal is an exception that the reader documents, of one short line that a terminal can be given
    what loads is equal after it was saved and loaded again, and runs as its definition says
    neither takes more memory or time than a small multiple of the file

A target reads one file; those that read a folder get it as a zip of stored files.
"""

import contextlib
import importlib
import io
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image
from runtime_nets import content_of, error_bounds, packed, random_pictures
from small_runs import batches, small_net

from elq_ref import SGD, Plan, Run, Tensor, checkpoint, crosscheck, datasets, from_onnx, no_grad
from elq_ref.datasets import cifar
from elq_ref.datasets.idx import read_idx
from elq_ref.errors import FormatError, shown
from elq_ref.graph import infer_shapes
from elq_ref.graph.shapes import operations
from elq_ref.pictures import read_picture
from elq_ref.runs.comparison import grouped
from elq_ref.runs.folder import RunFolder
from elq_ref.runs.lines import line_of
from elq_ref.runs.record import RunRecord
from elq_ref.runtime import PackedNetwork, Session, interpret_int8, load
from elq_ref.runtime.container import is_packed
from elq_ref.runtime.interpreter import values
from elq_ref.training.state import State

MEMORY = 64 << 20  # that reading a file of a few kilobytes may take
SECONDS = 5  # of processor time, likewise; it takes milliseconds, under a sanitizer some more
PIXELS = 1 << 16  # of a picture: Pillow's own limit, set lower so that what passes it is small
LINE = 500  # characters that a refusal has at most, but for its paths
OPERATIONS = 10**6  # of the networks that are run
VALUES = 10**6  # of the tensors that are written again: those that repeat one value have any number


@contextmanager
def limited_memory(most: int = MEMORY) -> Iterator[None]:
    """Allocations beyond `most` fail (MemoryError) where the system can be told so, but not beside a sanitizer."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (before[0] if taken > 1 << 40 else taken + most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Refused(Exception):
    """The reader refused the content, as it may."""


@contextmanager
def refusing(folder: Path, *kinds: type[Exception], memory: int = MEMORY) -> Iterator[None]:
    """Inside a reader runs: bounded, and refusing what it does not want by an exception of `kinds` (Refused, then)."""
    start = time.process_time()
    try:
        with limited_memory(memory):
            yield
    except kinds as error:
        text = str(error)
        assert text == shown(text), text
        assert 0 < len(text.replace(str(folder), "")) < LINE, text
        raise Refused from None
    finally:
        assert time.process_time() - start < SECONDS


def check(target: str, content: bytes, folder: Path) -> bool:
    """Whether `content` is taken by the reader; AssertionError, or the exception, where what must hold does not.

    folder: an empty one, which this empties again.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of what it repairs
            TARGETS[target](content, folder)
    except Refused:
        return False
    finally:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    return True


# Packed networks


def elq(content: bytes, folder: Path) -> None:
    path = folder / "t.elq"
    path.write_bytes(content)
    with refusing(folder, FormatError):
        net = load(path)
    assert is_packed(path)
    saved = content_of(net)
    again = packed(saved)
    assert content_of(again) == saved
    for name, weight in net.layers.items():
        np.testing.assert_array_equal(again.layers[name].data, weight.data, strict=True)
    assert all(line == shown(line) for line in net.summary().splitlines())
    if net.operations <= OPERATIONS:
        check_answer(net)


def check_answer(net: PackedNetwork) -> None:
    """Session agrees with the interpreters: within the bound of its roundings wherever float32 does not overflow, and
    to the last bit on int8 activations.
    """
    rng = np.random.default_rng(31)
    x = rng.standard_normal((1, *net.graph.input_shape)).astype(np.float32)
    with np.errstate(all="ignore"):
        wanted = values(net.graph, x, np.float64)
        y = Session(net)(x)
    assert y.shape == (1, len(net.metadata.classes))
    if max(np.abs(value).max() for value in wanted.values()) < 1e30:
        bound = error_bounds(net.graph, x)[net.graph.output] + 1e-30  # and underflow
        assert np.all(np.abs(y - wanted[net.graph.output]) <= bound)
    if net.int8 is not None:
        pictures = random_pictures(rng, net, 1)
        outputs = interpret_int8(net.int8, pictures)
        assert np.isfinite(outputs.logits).all()
        np.testing.assert_array_equal(Session(net, "int8")(pictures), outputs.logits, strict=True)


# Checkpoints


def weights(content: bytes, folder: Path) -> None:
    path, again = folder / "t", folder / "again"
    path.write_bytes(content)
    with refusing(folder, FormatError):
        file = checkpoint.read(path)
    for name, kinds in (("network", (ValueError,)), ("codes", (FormatError,))):
        with contextlib.suppress(Refused), refusing(folder, *kinds):
            getattr(file, name)
    with contextlib.suppress(Refused), refusing(folder, ValueError):
        file.load_into(small_net())
    with contextlib.suppress(Refused), refusing(folder, ValueError):
        file.graph_net()
    if any(array.dtype.kind == "c" for array in file.tensors.values()):
        return
    if sum(array.size for array in file.tensors.values()) > VALUES:
        return
    checkpoint.write(again, file.tensors, file.metadata)
    once = checkpoint.read(again)
    assert once.tensors.keys() == file.tensors.keys()  # the order is the writer's
    assert (once.metadata, once.stated, once.info) == (file.metadata, file.stated, file.info)
    assert (once.graph is None) == (file.graph is None)
    for name, array in file.tensors.items():
        assert once.tensors[name].dtype == array.dtype
        assert once.tensors[name].shape == array.shape
        assert once.tensors[name].tobytes() == array.tobytes()


# ONNX


def onnx(content: bytes, folder: Path) -> None:
    """What is read is a network: it can be made, it computes logits, and saved with its graph it is the same."""
    path = folder / "t.onnx"
    path.write_bytes(content)
    importlib.import_module("onnx")  # which takes memory of its own
    with refusing(folder, FormatError):
        file = checkpoint.read(path)
        net = from_onnx(path)
    assert file.graph is not None
    shapes = infer_shapes(file.graph)
    assert set(file.tensors) == set(file.graph.parameters)
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in file.tensors.values())
    if sum(operations(file.graph, shapes).values()) <= OPERATIONS:
        x = np.random.default_rng(32).standard_normal((2, *file.graph.input_shape)).astype(np.float32)
        with np.errstate(all="ignore"), no_grad():
            y = net.eval()(Tensor(x))
        assert y.shape == (2, *shapes[file.graph.output])


# Pictures and data sets


def picture(content: bytes, folder: Path) -> None:
    path, again = folder / "t.png", folder / "again.png"
    path.write_bytes(content)
    with mock.patch.object(Image, "MAX_IMAGE_PIXELS", PIXELS):
        for shape, rule in (((3, 6, 9), "stretch"), ((1, 9, 6), "crop")):
            with refusing(folder, FormatError):
                pixels = read_picture(path, shape, rule)
            assert (pixels.shape, pixels.dtype) == (shape, np.uint8)
            Image.fromarray(pixels[0] if shape[0] == 1 else pixels.transpose(1, 2, 0)).save(again)
            np.testing.assert_array_equal(read_picture(again, shape, "exact"), pixels, strict=True)


def idx(content: bytes, folder: Path) -> None:
    path, again = folder / ("t.gz" if content.startswith(b"\x1f\x8b") else "t"), folder / "again"
    path.write_bytes(content)
    taken = False
    for ndim in (3, 1):
        with contextlib.suppress(Refused), refusing(folder, FormatError):
            array = read_idx(path, ndim)
            again.write_bytes(bytes([0, 0, 8, ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes())
            np.testing.assert_array_equal(read_idx(again, ndim), array, strict=True)
            taken = True
    if not taken:
        raise Refused


def data(content: bytes, folder: Path) -> None:
    """MNIST's or CIFAR-10's folder, the latter with two records a file."""
    unpack(content, folder, 1 << 16)
    with mock.patch.object(cifar, "RECORDS", 2):
        for split in ("train", "test"):
            with refusing(folder, FormatError, FileNotFoundError):
                found = datasets.load(folder, split=split)
            assert found.images.dtype == np.uint8
            assert len(found.images) == len(found.labels) > 0
            assert 0 <= found.labels.min() <= found.labels.max() < len(found.classes)


def unpack(content: bytes, folder: Path, most: int) -> None:
    """The files of a zip of stored files; Refused for what is none, or has other names than files' of one folder."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        files = {entry.filename: archive.read(entry) for entry in archive.infolist() if stored}
    except Exception:  # zipfile has many
        raise Refused from None
    for name, data in files.items():
        if len(data) > most or not 0 < len(name) < 100 or not name.isascii() or not name.isprintable() or "/" in name:
            raise Refused
        if name in (".", ".."):
            raise Refused
        (folder / name).write_bytes(data)


def pack(files: dict[str, bytes]) -> bytes:
    """The inverse of `unpack`: the same files give the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


# Runs


def run(content: bytes, folder: Path) -> None:
    """The folder of a run: what resuming it reads, then what reports and comparisons read."""
    unpack(content, folder, 1 << 20)
    place, net, pictures = RunFolder(folder), small_net(), batches()
    known = (FormatError, ValueError, FileNotFoundError)
    with contextlib.suppress(Refused), refusing(folder, *known):
        place.check(Run(folder, net, pictures, RUN_PLAN, RUN_SGD, test=pictures.dataset).config)
    with contextlib.suppress(Refused):
        with refusing(folder, *known):
            state = place.resume(net, pictures)
            place.result()
        with contextlib.suppress(Refused), refusing(folder, *known):
            place.means(0, ("loss", "loss_hat"))
        if state is not None:
            state.save(folder / "again.safetensors")
            same = State.load(folder / "again.safetensors", small_net())
            assert (same.plan, same.sgd, same.stage, same.index, same.step) == (
                state.plan, state.sgd, state.stage, state.index, state.step,
            )  # fmt: skip
            for name, array in state.net.state_dict().items():
                np.testing.assert_array_equal(same.net.state_dict()[name], array, strict=True)
    with refusing(folder, *known):
        record = RunRecord.read(folder)
        assert isinstance(record.top1, float)
        grouped([record])
        assert isinstance((record.label, record.passes_over_data, record.measured), tuple)
    line = line_of("one", record, curves=True)
    (folder / "runs.jsonl").write_text(line + "\n")
    with refusing(folder, *known):
        again = RunRecord.read(f"{folder / 'runs.jsonl'}#one")
        assert (again.plan, again.result) == (record.plan, record.result)


RUN_PLAN, RUN_SGD = Plan(sigma2=(0.3, 0.0), epochs=(1.0, 0.5, 0.5)), SGD(0.05)


# Traces


def trace(content: bytes, folder: Path) -> None:
    unpack(content, folder, 1 << 20)
    with refusing(folder, FormatError, FileNotFoundError):
        found = crosscheck.load(folder / "t")
    with refusing(folder, ValueError):
        same = crosscheck.compare(found, found)
        assert str(same)
        assert found.meta.get("kind") == "operations" or len(same.findings) == len(found.tensors)
    for name in found.groups():
        found.group(name)
    known = {n for n, t in found.tensors.items() if t.dtype.kind != "f" or np.isfinite(t).all()}
    if len(known) == len(found.tensors):
        assert same.ok, str(same)


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    "elq": elq,
    "onnx": onnx,
    "safetensors": weights,
    "pth": weights,
    "picture": picture,
    "idx": idx,
    "data": data,
    "run": run,
    "trace": trace,
}
