"""RandomResizedCrop and the resize rules: torchvision's, and by counting."""

import math

import numpy as np
import pytest
from photographs import photographs, smooth
from PIL import Image
from torchvision_module import torchvision

from elq_ref.datasets import Batches, Cache, RandomResizedCrop, Reading, folder
from elq_ref.datasets.augment import TRIES, Draws
from elq_ref.pictures import read_picture, resized

SIZES = [(40, 60), (60, 40), (7, 7), (10, 200), (200, 10), (1, 1), (33, 32), (3, 100)]


@pytest.mark.parametrize("crop", [RandomResizedCrop((0.08, 1.0)), RandomResizedCrop((0.95, 1.0), (0.5, 2.0))])
def test_boxes_are_torchvisions_for_the_same_random_numbers(crop, monkeypatch):
    """torchvision draws from a generator: here from Draws. Its float32 may round one the other way."""
    transforms = torchvision().transforms
    torch = pytest.importorskip("torch")
    draws, same, fell_back = Draws.of(3, 2, np.arange(400)), 0, 0
    for k in range(400):
        height, width = SIZES[k % len(SIZES)]
        numbers = iter(np.stack([draws.area[k], draws.aspect[k]], 1).ravel().tolist())
        places = iter([int(draws.row[k]), int(draws.column[k])])

        class Empty:
            def uniform_(self, low, high, numbers=numbers):
                return torch.tensor(float(low) + (float(high) - float(low)) * next(numbers), dtype=torch.float64)

        with monkeypatch.context() as patch:
            patch.setattr(torch, "empty", lambda *_, made=Empty: made())
            patch.setattr(torch, "randint", lambda low, high, size, p=places: torch.tensor(next(p) * high >> 32))
            wanted = transforms.RandomResizedCrop.get_params(
                Image.new("L", (width, height)), list(crop.scale), list(crop.ratio)
            )
        same += crop.box(height, width, draws, k) == wanted
        fell_back += next(numbers, None) is None
    assert same >= 398
    assert fell_back > 40  # the central crop of what is too long is among them


def test_area_ratio_and_place_have_their_distributions():
    """Of a large picture: areas uniform, ratios log-uniform, both ends of the places reached."""
    count = 20000
    crop, draws = RandomResizedCrop((0.2, 0.5), (0.5, 2.0)), Draws.of(0, 0, np.arange(count))
    boxes = np.array([crop.box(3000, 3000, draws, k) for k in range(count)])
    area, ratio = boxes[:, 2] * boxes[:, 3] / 9e6, np.log(boxes[:, 3] / boxes[:, 2])
    for seen, low, high in ((area, 0.2, 0.5), (ratio, -math.log(2), math.log(2))):
        mean, sd = (low + high) / 2, (high - low) / 12**0.5
        assert abs(seen.mean() - mean) < 5 * sd / count**0.5
        assert abs(seen.std() - sd) < 0.02 * sd
        assert low - 0.001 < seen.min() < seen.max() < high + 0.001
    top = boxes[:, 0] / (3000 - boxes[:, 2])
    assert abs(top.mean() - 0.5) < 5 / (12 * count) ** 0.5
    assert abs(np.corrcoef(top, boxes[:, 1] / (3000 - boxes[:, 3]))[0, 1]) < 5 / count**0.5
    tries = np.concatenate([draws.area.ravel(), draws.aspect.ravel()])
    assert len(np.unique(tries)) == 2 * TRIES * count  # no number serves twice


@pytest.mark.parametrize("size", [(24, 24), (16, 40)])
def test_a_cut_and_scaled_picture_is_torchvisions_to_the_bit(size):
    functional = torchvision().transforms.functional
    from torchvision.transforms import InterpolationMode

    pixels = smooth(1, 57, 83)
    for top, left, rows, columns in ((0, 0, 57, 83), (3, 5, 24, 24), (10, 20, 9, 60), (56, 82, 1, 1)):
        for bicubic, mode in ((False, InterpolationMode.BILINEAR), (True, InterpolationMode.BICUBIC)):
            wanted = functional.resized_crop(Image.fromarray(pixels), top, left, rows, columns, list(size), mode)
            found = resized(pixels[top : top + rows, left : left + columns], *size, bicubic)
            np.testing.assert_array_equal(found, np.asarray(wanted).transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(57, 83), (83, 57), (24, 24), (32, 20), (300, 41), (20, 20), (28, 29)])
