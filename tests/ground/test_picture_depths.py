"""Pictures with values of more than 8 bits, or of no known white."""

import struct

import numpy as np
import pytest
from made_pictures import png, saved
from PIL import Image

from elq_ref.errors import FormatError
from elq_ref.pictures import read_picture


def tiff(path, values, bits, photometric=1, sample=1, order="<"):
    """An uncompressed grey TIFF of `values`, bytes of one row, with `bits` a value."""
    data, width = values
    tags = [(256, 4, width), (257, 4, 1), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 0)]
    tags += [(277, 3, 1), (278, 4, 1), (279, 4, len(data)), (339, 3, sample)]
    start = 8 + 2 + 12 * len(tags) + 4
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    for tag, kind, value in tags:
        value = start if tag == 273 else value
        head += struct.pack(f"{order}HHI", tag, kind, 1)
        head += struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
    path.write_bytes(head + bytes(4) + data)
    return path


@pytest.mark.parametrize(
    ("values", "bits", "sample"),
    [
        (np.array([0.0, 0.5, 1.0], "<f4"), 32, 3),
        (np.array([0, 128, 255], "<f4"), 32, 3),
        (np.array([0, 128, 255], "<i4"), 32, 2),
        (np.array([0, 2**31, 2**32 - 1], "<u4"), 32, 1),
        (np.array([-32768, 0, 32767], "<i2"), 16, 2),
        (np.array([-128, 0, 127], "i1"), 8, 2),
    ],
)
def test_tiffs_of_no_known_white_are_refused(tmp_path, values, bits, sample):
    path = tiff(tmp_path / "a.tif", (values.tobytes(), 3), bits, sample=sample)
    with pytest.raises(FormatError, match=r"a\.tif .*its values are .*wanted 8 or 16 bits unsigned") as caught:
        read_picture(path, (1, 1, 3))
    assert "\n" not in str(caught.value)


def fits(path, bits, data):
    cards = ["SIMPLE  = T", f"BITPIX  = {bits}", "NAXIS   = 2", "NAXIS1  = 2", "NAXIS2  = 1", "END"]
    path.write_bytes("".join(card.ljust(80) for card in cards).ljust(2880).encode() + data.ljust(2880, b"\0"))
    return path


def test_other_formats_of_no_known_white_are_refused(tmp_path):
    wide = Image.fromarray(np.array([[0.0, 1.0]], np.float32))
    whole = Image.fromarray(np.array([[0, 255]], np.int32))
    paths = [saved(tmp_path, wide, "a.pfm"), saved(tmp_path, wide, "b.im"), saved(tmp_path, whole, "c.im")]
    paths += [fits(tmp_path / "d.fits", 16, b"\x80\0\0\1"), fits(tmp_path / "e.fits", -32, bytes(8))]
    for path in paths:
        with pytest.raises(FormatError, match="says not how bright white is"):
            read_picture(path, (1, 1, 2))


def test_sixteen_and_twelve_bits_of_tiff(tmp_path):
    for order in "<>":
        wide = np.array([0, 129, 32768, 65535], f"{order}u2")
        path = tiff(tmp_path / "a.tif", (wide.tobytes(), 4), 16, order=order)
        assert read_picture(path, (1, 1, 4))[0, 0].tolist() == [0, 1, 128, 255]
    negative = tiff(tmp_path / "b.tif", (np.array([0, 129, 32768, 65535], "<u2").tobytes(), 4), 16, photometric=0)
    assert read_picture(negative, (1, 1, 4))[0, 0].tolist() == [255, 254, 127, 0]  # 0 is white
    eight = tiff(tmp_path / "c.tif", (bytes([0, 1, 128, 255]), 4), 8, photometric=0)
    assert read_picture(eight, (1, 1, 4))[0, 0].tolist() == [255, 254, 127, 0]  # as Pillow does it
    twelve = tiff(tmp_path / "d.tif", (bytes.fromhex("000fff800800"), 4), 12)  # 0, 4095, 2048, 2048
    assert read_picture(twelve, (1, 1, 4))[0, 0].tolist() == [0, 255, 128, 128]  # 127.53


def test_sixteen_bits_of_pgm_by_its_largest_value(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 3 1 1000\n" + np.array([0, 500, 1000], ">u2").tobytes())
    assert read_picture(path, (1, 1, 3))[0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("bits", "row", "clear", "wanted"),
    [
        (16, np.array([0, 1, 257, 65535], ">u2").tobytes(), 0, [255, 0, 1, 255]),
        (16, np.array([0, 1, 257, 300], ">u2").tobytes(), 257, [0, 0, 255, 1]),
        (8, bytes([0, 1, 2, 3]), 2, [0, 1, 255, 3]),
        (4, bytes([0x01, 0x2F]), 2, [0, 17, 255, 255]),
        (2, bytes([0b00011011]), 1, [0, 255, 170, 255]),
        (1, bytes([0b01010000]), 0, [255, 255, 255, 255]),
    ],
)
def test_a_transparent_grey_is_white_whatever_its_bits(tmp_path, bits, row, clear, wanted):
    path = png(tmp_path / "a.png", bits, 0, [row], 4, (b"tRNS", struct.pack(">H", clear)))
    assert read_picture(path, (1, 1, 4))[0, 0].tolist() == wanted
    assert read_picture(path, (3, 1, 4))[:, 0].tolist() == [wanted] * 3


def test_a_transparent_colour_of_16_bits_counts_by_its_upper_8(tmp_path):
    row = np.array([[0x0102, 0x0304, 0x0506], [0x0202, 0x0304, 0x0506], [0x0203, 0, 0]], ">u2").tobytes()
    path = png(tmp_path / "a.png", 16, 2, [row], 3, (b"tRNS", struct.pack(">3H", 0x0102, 0x0304, 0x0506)))
    assert read_picture(path, (3, 1, 3))[:, 0].T.tolist() == [[255, 255, 255], [2, 3, 5], [2, 0, 0]]
