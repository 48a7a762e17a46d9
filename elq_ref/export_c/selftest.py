"""What the self-test of exported C expects, computed by the definition of int8 inference."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from ..runtime.integer import IntegerNetwork
from ..runtime.integer_interpreter import interpret_int8
from .constants import Constants
from .layers import Layer


def picture(network: IntegerNetwork) -> np.ndarray:
    """The picture of the self-test, uint8 (C, H, W): bytes of a linear congruential generator in the order H W C."""
    channels, rows, columns = network.graph.input_shape
    state, values = 0, bytearray()
    for _ in range(channels * rows * columns):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        values.append(state >> 24)
    return np.frombuffer(bytes(values), np.uint8).reshape(rows, columns, channels).transpose(2, 0, 1)


def hashes(network: IntegerNetwork, layers: Sequence[Layer], pictures: np.ndarray) -> np.ndarray:
    """CRC-32 of each layer's value, uint32 (N, layers), for pictures uint8 (N, C, H, W): what NAME_hashes gives."""
    outputs = interpret_int8(network, pictures)
    found = np.empty((len(pictures), len(layers)), np.uint32)
    for layer in layers:
        value = outputs.raw.astype("<i4") if layer is layers[-1] else outputs.values[layer.name]
        if value.ndim == 4:
            value = value.transpose(0, 2, 3, 1)
        found[:, layer.index] = [zlib.crc32(np.ascontiguousarray(one).tobytes()) for one in value]
    return found


def constant_crcs(
    places: Sequence[tuple[int, int]], constants: Sequence[Constants], words: Sequence[np.ndarray], factor: np.ndarray
) -> list[int]:
    """CRC-32 of each layer's place in the arena, constants and weights; the factors are those of the last."""
    contents = [
        struct.pack("<II", *place) + own.content + weights.astype("<u4").tobytes()
        for place, own, weights in zip(places, constants, words, strict=True)
    ]
    contents[-1] += factor.astype("<f4").tobytes()
    return [zlib.crc32(content) for content in contents]
