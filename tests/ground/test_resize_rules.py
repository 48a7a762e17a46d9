"""The texts that say how a picture comes to its size."""

import numpy as np
import pytest
from photographs import smooth
from PIL import Image

from elq_ref.graph import NetworkInfo
from elq_ref.pictures import read_picture
from elq_ref.pictures.decoding import read_pixels
from elq_ref.preprocessing import Normalization, ResizeRule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("exact", ResizeRule("exact")),
        ("stretch", ResizeRule("stretch")),
        ("crop", ResizeRule("crop")),
        ("crop 256", ResizeRule("crop", 256)),
        ("crop 256 bicubic", ResizeRule("crop", 256, True)),
        ("crop bicubic", ResizeRule("crop", None, True)),
        ("stretch bicubic", ResizeRule("stretch", None, True)),
    ],
)
def test_rules(text, rule):
    assert ResizeRule.parse(text) == rule


NO_RULES = ["", "Crop", "crop 0", "crop 01", "crop -1", "crop 123456", "crop  256", "crop 256 ", "crop ٣", "exact 3"]
NO_RULES += ["exact bicubic", "stretch 256", "bicubic", "crop bicubic 256", "crop 256\n", None, 3, ["crop"], "x" * 1000]


@pytest.mark.parametrize("text", NO_RULES)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="wanted exact, stretch, crop or crop N") as caught:
        ResizeRule.parse(text)
    assert len(str(caught.value)) < 200
    with pytest.raises(ValueError, match="wanted exact, stretch, crop"):
        NetworkInfo((1, 8, 8), ("a",), Normalization((0.5,), (0.5,)), resize=text)


def test_bicubic_is_pillows(tmp_path):
    image = Image.fromarray(smooth(0, 30, 40))
    image.save(tmp_path / "a.png")
    for rule, box in (("stretch bicubic", (0, 0, 40, 30)), ("crop bicubic", (5, 0, 35, 30))):
        wanted = image.resize((60, 60), Image.Resampling.BICUBIC, box=box)
        found = read_picture(tmp_path / "a.png", (3, 60, 60), rule)
        np.testing.assert_array_equal(found, np.asarray(wanted).transpose(2, 0, 1))
        assert not np.array_equal(found, read_picture(tmp_path / "a.png", (3, 60, 60), rule.split()[0]))


@pytest.mark.parametrize("size", [(1, 30000), (30000, 1), (3, 29000), (1, 1)])
def test_very_long_pictures_take_no_more_memory_than_others(tmp_path, size, monkeypatch):
    """Of a shorter side of 1 pixel scaled to 256: only the middle is scaled, and one colour stays one."""
    from elq_ref.pictures import resizing

    sizes = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda im, to, *a, **k: sizes.append(to) or resize(im, to, *a, **k))
    Image.new("L", size, 77).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png", (1, 224, 224), "crop 256") == 77).all()
    assert max(columns * rows for columns, rows in sizes) <= resizing.MAX_PIXELS


def test_a_high_narrow_picture_is_stretched_without_a_large_one_between(tmp_path, monkeypatch):
    """3 x 29000 to 4000 columns would be 116 million pixels if columns came first."""
    from elq_ref.pictures import resizing

    sizes = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda im, to, *a, **k: sizes.append(to) or resize(im, to, *a, **k))
    Image.new("L", (3, 29000), 77).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png", (1, 8, 4000), "stretch") == 77).all()
    assert sizes == [(3, 8), (4000, 8)]
    assert 3 * 8 < resizing.MAX_PIXELS < 4000 * 29000


def test_a_picture_of_the_shorter_side_is_cropped_as_it_is(tmp_path):
    image = Image.fromarray(smooth(1, 20, 30))
    image.save(tmp_path / "a.png")
    wanted = np.asarray(image)[2:18, 7:23].transpose(2, 0, 1)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", (3, 16, 16), "crop 20"), wanted)


def test_pictures_have_one_channel_or_three(tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="a picture of 2 channels, wanted 1 or 3"):
        read_pixels(tmp_path / "a.png", 2)


@pytest.mark.parametrize("side", [223, 224 * 8 + 1, 99999])
def test_sides_that_cannot_be(tmp_path, side):
    Image.new("L", (300, 300)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="cropped to 224x224: wanted 224 to 1792"):
        read_picture(tmp_path / "a.png", (1, 224, 224), f"crop {side}")


def test_info_states_the_rule_where_it_is_not_stretch():
    info = NetworkInfo((1, 8, 8), ("a",), Normalization((0.5,), (0.5,)))
    assert "resize" not in info.to_json()
    said = NetworkInfo((1, 8, 8), ("a",), Normalization((0.5,), (0.5,)), resize="crop 12").to_json()
    assert said["resize"] == "crop 12"
    assert NetworkInfo.stated(said)["resize"] == "crop 12"
    with pytest.raises(ValueError, match="wanted exact, stretch, crop"):
        NetworkInfo.stated({"resize": "fit"})