@pytest.mark.parametrize(("rule", "bicubic"), [("crop 28", False), ("crop 28 bicubic", True), ("crop 24", False)])
def test_resize_and_centre_crop_is_torchvisions_to_the_bit(tmp_path, shape, rule, bicubic):
    transforms = torchvision().transforms
    from torchvision.transforms import InterpolationMode

    image = Image.fromarray(smooth(2, *shape))
    image.save(tmp_path / "a.png")
    mode = InterpolationMode.BICUBIC if bicubic else InterpolationMode.BILINEAR
    steps = transforms.Compose([transforms.Resize(int(rule.split()[1]), mode), transforms.CenterCrop((24, 22))])
    found = read_picture(tmp_path / "a.png", (3, 24, 22), rule)
    np.testing.assert_array_equal(found, np.asarray(steps(image)).transpose(2, 0, 1))


@pytest.mark.parametrize("flip", [True, False])
def test_every_batch_is_what_the_definition_cuts_out(flip, tmp_path):
    """Batches from files, against the boxes, Pillow, and mirroring by the bit that arrays are mirrored by."""
    train, _ = folder(photographs(tmp_path), (3, 24, 20))
    augment = RandomResizedCrop((0.1, 0.6), (0.5, 1.5), flip)
    mean, std = train.normalization.mean, train.normalization.std
    mirrored = 0
    for epoch in range(3):
        for index, (x, labels) in enumerate(Batches(train, 5, augment=augment, seed=9).epoch(epoch)):
            samples = Batches(train, 5, seed=9).order(epoch)[5 * index :][:5]
            draws = Draws.of(9, epoch, samples)
            np.testing.assert_array_equal(labels, train.labels[samples])
            for k, sample in enumerate(samples.tolist()):
                image = Image.open(train.images.path(sample))
                top, left, rows, columns = augment.box(image.height, image.width, draws, k)
                cut = image.crop((left, top, left + columns, top + rows)).resize((20, 24), Image.Resampling.BILINEAR)
                wanted = np.asarray(cut).transpose(2, 0, 1)
                found = np.rint((x[k] * np.array(std)[:, None, None] + np.array(mean)[:, None, None]) * 255)
                turned = not np.array_equal(found, wanted)
                mirrored += turned
                np.testing.assert_array_equal(found, wanted[:, :, ::-1] if turned else wanted)
    assert 6 <= mirrored <= 30 if flip else mirrored == 0  # of 36


def test_large_originals_are_shrunk_by_whole_factors(tmp_path):
    """To no less than twice the larger side of the input; what lies below four times it keeps every value."""
    (tmp_path / "train" / "a").mkdir(parents=True)
    sizes = {"a.png": (95, 200), "b.png": (96, 200), "c.jpg": (96, 99), "d.jpg": (800, 992), "e.png": (145, 300)}
    sizes |= {"f.jpg": (336, 400), "g.png": (336, 400)}  # 7: of which a JPEG's decoder does 4
    for name, size in sizes.items():
        Image.fromarray(smooth(3, *size)).save(tmp_path / "train" / "a" / name, quality=95)
    train, _ = folder(tmp_path, (3, 24, 20), held_out=1, reading=Reading(cache=Cache(0)))
    _, held = folder(tmp_path, (3, 24, 20), held_out=1)
    by_name = {}
    for part in (train, held):
        by_name |= {name.split("/")[1]: part.images.original(k) for k, name in enumerate(part.images.names)}
    shapes = {name: pixels.shape[:2] for name, pixels in by_name.items()}
    assert shapes == {
        "a.png": (95, 200),
        "b.png": (48, 100),
        "c.jpg": (48, 50),
        "d.jpg": (50, 62),
        "e.png": (49, 100),
    } | {"f.jpg": (84, 100), "g.png": (48, 58)}
    np.testing.assert_array_equal(by_name["a.png"], smooth(3, 95, 200))
    blocks = smooth(3, 96, 200).reshape(48, 2, 100, 2, 3).mean((1, 3))
    assert np.abs(by_name["b.png"] - blocks).max() <= 0.5
    blocks = smooth(3, 800, 992).reshape(50, 16, 62, 16, 3).mean((1, 3))
    assert np.abs(by_name["d.jpg"] - blocks).mean() < 2  # a JPEG


@pytest.mark.parametrize("options", [{"scale": (0.0, 1.0)}, {"scale": (0.5, 1.1)}, {"ratio": (2.0, 1.0)}])
def test_refusals(options):
    with pytest.raises(ValueError, match="wanted two ascending"):
        RandomResizedCrop(**options)
