"""A network run by the C kernels: its instructions, and the plan of its memory.

Graph or IntegerNetwork -> FusedNode -> Instruction, whose values lie where arena.plan says -> _infer.Program
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph.nodes import required
from . import arena
from .fusing import fuse_float, fuse_int8
from .instructions import Instruction, Place, float_instruction, int8_instruction, read_input
from .native import _infer
from .packed import PackedNetwork

if TYPE_CHECKING:
    from .._infer import Program


class CBackend:
    """A network compiled for one kind of activations. table (C, 256): what a uint8 of each channel becomes.

    instructions: the conversion of the input, then the graph's, as they run. layer_bytes: of the packed weights by
    node. arena_bytes: of all activations of one picture.
    """

    def __init__(self, network: PackedNetwork, activations: str, table: np.ndarray) -> None:
        graph, shapes = network.graph, network.shapes
        self._classes = len(network.metadata.classes)
        self._act: str
        self._width: int  # bytes of an activation
        self._dtype: np.dtype[Any]
        self._constant: np.ndarray | None = None
        self._bias: np.ndarray | None = None
        self._relu = False
        if activations == "float32":
            body = [float_instruction(node, shapes) for node in fuse_float(graph, shapes)]
            self._act, self._width, self._dtype = "f32", 4, np.dtype(np.float32)
        else:
            fused = fuse_int8(required(network.int8), shapes)
            body = [int8_instruction(node, shapes, node.name == graph.output) for node in fused]
            self._act, self._width, self._dtype = "i8", 1, np.dtype(np.int32) if body[-1].raw else np.dtype(np.int8)
            last = fused[-1].node
            if body[-1].raw and last.requantize is not None:
                self._relu = last.lo == 0
                if last.requantize.constant.any():
                    self._constant, self._bias = last.requantize.constant, last.requantize.b
        pictures = read_input(graph.input, shapes[graph.input], f"input_u8_{self._act}", table)
        self.instructions = [pictures, *body]
        self.layer_bytes = {i.source: i.layer.packed.nbytes for i in body if i.layer is not None}
        places, self.arena_bytes = _places(self.instructions, graph.output, self._width)
        self._from_u8 = self._compile(places, 1)
        self.instructions[0] = replace(pictures, rows=f"input_{self._act}")
        self._from_same = self._compile(places, self._width)

    def _compile(self, places: dict[str, Place], input_width: int) -> Program:
        placed = []
        for instruction in self.instructions:
            reads = [places[name] for name in instruction.reads] or [("input", 0)]
            residual = reads[1] if len(reads) > 1 else None
            placed.append(replace(instruction, x=reads[0], residual=residual, y=places[instruction.name]))
        input_bytes = math.prod(self.instructions[0].shape) * input_width
        program: Program = _infer.Program(placed, self.arena_bytes, input_bytes, self._classes * self._dtype.itemsize)
        return program

    def run(self, x: np.ndarray, seconds: np.ndarray | None = None) -> np.ndarray:
        """float32 (N, classes) of x float32 or uint8 (N, C, H, W), contiguous; or the raw int32 of x int8 or uint8.

        seconds: float64, one an instruction, to which its time is added.
        """
        y = np.empty((len(x), self._classes), self._dtype)
        (self._from_u8 if x.dtype == np.uint8 else self._from_same).run(x, y, seconds)
        if self._act == "f32":
            return y
        if self._constant is not None and self._bias is not None:
            y = np.where(self._constant, self._bias, y)
        if self._relu:
            y = np.maximum(y, 0)
        return y.astype(np.int32, copy=False)


def _places(instructions: list[Instruction], output: str, width: int) -> tuple[dict[str, Place], int]:
    """Where every value lies, and the bytes of the arena of one picture."""
    last = {name: position for position, instruction in enumerate(instructions) for name in instruction.reads}
    values: list[arena.Value] = []
    for position, instruction in enumerate(instructions):
        name = instruction.name
        if name == output or (values and values[-1].name == name):  # of a concat the first part says it all
            continue
        over = next((other for other in instruction.may_overwrite if last[other] == position), None)
        size = math.prod(instruction.shape) * width
        values.append(arena.Value(name, size, position, last.get(name, position), over))
    offsets, size = arena.plan(values)
    places: dict[str, Place] = {name: ("arena", offset) for name, offset in offsets.items()}
    return places | {output: ("output", 0)}, size
