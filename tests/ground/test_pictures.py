"""Pictures: every mode, size and kind of damage."""

import io
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from children import run_python
from PIL import Image

from elq_ref.datasets import bundled, digits
from elq_ref.errors import FormatError
from elq_ref.pictures import read_picture


@pytest.fixture
def colours():
    """uint8 (4, 5, 3)."""
    return np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)


def saved(tmp_path, image, name="a.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_rgb_is_kept_exactly(tmp_path, colours):
    picture = read_picture(saved(tmp_path, Image.fromarray(colours)), (3, 4, 5))
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, colours.transpose(2, 0, 1))


def test_grey_to_colour_and_back(tmp_path, colours):
    grey = colours[..., 0]
    path = saved(tmp_path, Image.fromarray(grey))
    np.testing.assert_array_equal(read_picture(path, (1, 4, 5))[0], grey)
    np.testing.assert_array_equal(read_picture(path, (3, 4, 5)), np.stack([grey] * 3))
    luma = colours @ np.array([0.299, 0.587, 0.114])
    found = read_picture(saved(tmp_path, Image.fromarray(colours)), (1, 4, 5))[0]
    assert np.abs(found - luma).max() <= 1  # Pillow computes it in 16-bit fixed point


def test_palette(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    picture = read_picture(saved(tmp_path, image), (3, 1, 2))
    assert picture[:, 0].T.tolist() == [[200, 100, 50], [10, 20, 30]]


def test_palette_with_transparency(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    picture = read_picture(saved(tmp_path, image, transparency=1), (3, 1, 2))
    assert picture[:, 0].T.tolist() == [[255, 255, 255], [10, 20, 30]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited_on_white(tmp_path, mode):
    values = [(40, 40, 40, 0), (40, 40, 40, 255), (40, 40, 40, 102)]
    image = Image.new(mode, (3, 1))
    image.putdata([v if mode == "RGBA" else v[2:] for v in values])
    picture = read_picture(saved(tmp_path, image), (1, 1, 3))
    # 102 / 255 = 0.4 of 40 and 0.6 of 255
    assert picture[0, 0].tolist() == [255, 40, 169]


def test_premultiplied_alpha():
    from elq_ref.pictures.decoding import _convert

    image = Image.new("La", (1, 1))
    image.putpixel((0, 0), (16, 102))  # 40 * 0.4
    assert abs(np.asarray(_convert(image, "L")).item() - 169) <= 1


def test_sixteen_bits(tmp_path):
    wide = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    picture = read_picture(saved(tmp_path, Image.fromarray(wide)), (1, 1, 6))
    assert picture[0, 0].tolist() == [round(v / 257) for v in wide[0].tolist()]


def test_one_bit(tmp_path):
    image = Image.fromarray(np.array([[True, False, True]]))
    assert image.mode == "1"
    assert read_picture(saved(tmp_path, image), (1, 1, 3))[0, 0].tolist() == [255, 0, 255]


def test_cmyk(tmp_path):
    image = Image.new("CMYK", (2, 1))
    image.putdata([(0, 0, 0, 0), (0, 255, 255, 0)])
    picture = read_picture(saved(tmp_path, image, "a.tiff"), (3, 1, 2))
    assert picture[:, 0].T.tolist() == [[255, 255, 255], [255, 0, 0]]


def test_turned_as_the_camera_was_held(tmp_path, colours):
    exif = Image.Exif()
    exif[0x0112] = 6  # the stored picture must be turned by 90 degrees clockwise
    path = saved(tmp_path, Image.fromarray(colours), exif=exif)
    turned = np.rot90(colours, -1)
    np.testing.assert_array_equal(read_picture(path, (3, 5, 4), "exact"), turned.transpose(2, 0, 1))


def test_stretch_shrinks_by_area_and_crop_keeps_the_ratio(tmp_path):
    halves = np.zeros((4, 8), np.uint8)
    halves[:, 4:] = 200
    path = saved(tmp_path, Image.fromarray(halves))
    stretched = read_picture(path, (1, 4, 4), "stretch")[0]
    assert (np.diff(stretched.astype(int), axis=1) >= 0).all()
    assert stretched.astype(int).sum() == halves.astype(int).sum() // 2  # symmetric, so the mean stays
    # the centre of 4x8 is columns 2 to 5, scaled by 1
    np.testing.assert_array_equal(read_picture(path, (1, 4, 4), "crop")[0], halves[:, 2:6])


def test_exact_refuses_another_size(tmp_path):
    path = saved(tmp_path, Image.new("L", (8, 4)))
    assert read_picture(path, (1, 4, 8), "exact").shape == (1, 4, 8)
    with pytest.raises(ValueError, match=r"4x8, wanted exactly 8x8"):
        read_picture(path, (1, 8, 8), "exact")


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", "is empty"), (b"just a text\n", "no picture of a known format")],
)
def test_what_is_no_picture(tmp_path, content, text):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=text) as caught:
        read_picture(path, (1, 8, 8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "tiff", "webp"])
def test_cut_off_anywhere(tmp_path, kind):
    """A cut picture is an error, never another exception; a cut that loses no pixel may pass."""
    values = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    stream = io.BytesIO()
    try:
        Image.fromarray(values).save(stream, kind)
    except (OSError, KeyError):
        pytest.skip(f"this Pillow writes no {kind}")
    content = stream.getvalue()
    path = tmp_path / f"a.{kind}"
    for length in np.linspace(1, len(content) * 3 // 4, 40).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(FormatError) as caught:
            read_picture(path, (3, 16, 16))
        assert "\n" not in str(caught.value)


def test_bomb(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.new("L", (40, 40)))
    for limit in (1000, 100):  # Pillow warns above the limit and refuses above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(FormatError, match="decompression bomb"):
            read_picture(path, (1, 8, 8))


def test_eps_is_not_run(tmp_path):
    path = saved(tmp_path, Image.new("L", (4, 4)), "a.eps")
    with pytest.raises(FormatError, match="EPS is a program"):
        read_picture(path, (1, 4, 4))


def test_missing_picture_and_wrong_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no picture"):
        read_picture(tmp_path / "none.png", (1, 8, 8))
    with pytest.raises(ValueError, match="wanted 1 or 3"):
        read_picture(tmp_path / "none.png", (2, 8, 8))


@pytest.mark.parametrize("digit", [0, 3, 5, 7])
def test_shipped_pictures_are_test_digits(digit):
    _, test = digits()
    first = test.images[test.labels == digit][0]
    np.testing.assert_array_equal(read_picture(bundled(f"digit-{digit}.png"), (1, 8, 8), "exact"), first)


# Values of more than 8 bits, or of no known white


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


def png(path, bits, kind, rows, width, *chunks):
    """A PNG from its parts; kind 0 is grey, 2 is colour."""
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    for name, body in ((b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    path.write_bytes(content)
    return path


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


# Pictures with junk beside them


JUNK = [b"junk", b"II*\0", b"MM\0*\0\0\0\x08\0\x01", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff", b"\0" * 40]


@pytest.mark.parametrize("junk", [*JUNK, *(b"Exif\0\0" + j for j in JUNK)])
@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_junk_instead_of_exif_leaves_the_picture_as_it_is(tmp_path, colours, junk, kind):
    options = {"lossless": True} if kind == "webp" else {}
    plain = saved(tmp_path, Image.fromarray(colours), f"plain.{kind}", **options)
    if kind == "png":
        path = png(tmp_path / "a.png", 8, 2, [row.tobytes() for row in colours], 5, (b"eXIf", junk))
    else:
        path = saved(tmp_path, Image.fromarray(colours), f"a.{kind}", exif=junk, **options)
    with warnings.catch_warnings():
        if kind != "jpeg":  # which Pillow looks into when it opens the file
            warnings.simplefilter("error")
        found = read_picture(path, (3, 4, 5), "exact")
    np.testing.assert_array_equal(found, read_picture(plain, (3, 4, 5), "exact"))


def test_junk_in_a_text_that_should_be_exif(tmp_path):
    chunk = (b"tEXt", b"Raw profile type exif\0\nexif\n   12\nno hex digits\n")
    path = png(tmp_path / "a.png", 8, 0, [bytes([1, 2, 3])], 3, chunk)
    assert read_picture(path, (1, 1, 3))[0, 0].tolist() == [1, 2, 3]


def test_every_orientation_of_every_format(tmp_path, colours):
    """What the turns are is in the EXIF standard: where row 0 and column 0 of the stored picture are seen."""
    seen = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: a[::-1, ::-1],
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90,
    }
    exif = Image.Exif()
    for orientation, turn in seen.items():
        exif[0x0112] = orientation
        for name, options in (("a.png", {}), ("a.webp", {"lossless": True}), ("a.tif", {})):
            wanted = turn(colours).transpose(2, 0, 1)
            path = saved(tmp_path, Image.fromarray(colours), name, exif=exif, **options)
            np.testing.assert_array_equal(read_picture(path, wanted.shape, "exact"), wanted)


# Many threads


def test_threads_leave_the_filters_and_let_no_bomb_through(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    sound = saved(tmp_path, Image.new("L", (20, 20), 7), "sound.png")
    bombs = [saved(tmp_path, Image.new("L", size), f"{size}.png") for size in ((40, 40), (50, 50))]

    def read(k):
        if k % 3 == 0:
            return read_picture(sound, (1, 8, 8)).min() == 7
        try:
            read_picture(bombs[k % 3 - 1], (1, 8, 8))
        except FormatError as error:
            return "decompression bomb" in str(error)
        return False

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = list(warnings.filters)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(read, range(1200)))
        finally:
            sys.setswitchinterval(interval)
        assert all(answers)
        assert warnings.filters == before


def test_bombs_are_refused_whatever_the_filters_and_limits_of_the_process(tmp_path, monkeypatch):
    row = bytes(10_000)
    path = png(tmp_path / "a.png", 8, 0, [row] * 10_000, 10_000)
    for limit in (None, 10**9, Image.MAX_IMAGE_PIXELS):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        for action in ("ignore", "error"):
            with warnings.catch_warnings():
                warnings.simplefilter(action)
                with pytest.raises(FormatError, match="decompression bomb"):
                    read_picture(path, (1, 8, 8))


# Memory


PEAK = """
import sys
from PIL import Image
from elq_ref.pictures import read_picture

def peak():
    with open("/proc/self/status") as status:  # getrusage begins with the peak of the process that started this one
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

Image.init()
with Image.open(sys.argv[1]) as image:
    pixels = image.width * image.height
before = peak()
read_picture(sys.argv[1], (3, 32, 32))
print((peak() - before) / pixels)
"""


def upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def grey():
    return Image.linear_gradient("L").resize((2000, 2500))


def grey16():
    return Image.fromarray(np.asarray(grey()).astype(np.uint16) * 257)


def colour(mode):
    return Image.merge("RGBA", [grey()] * 4).convert(mode)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="this system does not say the peak of a process")
@pytest.mark.parametrize(
    ("name", "make", "options"),
    [
        ("grey16.png", grey16, {}),
        ("grey16-clear.png", grey16, {"transparency": 257}),
        ("grey16.tif", grey16, {"compression": "tiff_adobe_deflate"}),
        ("grey16.pgm", grey16, {}),
        ("clear.png", grey, {"transparency": 1}),
        ("rgba.png", lambda: colour("RGBA"), {"exif": upright(), "compress_level": 1}),
        ("rgba.tif", lambda: colour("RGBA"), {"compression": "tiff_lzw", "strip_size": 2**31 - 1}),
        ("palette.gif", lambda: grey().quantize(8), {"transparency": 1}),
        ("rgb.jpg", lambda: colour("RGB"), {"progressive": True, "subsampling": 0, "exif": upright()}),
    ],
)
def test_twelve_bytes_a_pixel_are_enough(tmp_path, name, make, options):
    done = run_python(PEAK, str(saved(tmp_path, make(), name, **options)))
    assert done.returncode == 0, done.stderr
    assert 1 <= float(done.stdout) <= 12


def test_formats_that_take_more_memory_are_read_up_to_fewer_pixels(tmp_path, monkeypatch):
    image = Image.new("RGB", (30, 30))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_picture(saved(tmp_path, image, "a.png"), (3, 30, 30)).shape == (3, 30, 30)
    with pytest.raises(FormatError, match=r"30x30 are more than 600 pixels"):
        read_picture(saved(tmp_path, image, "a.webp"), (3, 30, 30))
    assert read_picture(saved(tmp_path, image.resize((24, 25)), "a.webp"), (3, 25, 24)).shape == (3, 25, 24)


def test_a_high_narrow_picture_does_not_grow_when_it_is_stretched(tmp_path):
    """Columns first, 4 million rows of 1000 would be 16 GB."""
    path = png(tmp_path / "a.png", 8, 0, [b"\x07"] * 4_000_000, 1)
    code = f"""
import resource
from elq_ref.pictures import read_picture
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
assert (read_picture({str(path)!r}, (1, 4, 1000)) == 7).all()
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_tiles_change_no_pixel(tmp_path, monkeypatch):
    """Against Pillow's conversion of the whole picture."""
    from elq_ref import pictures

    values = np.random.default_rng(2).integers(0, 256, (11, 13, 4), dtype=np.uint8)
    image = Image.fromarray(values)
    monkeypatch.setattr(pictures.decoding, "_TILE", 7)  # narrower than a row
    on_white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    for name, source, wanted in (
        ("a.png", image, on_white),
        ("b.png", image.convert("RGB").quantize(9), image.convert("RGB").quantize(9)),
        ("c.tif", image.convert("RGB").convert("CMYK"), image.convert("RGB").convert("CMYK")),
    ):
        path = saved(tmp_path, source, name)
        for channels, mode in ((1, "L"), (3, "RGB")):
            expected = np.asarray(wanted.convert(mode)).reshape(11, 13, channels).transpose(2, 0, 1)
            np.testing.assert_array_equal(read_picture(path, (channels, 11, 13), "exact"), expected)
