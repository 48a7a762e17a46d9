"""From a packed network to files of C."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import atomic_write, check_target
from ..graph.nodes import required
from ..runtime.format import to_bytes
from ..runtime.integer import IntegerNetwork
from ..runtime.packed import PackedNetwork
from ..runtime.versions import versions
from .choice import FORMS, PREFERENCES, TARGETS, choose
from .constants import constants_of
from .contents import Contents, high_ends, places
from .forms.form import Form
from .header import header
from .layers import Layer, layers_of
from .planner import plan
from .selftest import constant_crcs, hashes, picture
from .source import source, testbench, weights

KEYWORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
"""
LONGEST_NAME = 40


@dataclass(frozen=True)
class Export:
    """What was made. files: text by file name. contents: what the text says, sizes among it."""

    files: dict[str, str]
    contents: Contents

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write the files into a folder, all or none; missing folders are made. The paths written."""
        paths = {Path(folder, name): text for name, text in self.files.items()}
        for path in paths:
            check_target(path)
        with ExitStack() as stack:
            temporary = {path: stack.enter_context(atomic_write(path)) for path in paths}
            for path, text in paths.items():
                temporary[path].write_text(text, encoding="ascii", newline="\n")
        return list(paths)


def export_c(
    network: PackedNetwork,
    name: str,
    *,
    target: str = "portable",
    prefer: str = "speed",
    split_weights: bool = False,
    selftest: bool = True,
    testbench_main: bool = False,
    model_sha256: str | None = None,
    forms: Sequence[Form] = FORMS,
) -> Export:
    """`network` as C with the prefix `name`; nothing is written before `Export.save`.

    target: portable, m0, dsp, neon or auto; prefer: size or speed of the weights' forms. split_weights: weights in
    NAME_weights.c. selftest: NAME_selftest, and what it expects. testbench_main: NAME_main.c. model_sha256: of the file
    that the network comes from; by default of the file that it would be saved to. forms: of weights, to choose from.
    ValueError for a name that is no identifier of C or a keyword, a network without int8, and one that names the layer
    which C cannot run.
    """
    check_name(name)
    for given, wanted in ((target, TARGETS), (prefer, PREFERENCES)):
        if given not in wanted:
            raise ValueError(f"{given!r} was given, wanted one of {', '.join(wanted)}")
    if network.int8 is None:
        raise ValueError("the network has no int8 part: elq calibrate makes one")
    int8 = network.int8
    layers = layers_of(int8)
    chosen = choose(layers, target, prefer, forms)
    scratch = [0] * len(layers)
    for i, (form, _) in chosen.items():
        scratch[i] = form.scratch_bytes(layers[i]) if form.scratch_bytes else 0
    made = plan(layers, scratch)
    layers = made.layers
    taken = [chosen[i][0] if i in chosen else None for i in made.order]
    words = [chosen[i][1] if i in chosen else signs(layer) for i, layer in zip(made.order, layers, strict=True)]
    constants = [constants_of(layer, high_ends(layers)) for layer in layers]
    expected = None
    if selftest:
        crcs = constant_crcs(places(made), constants, words, int8.factor)
        expected = list(zip(crcs, hashes(int8, layers, picture(int8)[None])[0].tolist(), strict=True))
    sha = model_sha256 or hashlib.sha256(to_bytes(network.graph, network.metadata, int8)).hexdigest()
    arithmetic, by_sum = versions(network.graph, network.shapes).arithmetic, largest_sum_wins(int8, layers)
    contents = Contents(
        name, sha, arithmetic, made, taken, words, constants, int8.factor, by_sum, expected, split_weights
    )
    files = {f"{name}.h": header(contents), f"{name}.c": source(contents)}
    if split_weights:
        files[f"{name}_weights.c"] = weights(contents)
    if testbench_main:
        files[f"{name}_main.c"] = testbench(contents)
    return Export(files, contents)


def check_name(name: str) -> None:
    """Refuse (ValueError) what C cannot begin names with."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or len(name) > LONGEST_NAME:
        wanted = f"a letter, then letters, digits and _, at most {LONGEST_NAME}"
        raise ValueError(f"the name {name[:60]!r} is no prefix for C: wanted {wanted}")
    if name in KEYWORDS.split():
        raise ValueError(f"the name {name!r} is a keyword of C")


def signs(layer: Layer) -> np.ndarray:
    """The words of a layer that is no conv: of a scale_shift, a bit for each channel that it multiplies by -64."""
    if layer.op != "scale_shift":
        return np.zeros(0, np.uint32)
    negative = required(layer.rows).ravel() < 0
    padded = np.concatenate([negative, np.zeros(-len(negative) % 32, bool)])
    return np.packbits(padded, bitorder="little").view("<u4").astype(np.uint32)


def largest_sum_wins(network: IntegerNetwork, layers: list[Layer]) -> bool:
    """Whether the largest raw result always names the class of the largest logit, the first of equal ones.

    So it is where all factors are alike, and no two sums have logits that are one float32: below 2^23 neighbours are
    further apart than floats of their size, as long as those are normal.
    """
    most, last = 128, layers[-1]
    if last.b is not None:
        terms = (
            (128 if last.op == "mul" else last.k) if last.rows is None else np.abs(last.rows.astype(np.int64)).sum(1)
        )
        most = int((128 * terms + np.abs(last.b.astype(np.int64))).max())
    alike = (network.factor == network.factor[0]).all() and network.factor[0] >= np.finfo(np.float32).tiny
    return bool(alike) and most <= 1 << 23
