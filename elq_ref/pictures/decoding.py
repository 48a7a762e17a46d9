"""One picture from a file, whatever its type, mode and orientation: grey or red, green, blue, upright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from ..errors import FormatError

MAX_PIXELS = 89_478_485  # of a picture, Pillow's own limit; read in 12 bytes each at most
MODES = {1: "L", 3: "RGB"}
_MOST_BYTES = 12
_BYTES = {  # a pixel, of formats, modes and decoders that need more, measured and rounded up: fewer pixels are allowed
    **{"AVIF": 24, "DDS": 20, "JPEG2000": 28, "WEBP": 20},
    **{"JPEG CMYK": 14, "ppm": 14, "ppm_plain": 16},
}
_ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"\0\0\0\0IEND\xaeB`\x82"}
_GREY = 6  # of 255: the mean difference of channels up to which a picture counts as grey
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


def decode(path: Path, channels: int, least: int | None = None) -> Image.Image:
    """The picture in mode "L" (1 channel) or "RGB" (3), turned as the camera was held; elq_ref.pictures.read_picture
    says by which rules, and what it raises.

    least: shrink it by a whole factor that leaves both sides at least `least`: a JPEG by the largest of 2, 4 and 8 in
    its decoder, which is quick; then by the largest, by means over squares.

    Warnings are left to the process's filters: `warnings.catch_warnings` changes those of all threads, so no decision
    here hangs on them. Pillow's images are 1 (L, P), 2 (I;16) or 4 bytes a pixel (all others, RGB too); the one that
    was decoded and the converted one are all that is held at a time.
    """
    if channels not in MODES:
        raise ValueError(f"a picture of {channels} channels, wanted 1 or 3")
    _check_file(path)
    with _named(path):
        with Image.open(path) as image:
            _refuse(image)
            if least is not None and image.format == "JPEG":
                image.draft(None, (least, least))
            raw = str(image.tile[0][3]) if image.tile else ""  # of PNG the bits a value: "L;4", "RGB;16B"
            image.load()
            _refuse(image)  # again: a container, as ICO is, knows what is in it when it is decoded
            turn = _TURNS.get(_orientation(image))
            flat = _convert(image, MODES[channels], raw)
        del image
        if least is not None and (factor := min(flat.size) // least) > 1:
            flat = flat.reduce(factor)
        return flat if turn is None else flat.transpose(turn)


def read_pixels(path: str | os.PathLike[str], channels: int, least: int | None = None) -> np.ndarray:
    """`decode` as uint8 (H, W, C)."""
    image = decode(Path(path), channels, least)
    return np.array(image).reshape(image.height, image.width, channels)


def check_picture(path: str | os.PathLike[str]) -> None:
    """Raise what `read_picture` would for a broken picture, having looked at its header alone where that tells.

    A JPEG or a PNG that ends as it must is believed; all others are decoded.
    """
    path = Path(path)
    _check_file(path)
    with _named(path), open(path, "rb") as file:
        with Image.open(file) as image:
            _refuse(image)
            kind = image.format
        if _ends(file, str(kind)):
            return
    decode(path, 3)


def is_coloured(path: str | os.PathLike[str]) -> bool:
    """Whether the picture's channels differ, by more than the noise of a grey JPEG stored in colour."""
    pixels = read_pixels(path, 3, 64).astype(np.int16)
    return bool((pixels.max(2) - pixels.min(2)).mean() > _GREY)


def _ends(file: IO[bytes], kind: str) -> bool:
    """Whether the last bytes are those with which a file of this kind ends."""
    mark = _ENDS.get(kind)
    if mark is None:
        return False
    file.seek(-len(mark), os.SEEK_END)
    return file.read() == mark


def _check_file(path: Path) -> None:
    """Raise FileNotFoundError or FormatError for what cannot hold a picture."""
    if not path.exists():
        raise FileNotFoundError(f"there is no picture {path}")
    if not path.is_file():
        raise FormatError(f"{path} is a {'folder' if path.is_dir() else 'pipe or a device'}, wanted a picture's file")
    if path.stat().st_size == 0:
        raise FormatError(f"{path} is empty, wanted a picture")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Inside, what Pillow raises becomes a FormatError that names the file."""
    try:
        yield
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
