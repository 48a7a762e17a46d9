"""Pictures: every mode, size and kind of damage."""

import io

import numpy as np
import pytest
from made_pictures import saved
from PIL import Image

from elq_ref.datasets import bundled, digits
from elq_ref.errors import FormatError
from elq_ref.pictures import read_picture


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
