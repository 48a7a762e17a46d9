"""A first pass over picture files, before training wastes time on a set with a broken one."""

from __future__ import annotations

from contextlib import closing
from functools import partial

import numpy as np

from ..errors import FormatError
from .base import Dataset
from .picture_files import PictureFiles
from .streaming import ahead

SAMPLE = 32  # pictures that say whether a set is in colour
WINDOW = 256  # files that are looked at ahead


def checked(dataset: Dataset) -> Dataset:
    """`dataset` whose files were all looked at; without those that cannot be read, if its Reading says skip_broken.

    Without skip_broken FormatError, OSError or ValueError that names the first one: a file whose header is wrong, or
    that is cut off. With it all are decoded, each broken one is told, and ValueError if nothing of a class is left.
    ValueError for pictures in colour where the network reads one channel.
    """
    images = dataset.images
    assert isinstance(images, PictureFiles)
    reading = images.reading
    tasks = (partial(_fault, images, reading.skip_broken, k) for k in range(len(images)))
    sound = np.ones(len(images), bool)
    with closing(ahead(tasks, reading.workers, WINDOW)) as found:
        for k, fault in enumerate(reading.watch(found, len(images))):
            if fault is not None:
                if not reading.skip_broken:
                    raise fault
                reading.tell(f"left out: {fault}")
                sound[k] = False
    if not sound.all():
        _check_classes(dataset, sound)
        dataset = dataset.subset(sound)
    if images.input_shape[0] == 1:
        _check_grey(dataset)
    return dataset


def _fault(images: PictureFiles, decode: bool, index: int) -> Exception | None:
    """What is wrong with a file."""
    from ..pictures import check_picture, read_picture

    try:
        if decode:
            read_picture(images.path(index), images.input_shape, images.resize)
        else:
            check_picture(images.path(index))
    except (FormatError, OSError, ValueError) as error:
        return error
    return None


def _check_classes(dataset: Dataset, sound: np.ndarray) -> None:
    """ValueError where all pictures of a class are broken."""
    for label in np.unique(dataset.labels):
        if not sound[dataset.labels == label].any():
            raise ValueError(f"{dataset.name}: no picture of {dataset.classes[label]} can be read")


def _check_grey(dataset: Dataset) -> None:
    """ValueError where most of a sample of the pictures are in colour."""
    from ..pictures import is_coloured

    images = dataset.images
    assert isinstance(images, PictureFiles)
    count = min(SAMPLE, len(images))
    paths = [images.path(k * len(images) // count) for k in range(count)]
    coloured = [path for path in paths if is_coloured(path)]
    if 2 * len(coloured) > count:
        raise ValueError(
            f"{coloured[0]} is in colour, and so are most pictures of {dataset.name}: the network reads one channel, "
            "wanted grey pictures or a network of 3 channels"
        )
