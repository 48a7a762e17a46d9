"""A picture as a network reads it: of its size and number of channels, by a resize rule."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..preprocessing import ResizeRule
from .decoding import MAX_PIXELS, MODES, decode

_FILTERS = {False: Image.Resampling.BILINEAR, True: Image.Resampling.BICUBIC}


def read_picture(
    path: str | os.PathLike[str], input_shape: tuple[int, int, int], resize: str = "stretch"
) -> np.ndarray:
    """The picture in a file as uint8 (C, H, W) = `input_shape`, C 1 (grey) or 3 (red, green, blue).

    Any mode: palettes, CMYK and so on are converted. 12 and 16 bits of grey become the nearest of 8, of 16 bits a
    colour the upper 8 are taken. Transparency is composited on white, a colour declared transparent is white; colours
    become grey by 0.299 R + 0.587 G + 0.114 B. The picture is turned as the camera was held (EXIF, where it can be
    read); of an animation it is the first. Nothing is inverted: networks trained on MNIST or the bundled
    digits read white on black.

    resize: what is done to a picture of another size, as elq_ref.preprocessing.ResizeRule explains: "exact",
    "stretch", "crop", "crop N". A picture that needs no scaling keeps every value.

    Raises FileNotFoundError; FormatError for a file that is no picture, damaged, huge, or of values whose white nobody
    knows (float, signed, 32 bits); ValueError for a size that "exact" refuses. Any number of threads may read.
    """
    rule = ResizeRule.parse(resize)
    if input_shape[0] not in MODES:
        raise ValueError(f"{input_shape[0]} channels, wanted 1 or 3")
    image = decode(Path(path), input_shape[0])
    if rule.kind == "exact" and image.size != (input_shape[2], input_shape[1]):
        raise ValueError(f"{path} is {image.height}x{image.width}, wanted exactly {input_shape[1]}x{input_shape[2]}")
    return _values(_resized(image, input_shape[1:], rule))


def resized(pixels: np.ndarray, height: int, width: int, bicubic: bool = False) -> np.ndarray:
    """uint8 (h, w, C) scaled to (C, height, width); of that size it keeps every value."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return _values(image if image.size == (width, height) else image.resize((width, height), _FILTERS[bicubic]))


def _values(image: Image.Image) -> np.ndarray:
    return np.array(image).reshape(image.height, image.width, -1).transpose(2, 0, 1)


def _resized(image: Image.Image, size: tuple[int, int], rule: ResizeRule) -> Image.Image:
    """`image` of `size` (H, W)."""
    height, width = size
    scale = _FILTERS[rule.bicubic]
    if rule.side is not None:
        return _centre(image, height, width, rule.side, scale)
    if image.size == (width, height):
        return image
    if rule.kind == "crop":
        return ImageOps.fit(image, (width, height), scale)
    # columns first, but where a high, narrow picture would grow beyond all bounds by it
    if width * image.height > MAX_PIXELS:
        image = image.resize((image.width, height), scale)
    return image.resize((width, height), scale)


def _centre(image: Image.Image, height: int, width: int, side: int, scale: Image.Resampling) -> Image.Image:
    """The centre of the picture scaled to a shorter side of `side`, as torchvision's Resize and CenterCrop have it."""
    least = max(height, width)
    most = min(8 * least, math.isqrt(MAX_PIXELS))
    if not least <= side <= most:
        raise ValueError(f"pictures scaled to {side} and cropped to {height}x{width}: wanted {least} to {most}")
    short, long = sorted(image.size)
    if side * (side * long // short) > MAX_PIXELS:  # only the middle of a very long one
        across = MAX_PIXELS // side**2 * short
        image = ImageOps.fit(image, (min(image.width, across), min(image.height, across)), scale)
        short, long = sorted(image.size)
    end = int(side * long / short)
    size = (side, end) if image.width <= image.height else (end, side)
    if image.size != size:
        image = image.resize(size, scale)
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    return image.crop((left, top, left + width, top + height))
