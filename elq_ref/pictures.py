"""Pictures from files, by Pillow, as a network's input wants them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from .errors import FormatError
from .preprocessing import RESIZE_RULES

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")  # of files in folders
MAX_PIXELS = 89_478_485  # of a picture, Pillow's own limit; read in 12 bytes each at most
_MODES = {1: "L", 3: "RGB"}
_MOST_BYTES = 12
_BYTES = {  # a pixel, of formats, modes and decoders that need more, measured and rounded up: fewer pixels are allowed
    **{"AVIF": 24, "DDS": 20, "JPEG2000": 28, "WEBP": 20},
    **{"JPEG CMYK": 14, "ppm": 14, "ppm_plain": 16},
}
_TILE = 1 << 18  # pixels that are converted at a time
_BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLE_FORMAT = 258, 262, 274, 339  # tags of TIFF and EXIF
_TURNS = {  # what undoes an orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def class_folders(folder: str | os.PathLike[str]) -> list[str]:
    """The names of the sub-folders of `folder`, links to folders among them, in order; as `find_pictures` sees them."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    return [path.name for path, is_folder in _entries(folder) if is_folder]


def find_pictures(folder: str | os.PathLike[str], classes: Sequence[str]) -> list[tuple[Path, int | None]]:
    """The picture files of a folder, by their suffix and in order of their paths, each with its label.

    A folder with sub-folders is a labelled one: each sub-folder bears the name of one of `classes`, whose index is the
    label of all pictures below it, at any depth. Without sub-folders there are no labels (None).
    Passed over, at every depth: names that begin with a dot; files of other suffixes; files beside the sub-folders of
    `folder`. Links are what they lead to; a folder that a class reaches twice counts once.
    What has the suffix of a picture is listed, be it readable or not.
    Raises FileNotFoundError for no folder or no picture, or for a link of another suffix that leads nowhere; OSError
    that names a folder which cannot be read; ValueError for sub-folders that are no class, for one whose name several
    classes bear, and for a link that leads back to a folder it lies in.
    """
    folder = Path(folder)
    names = class_folders(folder)
    labels: dict[str, list[int]] = {}
    for label, name in enumerate(classes):
        labels.setdefault(name, []).append(label)
    if unknown := [name for name in names if name not in labels]:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
        raise ValueError(f"{folder} has sub-folders that are no class: {', '.join(unknown[:3])}{more}; wanted {known}")
    for name in names:
        if len(labels[name]) > 1:
            numbers = ", ".join(map(str, labels[name]))
            raise ValueError(f"{folder / name} says not which class: {numbers} all bear the name {name}")
    found: list[tuple[Path, int | None]] = [(path, labels[name][0]) for name in names for path in _below(folder, name)]
    if not names:
        found += [(path, None) for path, _ in _entries(folder) if _is_picture(path)]
    if not found:
        raise FileNotFoundError(f"{folder} has no picture ({' '.join(SUFFIXES)})")
    return found


