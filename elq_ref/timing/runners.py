"""What runs a packed network: this runtime, or another one that is given the same function in ONNX."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime import PackedNetwork, Session
from ..runtime.native import _infer

Call = Callable[[], np.ndarray]  # computes the logits (N, classes) of the pictures that it was made for
Profile = Callable[[np.ndarray], list[tuple[str, str, str, float, int]]]  # `Session.profile`, and its like


@dataclass(frozen=True)
class Ready:
    """A network made ready to run: prepare(pictures uint8 (N, C, H, W)) -> Call; `about`, JSON values, says what runs;
    profile(pictures) -> rows of (value, op, kernel, seconds, multiply-adds), where the runner can tell."""

    prepare: Callable[[np.ndarray], Call]
    about: dict[str, Any]
    profile: Profile | None = None


@dataclass(frozen=True)
class Runner:
    """make(network, threads) -> Ready, in a process of its own; `packages` it needs besides elq_ref's."""

    make: Callable[[PackedNetwork, int], Ready]
    packages: tuple[str, ...] = ()


def missing(name: str) -> list[str]:
    """The packages that runner `name` needs and that are not installed."""
    return [p for p in RUNNERS[name].packages if importlib.util.find_spec(p) is None]


def _elq(activations: str) -> Callable[[PackedNetwork, int], Ready]:
    def make(network: PackedNetwork, threads: int) -> Ready:
        session = Session(network, activations)

        def feed(pictures: np.ndarray) -> np.ndarray:
            # int8: the table that normalizes pictures also quantizes them
            return pictures if activations == "int8" else network.metadata.normalization.apply(pictures)

        def prepare(pictures: np.ndarray) -> Call:
            x = feed(pictures)
            return lambda: session(x)

        about = {"kernels": session.kernels, "weight_bytes": session.weight_bytes, "arena_bytes": session.arena_bytes}
        return Ready(prepare, about, lambda pictures: session.profile(feed(pictures)))

    return make


def _onnxruntime(int8: bool) -> Callable[[PackedNetwork, int], Ready]:
    def make(network: PackedNetwork, threads: int) -> Ready:
        import onnxruntime

        from ..exchange.onnx_export import export_onnx

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "float.onnx")
            export_onnx(network, path, floats=True)
            if int8:
                path = int8_onnx(network, path)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def prepare(pictures: np.ndarray) -> Call:
            x = network.metadata.normalization.apply(pictures)
            return lambda: session.run(None, {name: x})[0]

        return Ready(prepare, {"version": onnxruntime.__version__})

    return make


def int8_onnx(network: PackedNetwork, path: Path, batches: int = 4) -> Path:
    """The ONNX file with uint8 activations and int8 weights (QDQ, a scale for each output channel), onnxruntime's
    fastest form; calibrated on random pictures, as time does not depend on the values.

    The weights are -64 to 64 (reduce_range): without VNNI onnxruntime adds pairs of products in 16 bits (vpmaddubsw),
    and 2 * 255 * 127 saturates there, so that the same file would compute something else on another CPU.
    """
    import logging

    from onnxruntime import quantization

    logging.getLogger().setLevel(logging.ERROR)  # it recommends another pre-processing, which changes nothing here

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            rng = np.random.default_rng(1)
            shape = (1, *network.graph.input_shape)
            pictures = (rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(batches))
            self.inputs = iter([{network.graph.input: network.metadata.normalization.apply(p)} for p in pictures])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.inputs, None)

    result = path.with_name("int8.onnx")
    quantization.quantize_static(
        str(path),
        str(result),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )
    return result


def _limit(activations: str) -> Callable[[PackedNetwork, int], Ready]:
    """The network's multiply-adds with every operand in a register: what no runtime on this instruction set beats
    without saving multiplications."""

    def make(network: PackedNetwork, threads: int) -> Ready:
        instruction = _infer.limit(activations) if _infer else None
        if not instruction:
            raise RuntimeError("the kernels in use have no limit of their own (generic C or NumPy)")
        work = sum(network.macs.values())

        def call(pictures: np.ndarray) -> np.ndarray:
            _infer.limit(activations, len(pictures) * work)
            return np.zeros((1, 0))

        return Ready(lambda pictures: lambda: call(pictures), {"version": instruction})

    return make


_PEER = ("onnxruntime", "onnx")
RUNNERS = {
    "elq float32": Runner(_elq("float32")),
    "elq int8": Runner(_elq("int8")),
    "onnxruntime fp32": Runner(_onnxruntime(False), _PEER),
    "onnxruntime u8s8": Runner(_onnxruntime(True), _PEER),
    "limit float32": Runner(_limit("float32")),
    "limit int8": Runner(_limit("int8")),
}
POOLS = ("ELQ_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def environment(threads: int) -> dict[str, str]:
    """This process's environment for a process whose pools have `threads` threads."""
    return os.environ | {pool: str(threads) for pool in POOLS}
