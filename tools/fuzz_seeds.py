"""Sound files of every kind that a loader reads, to start fuzzing from: the smallest that have all in them."""

import gzip
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch_files as made
from fuzz_targets import RUN_PLAN, RUN_SGD, pack
from PIL import Image
from runtime_nets import block, content_of, modern, pooled, small, with_int8
from small_runs import batches, small_net

from elq_ref import Run, checkpoint, crosscheck
from elq_ref.datasets import cifar

try:
    import torch
except ImportError:
    torch = None


def elq() -> list[bytes]:
    rng = np.random.default_rng(30)
    nets = [small(rng), small(rng, "binary"), pooled(5, 2), pooled(4, 2, "avg_pool"), block(rng), modern(rng)]
    return [content_of(net) for net in nets] + [content_of(with_int8(net, rng)) for net in nets]


def weights() -> list[bytes]:
    """Of ours and of others, of every dtype."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.safetensors")
        net = small_net()
        codes = {"0.weight": (np.ones((5, 1, 3, 3), np.int8), np.full((1, 1, 1, 1), 0.5, np.float32))}
        checkpoint.save(net, path, batches().dataset, codes=codes, plan=RUN_PLAN.to_json())
        ours = path.read_bytes()
    kinds = ["?", "u1", "i1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"]
    others = safetensors.numpy.save({f"t{k}": np.arange(3).astype(kind) for k, kind in enumerate(kinds)})
    header = (
        b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[],"data_offsets":[4,8]}}'
    )
    return [ours, others, len(header).to_bytes(8, "little") + header + bytes(8)]


def pth() -> list[bytes]:
    """Of the old and the zip format: a state_dict of ours to load, wrappers, notes, views that share a storage."""
    data = np.arange(12, dtype="<f4").tobytes()
    two = made.dictionary({
        "w": made.tensor(made.storage("0", 12), (3, 4), (4, 1)),
        "v": made.tensor(made.storage("0", 12), (2, 2), (1, 6), 1),
    })  # fmt: skip
    wrapped = made.dictionary({"epoch": made.number(3), "net": two, "lr": made.text("x")})
    seeds = [made.zipped(made.pickled(program), {"0": data}) for program in (two, wrapped)]
    seeds.append(made.old(made.pickled(two), {"0": (12, data)}))
    if torch is None:
        return seeds
    state = {name: torch.tensor(array) for name, array in small_net().state_dict().items()}
    kinds = (torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64, torch.complex64)
    mixed = {f"t{k}": torch.ones(2, dtype=kind) for k, kind in enumerate(kinds)}
    mixed["neg"] = torch.tensor([1 + 2j]).conj().imag
    noted = {"state_dict": {"module.a": torch.nn.Parameter(torch.ones(2))}, "notes": [(1, "x"), {2: 3.0}, None]}
    for value in (state, mixed, noted):
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save(value, stream, _use_new_zipfile_serialization=zipped)
            seeds.append(stream.getvalue())
    return seeds


FORMATS = ("BMP", "GIF", "JPEG", "PPM", "PNG", "TIFF", "WEBP", "ICO", "TGA", "JPEG2000", "DDS", "SGI", "PCX", "IM")


def picture() -> list[bytes]:
    """Every format that Pillow writes, in the modes that it has."""
    rng = np.random.default_rng(4)
    colours = Image.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    modes = {mode: colours.convert(mode) for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr")}
    modes["I;16"] = Image.fromarray(rng.integers(0, 65536, (6, 9), dtype=np.uint16))
    for mode in ("F", "I"):
        modes[mode] = colours.convert("L").convert(mode)
    exif = Image.Exif()
    exif[274] = 6
    seeds = []
    for kind in FORMATS:
        for image in modes.values():
            for more in ({}, {"exif": exif}, {"transparency": 3}):
                stream = io.BytesIO()
                try:
                    image.save(stream, kind, **more)
                except Exception:  # a mode that the format has not
                    continue
                if (content := stream.getvalue()) not in seeds and len(content) < 4096:
                    seeds.append(content)
    return seeds


def _idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def idx() -> list[bytes]:
    rng = np.random.default_rng(5)
    plain = [_idx(rng.integers(0, 10, shape, dtype=np.uint8)) for shape in ((2, 3, 4), (5,), (0, 2, 2))]
    return plain + [gzip.compress(content, mtime=0) for content in plain]


def data() -> list[bytes]:
    rng = np.random.default_rng(6)
    files = {}
    for part in ("train", "t10k"):
        files[f"{part}-images-idx3-ubyte"] = _idx(rng.integers(0, 256, (2, 3, 4), dtype=np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = _idx(rng.integers(0, 10, 2, dtype=np.uint8))
    packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}
    names = [name for part in cifar.PARTS.values() for name in part]
    records = dict.fromkeys(names, (b"\x03" + bytes(cifar.RECORD - 1)) * 2)
    return [pack(files), pack(packed), pack(records)]


def run() -> list[bytes]:
    """A run that is finished, one that stands after its first stage, one that never saved."""
    seeds = []
    with tempfile.TemporaryDirectory() as folder:
        for name, stages in (("whole", 3), ("part", 2)):
            pictures = batches()
            steps = Run(Path(folder, name), small_net(), pictures, RUN_PLAN, RUN_SGD, test=pictures.dataset).start()
            for _ in range(stages):
                next(steps)
            if stages == 3:
                list(steps)
            steps.close()
            files = {
                p.name: p.read_bytes() for p in sorted(Path(folder, name).iterdir()) if p.suffix.startswith(".json")
            }
            seeds.append(pack(files))
            state = Path(folder, name, "state.safetensors").read_bytes()
            seeds.append(pack({"config.json": files["config.json"], "state.safetensors": state}))
            seeds.append(pack(files | {"state.safetensors": state}))
    return seeds


def trace() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        crosscheck.record(small_net(), batches(30), RUN_PLAN, RUN_SGD, path=Path(folder, "t"), steps=1)
        tensors, meta = (Path(folder, f"t.{end}").read_bytes() for end in ("safetensors", "json"))
    loose = {key: value for key, value in json.loads(meta).items() if key != "tensors"}  # no sum of the other file
    few = {"0/w/a": np.ones(2, np.float32), "0/loss": np.array(1.5), "1/labels": np.arange(2)}
    bare = pack({"t.safetensors": safetensors.numpy.save(few)})
    return [pack({"t.safetensors": tensors, "t.json": text}) for text in (meta, json.dumps(loose).encode())] + [bare]


def onnx() -> list[bytes]:
    """The committed examples, which are both exporters' and channels last."""
    folder = Path(__file__).resolve().parents[1] / "tests" / "data" / "onnx"
    return [path.read_bytes() for path in sorted(folder.glob("*.onnx"))]


SEEDS = {
    "elq": elq, "onnx": onnx, "safetensors": weights, "pth": pth, "picture": picture, "idx": idx, "data": data,
    "run": run, "trace": trace,
}  # fmt: skip
