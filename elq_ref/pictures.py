"""Pictures from files, by Pillow, as a network's input wants them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import FormatError
from .preprocessing import RESIZE_RULES

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")  # of files in folders
_MODES = {1: "L", 3: "RGB"}


def find_pictures(folder: str | os.PathLike[str], classes: Sequence[str]) -> list[tuple[Path, int | None]]:
    """The picture files of a folder, by their suffix and in order of their paths, each with its label.

    A folder with sub-folders is a labelled one: each sub-folder bears the name of one of `classes`, whose index is the
    label of all pictures below it; files beside the sub-folders are passed over. Without sub-folders there are no
    labels (None). Names that begin with a dot are passed over.
    Raises FileNotFoundError for no folder or no picture, ValueError for sub-folders that are no classes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    parts = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    labels = {name: k for k, name in enumerate(classes)}
    unknown = [p.name for p in parts if p.name not in labels]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
        raise ValueError(f"{folder} has sub-folders that are no class: {', '.join(unknown[:3])}{more}; wanted {known}")
    found: list[tuple[Path, int | None]] = [(path, None) for path in _files(folder.iterdir())] if not parts else []
    found += [(path, labels[part.name]) for part in parts for path in _files(part.rglob("*"))]
    if not found:
        raise FileNotFoundError(f"{folder} has no picture ({' '.join(SUFFIXES)})")
    return found


def _files(paths: Iterable[Path]) -> list[Path]:
    return sorted(p for p in paths if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file())


def read_picture(
    path: str | os.PathLike[str], input_shape: tuple[int, int, int], resize: str = "stretch"
) -> np.ndarray:
    """The picture in a file as uint8 (C, H, W) = `input_shape`, C 1 (grey) or 3 (red, green, blue).

    Any mode: palettes, CMYK and so on are converted, 16 bits a value scaled to 8, transparency composited
    on white, colours made grey by 0.299 R + 0.587 G + 0.114 B. The picture is turned as the camera was held
    (EXIF); of an animation it is the first. Nothing is inverted: networks trained on MNIST or the bundled
    digits read white on black.

    resize, for a picture of another size: "exact" refuses it; "stretch" scales rows and columns to H and W;
    "crop" scales it by one factor until it covers H x W and cuts out the centre. Scaling is bilinear, where
    it shrinks over a target pixel's whole area; a picture of the right size keeps every value.

    Raises FileNotFoundError; FormatError for a file that is no picture, damaged or huge; ValueError for a
    size that "exact" refuses.
    """
    path = Path(path)
    channels, height, width = input_shape
    if channels not in _MODES or resize not in RESIZE_RULES:
        raise ValueError(f"{channels} channels, resized by {resize!r}: wanted 1 or 3 and a known rule")
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture {path}")
    if path.stat().st_size == 0:
        raise FormatError(f"{path} is empty, wanted a picture")
    image = _decode(path, _MODES[channels])
    if image.size != (width, height):
        if resize == "exact":
            raise ValueError(f"{path} is {image.height}x{image.width}, wanted exactly {height}x{width}")
        scale = Image.Resampling.BILINEAR
        size = (width, height)
        image = image.resize(size, scale) if resize == "stretch" else ImageOps.fit(image, size, scale)
    return np.array(image).reshape(height, width, channels).transpose(2, 0, 1)


def _decode(path: Path, mode: str) -> Image.Image:
    """The picture in `mode`, "L" or "RGB"."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damage that becomes an error below, or does not matter
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.format == "EPS":  # Pillow would start Ghostscript, and a program is what EPS is
                    raise FormatError("EPS is a program, not a picture")
                return _convert(ImageOps.exif_transpose(image), mode)
    except UnidentifiedImageError:
        raise FormatError(f"{path} is no picture of a known format") from None
    except Exception as error:  # every decoder of Pillow has its own for a damaged file
        line = " ".join(str(error).split()) or type(error).__name__
        raise FormatError(f"{path} is a picture that cannot be read: {line[:160]}") from None


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a value; 65535 = 257 * 255
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    elif "transparency" in image.info or image.getbands()[-1] in "Aa":
        image = image.convert("LA" if image.mode == "La" else image.mode).convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
