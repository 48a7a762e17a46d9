"""Bombs and memory, in many threads too."""

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from children import run_python
from made_pictures import png, saved
from PIL import Image

from elq_ref.errors import FormatError
from elq_ref.pictures import read_picture


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
