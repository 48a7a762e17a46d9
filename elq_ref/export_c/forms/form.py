"""What a form of weights has to say about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..layers import Layer


class Form(NamedTuple):
    """name: as the layer table says it. function: of C, static void function(const conv_t *layer, const int8_t *x,
    int8_t *y), with a further argument void *scratch where it has `scratch_bytes`: how much it needs at a multiple of
    4. fragments: the files of c/ that have it. fits: whether it can hold a layer's weights. encode: the words
    in flash. cost: instructions for a picture on a processor, estimated from what was measured.
    """

    name: str
    function: str
    fragments: tuple[str, ...]
    fits: Callable[[Layer], bool]
    encode: Callable[[Layer], np.ndarray]
    scratch_bytes: Callable[[Layer], int] | None
    cost: Callable[[Layer, str], float]