def _below(root: Path, name: str) -> list[Path]:
    """The pictures in the folder `name` of `root` and below it, in order."""
    pictures: list[Path] = []
    seen: set[tuple[int, int]] = set()
    whole = root.resolve()
    waiting = [(root / name, frozenset(map(_identity, (whole, *whole.parents))))]
    while waiting:
        folder, above = waiting.pop()
        here = _identity(folder)
        if here in above:
            raise ValueError(f"{folder} is a link that leads back to a folder it lies in")
        if here not in seen:
            seen.add(here)
            for path, is_folder in _entries(folder):
                if is_folder:
                    waiting.append((path, above | {here}))
                elif _is_picture(path):
                    pictures.append(path)
    return sorted(pictures)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """What is in a folder and is not hidden, in order, and whether it is a folder or a link to one."""
    entries = []
    with os.scandir(folder) as listed:  # an error of it names the folder
        for entry in listed:
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not _is_picture(path) and not path.exists():
                raise FileNotFoundError(f"{path} is a link that leads to nothing")
            entries.append((path, entry.is_dir()))
    return sorted(entries)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def read_picture(
    path: str | os.PathLike[str], input_shape: tuple[int, int, int], resize: str = "stretch"
) -> np.ndarray:
    """The picture in a file as uint8 (C, H, W) = `input_shape`, C 1 (grey) or 3 (red, green, blue).

    Any mode: palettes, CMYK and so on are converted. 12 and 16 bits of grey become the nearest of 8, of 16 bits a
    colour the upper 8 are taken. Transparency is composited on white, a colour declared transparent is white; colours
    become grey by 0.299 R + 0.587 G + 0.114 B. The picture is turned as the camera was held (EXIF, where it can be
    read); of an animation it is the first. Nothing is inverted: networks trained on MNIST or the bundled
    digits read white on black.

    resize, for a picture of another size: "exact" refuses it; "stretch" scales rows and columns to H and W;
    "crop" scales it by one factor until it covers H x W and cuts out the centre. Scaling is bilinear, where
    it shrinks over a target pixel's whole area; a picture of the right size keeps every value.

    Raises FileNotFoundError; FormatError for a file that is no picture, damaged, huge, or of values whose white nobody
    knows (float, signed, 32 bits); ValueError for a size that "exact" refuses. Any number of threads may read.
    """
    path = Path(path)
    channels, height, width = input_shape
    if channels not in _MODES or resize not in RESIZE_RULES:
        raise ValueError(f"{channels} channels, resized by {resize!r}: wanted 1 or 3 and a known rule")
    if not path.exists():
        raise FileNotFoundError(f"there is no picture {path}")
    if not path.is_file():
        raise FormatError(f"{path} is a {'folder' if path.is_dir() else 'pipe or a device'}, wanted a picture's file")
    if path.stat().st_size == 0:
        raise FormatError(f"{path} is empty, wanted a picture")
    image = _decode(path, _MODES[channels])
    if image.size != (width, height):
        if resize == "exact":
            raise ValueError(f"{path} is {image.height}x{image.width}, wanted exactly {height}x{width}")
        scale = Image.Resampling.BILINEAR
        if resize == "crop":
            image = ImageOps.fit(image, (width, height), scale)
        else:  # columns first, but where a high, narrow picture would grow beyond all bounds by it
            if width * image.height > MAX_PIXELS:
                image = image.resize((image.width, height), scale)
            image = image.resize((width, height), scale)
    return np.array(image).reshape(height, width, channels).transpose(2, 0, 1)


def _decode(path: Path, mode: str) -> Image.Image:
    """The picture in `mode`, "L" or "RGB", turned as the camera was held.

    Warnings are left to the process's filters: `warnings.catch_warnings` changes those of all threads, so no decision
    here hangs on them. Pillow's images are 1 (L, P), 2 (I;16) or 4 bytes a pixel (all others, RGB too); the one that
    was decoded and the converted one are all that is held at a time.
    """
    try:
        with Image.open(path) as image:
            _refuse(image)
            raw = str(image.tile[0][3]) if image.tile else ""  # of PNG the bits a value: "L;4", "RGB;16B"
            image.load()
            _refuse(image)  # again: a container, as ICO is, knows what is in it when it is decoded
            turn = _TURNS.get(_orientation(image))
            flat = _convert(image, mode, raw)
        del image
        return flat if turn is None else flat.transpose(turn)
    except UnidentifiedImageError:
        raise FormatError(f"{path} is no picture of a known format") from None
    except Exception as error:  # every decoder of Pillow has its own for a damaged file
        line = " ".join(str(error).split()) or type(error).__name__
        raise FormatError(f"{path} is a picture that cannot be read: {line[:160]}") from None


