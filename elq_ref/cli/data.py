"""--data and how its pictures are read: what the commands that need a data set share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Literal, overload

from .. import datasets
from ..checkpoint import Checkpoint
from ..datasets import Augment, Batches, Cache, Dataset, RandomResizedCrop, Reading, Wanted
from ..datasets.folders import Split
from ..datasets.sources import is_unknown_folder
from ..datasets.streaming import CACHE
from ..errors import OtherClasses
from ..graph.shapes import infer_shapes
from ..preprocessing import Normalization, ResizeRule
from ..runtime import PackedNetwork
from .output import progress, say

AUGMENT = ("crop-mirror", "crop", "mirror", "none")


def add_data(command: argparse.ArgumentParser, *, required: bool = True, when: str = "") -> None:
    """--data and --data-dir; when: begins the help of --data."""
    what = "digits, mnist, cifar10, the path of such a folder, of a .npz file, or of a folder of pictures"
    command.add_argument("--data", required=required, help=when + what)
    command.add_argument("--data-dir", help="folder of the data sets (default: the environment variable ELQ_DATA)")


def add_reading(command: argparse.ArgumentParser) -> None:
    """How picture files are read: --workers, --cache, --skip-broken."""
    command.add_argument("--workers", type=int, help="threads that read pictures (default: as many as compute)")
    words = f"decoded pictures that are kept, in bytes or as 500M, 4G (default {CACHE >> 30}G)"
    command.add_argument("--cache", type=_bytes, default=CACHE, help=words)
    command.add_argument(
        "--skip-broken", action="store_true", help="decode every picture once and go on without those that are broken"
    )


def add_pictures(command: argparse.ArgumentParser) -> None:
    """`add_reading`, and what pictures are to a network that does not say it or is to be told otherwise."""
    add_reading(command)
    command.add_argument(
        "--input", type=_shape, metavar="C,H,W", help="the network's input, where it does not say it, or allows several"
    )
    for word, about in (("mean", "mean"), ("std", "standard deviation")):
        words = f"{about} of each channel / 255, as 0.485,0.456,0.406 (default: the network's, else measured on train)"
        command.add_argument(f"--{word}", type=_numbers, metavar="X,...", help=words)
    words = "what is done to pictures of another size: exact, stretch, crop or crop N, with or without bicubic (docs/"
    command.add_argument("--resize", type=_rule, metavar="RULE", help=words + "pictures.md; default: the network's)")
    words = "lines of NAME INDEX: the folder of a class and the network's output for it"
    command.add_argument("--class-index", metavar="FILE", help=words)


def add_training(command: argparse.ArgumentParser) -> None:
    """`add_pictures`, --augment and --hold-out."""
    add_pictures(command)
    words = "crop and mirror, one of them, or none (default: what suits the data, docs/pictures.md)"
    command.add_argument("--augment", choices=AUGMENT, help=words)
    command.add_argument("--hold-out", type=int, metavar="N", help="train without N of the pictures; judge on these")


@overload
def load_data(args: argparse.Namespace, file: Checkpoint | None, split: Literal["both"]) -> tuple[Dataset, Dataset]: ...
@overload
def load_data(args: argparse.Namespace, file: Checkpoint | None, split: Split) -> Dataset: ...
def load_data(
    args: argparse.Namespace, file: Checkpoint | None, split: Split | Literal["both"]
) -> Dataset | tuple[Dataset, Dataset]:
    """`split` of --data, or "both" as a pair, for the network of `file`, if there is one: as it wants its pictures.

    With --hold-out such a pair is (the rest, the held out) of train. What --input, --mean, --std, --resize and
    --class-index say goes before what the file states; what neither says is as the data are (`datasets.load_for`).
    """
    wanted, reading = _wanted(args, file), reading_of(args)
    if split == "test" and wanted.normalization is None and is_unknown_folder(args.data):
        what = "nobody says how these" if file is None else f"{file.path} does not say how its"
        raise ValueError(f"{what} pictures are normalized: give --mean and --std")
    held_out = args.hold_out if split == "both" else None
    if held_out is not None and held_out < 1:
        raise ValueError(f"--hold-out is {held_out}, wanted at least 1")
    anew = file is None or getattr(args, "classes_from", None) == "data"  # then classes are the data's alone
    with nullcontext() if anew else _saying_what_helps(args, trainable=True):
        if split == "both":
            return datasets.load_for(args.data, args.data_dir, "both", wanted, held_out=held_out, reading=reading)
        return datasets.load_for(args.data, args.data_dir, split, wanted, reading=reading)


@contextmanager
def _saying_what_helps(args: argparse.Namespace, trainable: bool) -> Iterator[None]:
    """Inside, the error that --data has other classes than a network ends with the options that help."""
    try:
        yield
    except OtherClasses as error:
        ways = []
        if hasattr(args, "class_index") and is_unknown_folder(args.data):
            ways.append("--class-index FILE says which folder is which output")
        if trainable:
            command = "" if hasattr(args, "classes_from") else "elq train "
            ways.append(f"{command}--classes-from data makes a last layer for its classes")
        raise ValueError(f"{error}: {', '.join(ways)}" if ways else str(error)) from None


def load_for_packed(args: argparse.Namespace, packed: PackedNetwork, split: Split) -> Dataset:
    """`split` of --data as a packed network states it; ValueError for options that say what the file says."""
    for word in ("input", "mean", "std", "resize"):
        if getattr(args, word, None) is not None:
            raise ValueError(f"--{word} is given, which a packed network says itself")
    meta = packed.metadata
    index = getattr(args, "class_index", None)
    classes = meta.classes if index is None else indexed_classes(index, meta.classes)
    wanted = Wanted(packed.graph.input_shape, classes, meta.normalization, meta.resize)
    with _saying_what_helps(args, trainable=False):
        return datasets.load_for(args.data, args.data_dir, split, wanted, reading=reading_of(args))


def reading_of(args: argparse.Namespace) -> Reading:
    """The Reading of `add_reading`: with a bar, and lines on standard error."""
    given = {} if args.workers is None else {"workers": args.workers}
    return Reading(
        **given,
        cache=Cache(args.cache),
        skip_broken=args.skip_broken,
        tell=lambda line: say(f"elq: {line}"),
        watch=lambda items, count: progress(items, count, "looking at pictures"),
    )


def augmentation(args: argparse.Namespace, train: Dataset) -> Augment | RandomResizedCrop | None:
    """--augment of a training set: the default, or as much of it as is asked for."""
    usual = datasets.default_augment(train)
    if args.augment is None:
        return usual
    crop, flip = "crop" in args.augment, "mirror" in args.augment
    if crop and usual is None:
        raise ValueError(f"--augment is {args.augment}, but nobody knows how {train.name} is cropped")
    if crop and usual is not None:
        return replace(usual, flip=flip)
    return Augment(0, True) if flip else None


def batches_of(
    args: argparse.Namespace, train: Dataset, batch_size: int, augment: Augment | RandomResizedCrop | None
) -> Batches:
    """The batches that train, as --seed and --micro-batch say, shared by the processes of the command."""
    how = {"seed": args.seed, "micro_batch": args.micro_batch, "world": args.world}
    return Batches(train, batch_size, augment=augment, **how)


def _wanted(args: argparse.Namespace, file: Checkpoint | None) -> Wanted:
    """What the options and the file say of the pictures."""
    stated = {} if file is None else file.stated
    graph = None if file is None else file.graph
    shape = args.input or stated.get("input_shape") or (None if graph is None else graph.input_shape)
    anew = getattr(args, "classes_from", None) == "data"
    classes = None if anew else stated.get("classes")
    outputs = None
    if graph is not None and classes is None and not anew:
        outputs = infer_shapes(graph)[graph.output][0]
    if args.class_index is not None:
        classes = indexed_classes(args.class_index, classes or tuple(map(str, range(outputs or 0))))
    normalization = stated.get("normalization")
    if (args.mean is None) != (args.std is None):
        raise ValueError("one of --mean and --std is given, wanted both")
    if args.mean is not None:
        normalization = Normalization(args.mean, args.std)
    if normalization is not None and shape and len(normalization.mean) != shape[0]:
        raise ValueError(f"mean and std have {len(normalization.mean)} numbers, the pictures {shape[0]} channels")
    usual = "stretch" if "classes" in stated else "crop"  # elq's own files say it where it is not stretch
    return Wanted(shape, classes, normalization, args.resize or stated.get("resize", usual), outputs)


def indexed_classes(path: str, classes: Sequence[str]) -> tuple[str, ...]:
    """`classes` in which lines of NAME INDEX replace the name of output INDEX; an output without any is called INDEX.

    ValueError for a line of another kind, an index twice, or one that the network does not have.
    """
    names = dict(enumerate(classes))
    given: dict[int, str] = {}
    for line in filter(None, map(str.strip, Path(path).read_text("utf-8").splitlines())):
        name, _, number = line.replace("\t", " ").rpartition(" ")
        if not name or not (number.isascii() and number.isdigit()) or len(number) > 7 or int(number) in given:
            raise ValueError(f"{path} has the line {line[:60]!r}, wanted NAME INDEX, each index once")
        given[int(number)] = name.strip()
    count = len(classes) or max(given, default=-1) + 1
    if beyond := [k for k in given if k >= count]:
        raise ValueError(f"{path} has the index {beyond[0]}, the network has the outputs 0 to {count - 1}")
    named = names | given
    return tuple(named.get(k, str(k)) for k in range(count))


def _shape(text: str) -> tuple[int, int, int]:
    try:
        channels, height, width = map(int, text.split(","))
    except ValueError:
        channels = height = width = 0
    if channels not in (1, 3) or not 0 < min(height, width) <= max(height, width) <= 1 << 14:
        raise argparse.ArgumentTypeError(f"{text!r}, wanted C,H,W as 3,224,224 with C 1 or 3")
    return channels, height, width


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, wanted one number a channel as 0.485,0.456,0.406") from None


def _rule(text: str) -> str:
    try:
        ResizeRule.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _bytes(text: str) -> int:
    digits = text.rstrip("KMGkmg")
    if not (digits.isascii() and digits.isdigit()) or len(text) - len(digits) > 1 or len(digits) > 15:
        raise argparse.ArgumentTypeError(f"{text!r}, wanted a number of bytes, or as 500M, 4G")
    return int(digits) << {"": 0, "k": 10, "m": 20, "g": 30}[text[len(digits) :].lower()]
