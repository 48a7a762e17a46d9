"""Which weights stay float, in the words of a person: by name, by kind, by place, or by what they cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..forward_pass import operations_of
from ..nn import Conv2d, Module
from .layer_costs import Sensitivity

SENSITIVE = "sensitive:"
WORDS = f"depthwise, first, last, {SENSITIVE}N, or names of weights or layers"


def weights_kept(
    words: Sequence[str], net: Module, input_shape: tuple[int, int, int], measured: Callable[[], Sensitivity]
) -> tuple[str, ...]:
    """The names of the weights of `net` that `words` mean, each once, as `Module.quantizable` orders them.

    "depthwise": of convolutions with as many groups as channels read; "first", "last": in the order of computation;
    "sensitive:3": the three whose rounding alone costs most, of all that the other words do not mean already, by
    `measured()`, which is asked only then; else the name of a weight, with or without its ".weight".
    ValueError for a word that means nothing here.
    """
    weights = net.quantizable()
    kept: set[str] = set()
    counts = [word.removeprefix(SENSITIVE) for word in words if word.startswith(SENSITIVE)]
    for word in words:
        if not word.startswith(SENSITIVE):
            kept |= set(_meant(word, net, input_shape, list(weights)))
    for count in counts:
        if not (count.isascii() and count.isdigit()):
            raise ValueError(f"{SENSITIVE}{count}: wanted a number of layers, such as {SENSITIVE}3")
        found = measured()
        ranked = [name for name in found.most(len(found.layers)) if name not in kept]
        if not 1 <= int(count) <= len(ranked):
            raise ValueError(f"{SENSITIVE}{count}: wanted 1 to {len(ranked)} layers")
        kept |= set(ranked[: int(count)])
    return tuple(name for name in weights if name in kept)


def _meant(word: str, net: Module, input_shape: tuple[int, int, int], weights: list[str]) -> list[str]:
    """The weights that one word means."""
    if word in ("first", "last"):
        used = [name for op in operations_of(net, input_shape) for name in op.inputs if name in weights]
        return used[:1] if word == "first" else used[-1:]
    if word == "depthwise":
        modules = (m for _, m in net.named_modules() if isinstance(m, Conv2d))
        deep = {id(m.weight) for m in modules if m.groups > 1 and m.weight.shape[1] == 1}
        found = [name for name, weight in net.quantizable().items() if id(weight) in deep]
        if not found:
            raise ValueError("depthwise: the network has no depthwise convolution")
        return found
    found = [name for name in weights if word in (name, name.removesuffix(".weight"))]
    if not found:
        raise ValueError(f"{word!r} is no weight of the network: wanted {WORDS}; the weights are {', '.join(weights)}")
    return found