def _refuse(image: ImageFile.ImageFile) -> None:
    """FormatError for what is not decoded: programs, bombs, and values of which nobody says how bright white is."""
    if image.format == "EPS":  # Pillow would start Ghostscript, and a program is what EPS is
        raise FormatError("EPS is a program, not a picture")
    limit = _most_pixels(image)
    if image.width * image.height > limit:
        size = f"{image.height}x{image.width}"
        raise FormatError(f"{size} are more than {limit:,} pixels, it could be a decompression bomb")
    samples = "unsigned"
    if image.mode == "F":
        samples = "float"
    elif image.mode == "I" and image.format not in ("PNG", "PPM"):  # Pillow scales those of PPM to 16 bits
        samples = "32-bit or signed"
    elif image.mode.startswith("I;16") and image.format == "FITS":
        samples = "signed"
    elif image.format == "TIFF" and not {1}.issuperset(_tags(image, _SAMPLE_FORMAT)):
        samples = "signed, float or complex"
    if samples != "unsigned":
        raise FormatError(f"its values are {samples}, which says not how bright white is; wanted 8 or 16 bits unsigned")


def _most_pixels(image: ImageFile.ImageFile) -> int:
    """How many are decoded of a picture of this kind, so that all need the memory of the largest or less."""
    most = MAX_PIXELS if Image.MAX_IMAGE_PIXELS is None else min(MAX_PIXELS, Image.MAX_IMAGE_PIXELS)
    kinds = [str(image.format), f"{image.format} {image.mode}", *(str(tile[0]) for tile in image.tile[:1])]
    need = max(_BYTES.get(kind, _MOST_BYTES) for kind in kinds)
    if image.format == "TIFF":  # the whole picture may be one strip
        need = max(need, sum(_tags(image, _BITS)) // 8 + 5)
    return most * _MOST_BYTES // need


def _tags(image: Image.Image, tag: int) -> tuple[int, ...]:
    """The values of a tag of a TIFF, none where it is absent."""
    values = image.tag_v2.get(tag, ())  # type: ignore[attr-defined]
    return tuple(values) if isinstance(values, tuple) else (values,)


def _orientation(image: Image.Image) -> Any:
    """What EXIF or XMP say of how the camera was held; None where they are damaged."""
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # struct.error, SyntaxError, ValueError and more, by what is damaged
        return None


def _convert(image: Image.Image, mode: str, raw: str = "") -> Image.Image:
    """`image` in `mode`, tile by tile. raw: how Pillow calls the values in the file, where it does."""
    clear = image.info.get("transparency")
    if image.mode == mode and clear is None:
        return image
    if image.format == "PNG" and clear is not None:  # in the file's bits, where the pixels have 8 already
        if raw in ("L;2", "L;4"):
            image.info["transparency"] = clear * (85 if raw == "L;2" else 17)
        elif raw == "RGB;16B":
            image.info["transparency"] = tuple(value >> 8 for value in clear)
    white, negative = 65535, False
    if image.format == "TIFF" and image.mode.startswith("I;16"):
        white = 2 ** (_tags(image, _BITS) or (16,))[0] - 1  # 12 bits stay 12
        negative = _tags(image, _PHOTOMETRIC) == (0,)  # Pillow inverts only up to 8 bits
    flat = Image.new(mode, image.size)
    columns = min(image.width, _TILE)
    rows = max(1, _TILE // columns)
    for top in range(0, image.height, rows):
        for left in range(0, image.width, columns):
            right, bottom = min(left + columns, image.width), min(top + rows, image.height)
            part = image.crop((left, top, right, bottom))
            part = _from_16_bits(part, white, negative) if part.mode.startswith("I") else _on_white(part)
            flat.paste(part.convert(mode), (left, top))
    return flat


def _from_16_bits(image: Image.Image, white: int, negative: bool) -> Image.Image:
    """The nearest of 8 bits; a transparent colour is white."""
    wide = np.asarray(image).astype(np.uint32)
    grey = ((wide * 255 + white // 2) // white).astype(np.uint8)
    if negative:
        grey = 255 - grey
    if "transparency" in image.info:
        grey[wide == image.info["transparency"]] = 255
    return Image.fromarray(grey)


def _on_white(image: Image.Image) -> Image.Image:
    if "transparency" not in image.info and image.getbands()[-1] not in "Aa":
        return image
    image = image.convert("LA" if image.mode == "La" else image.mode).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
