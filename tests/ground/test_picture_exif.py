"""Pictures with junk beside them, and turned ones."""

import warnings

import numpy as np
import pytest
from made_pictures import png, saved
from PIL import Image

from elq_ref.pictures import read_picture

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
