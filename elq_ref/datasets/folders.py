"""Image folders: one sub-folder of pictures for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..preprocessing import Normalization
from .base import Dataset, check_fit
from .sources import Split, is_unknown_folder, load


def image_folder(
    path: str | os.PathLike[str],
    input_shape: tuple[int, int, int],
    resize: str = "stretch",
    *,
    classes: Sequence[str] | None = None,
    normalization: Normalization | None = None,
) -> Dataset:
    """All pictures below `path`, where path/NAME/... holds those of class NAME, as `input_shape` (C, H, W) wants them.

    resize: "exact", "stretch" or "crop", as elq_ref.pictures.read_picture explains. classes: the order of the labels,
    by default the names of the sub-folders in order. normalization: by default (v / 255 - 0.5) / 0.5. All pictures are
    held at once, C * H * W bytes each; `elq run` holds one batch.
    Raises what elq_ref.pictures.find_pictures raises, ValueError for a folder without sub-folders, FormatError or
    OSError that names a picture which cannot be read.
    """
    from ..pictures import (
        class_folders,
        find_pictures,
        read_picture,
    )  # here, so that the other data sets do not need Pillow

    path = Path(path)
    names = class_folders(path)
    classes = tuple(names if classes is None else classes)
    found = find_pictures(path, classes)
    if not names:
        raise ValueError(f"{path} has no sub-folders, wanted one for each class: {', '.join(classes[:10])}")
    images = np.empty((len(found), *input_shape), np.uint8)
    for k, (file, _) in enumerate(found):
        images[k] = read_picture(file, input_shape, resize)
    labels = np.array([label for _, label in found], np.int64)
    channels = input_shape[0]
    normalization = normalization or Normalization((0.5,) * channels, (0.5,) * channels)
    return Dataset(images, labels, classes, normalization, path.name)


def load_for(
    data: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None,
    split: Split,
    input_shape: tuple[int, int, int],
    classes: Sequence[str],
    resize: str = "stretch",
) -> Dataset:
    """`split` ("train" or "test") of the data set `data` for a network that reads `input_shape` and knows `classes`.

    As `load`, and any other folder is an image folder, or has one named like the split. Raises what those raise, and
    ValueError where pictures or number of classes are not the network's.
    """
    if is_unknown_folder(data):
        part = Path(data, split)
        dataset = image_folder(part if part.is_dir() else data, input_shape, resize, classes=classes)
    else:
        dataset = load(data, data_dir, split)
    check_fit(dataset, input_shape, classes)
    return dataset
