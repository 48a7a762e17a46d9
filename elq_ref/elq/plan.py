"""Plan: every choice of a quantization run, one frozen value.

What stands in `Plan` itself is ELQ, or a reading of it where the paper's text was not at hand, marked [S] or [C]: each
is one argument, so that a reader who knows better changes an argument, not the code (docs/method.md lists them with
their alternatives). What is taken from elsewhere stands in `Borrowed`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from .bands import TAILS
from .borrowed import Borrowed
from .levels import LEVELS

P = TypeVar("P", bound="Plan")

_WORDS = {
    "levels": LEVELS,
    "alpha_from": ("pretrained", "stage0"),
    "tail": TAILS,
    "gradient": ("straight-through", "constant", "taylor-inner", "taylor-elementwise"),
    "sign": ("computed", "assumed"),
    "perturbation": ("abs", "positive"),
    "norm": ("squared", "absolute"),
    "scope": ("network", "layer"),
    "second_loss": ("whole", "group1"),
    "momentum_at_freeze": ("keep", "reset"),
}


@dataclass(frozen=True)
class Plan(Borrowed):
    """How a network is quantized. Stage 0 trains all weights; stage k >= 1 first freezes the band of sigma2[k-1].

    levels: "ternary" or "binary".
    method: a name in elq_ref.methods.METHODS.
    alpha_from: "pretrained" fixes alpha at the start [P]; "stage0" re-estimates it at every step of stage 0 and fixes
        it at the first freeze [C].
    sigma2: falling lower bounds of the bands in units of alpha, in [0, 1/2], the last stage freezes all that is free.
    tail, tail_rate: what happens to free weights beyond alpha (elq_ref.elq.bands) [C].
    a1, a2: weights of the loss perturbation and of the approximation error, >= 0 [C].
    gradient: how |L(W) - L(W_hat)| is differentiated (elq_ref.elq.gradients) [S, D].
    sign: of L(W) - L(W_hat), "computed" or "assumed" to be -1 (then reported as such; at a1 = 1 it saves a pass) [C].
    perturbation: "abs" |L(W) - L(W_hat)|, or "positive" max(0, L(W_hat) - L(W)) [C].
    norm: "squared" ||W - W_hat||^2, or "absolute" sum |W - W_hat| [S].
    scope: "network": W_hat quantizes all layers in Lp; "layer": one term a layer, only that layer quantized [C].
    second_loss: in Lp, "whole" L(W_hat), or "group1" that of the network as it stands, only what is frozen quantized;
        the first loss is then that of before these freezes (elq_ref.elq.gradients) [P, ambiguous].
    momentum_at_freeze: of the weights that stay free, "keep" or "reset" [C].
    epochs: passes over the data of each stage, 1 + len(sigma2) numbers > 0; at least one step each. 0 for stage 0
        leaves it out.
    keep_float: names of weights that are not quantized, e.g. ("conv1.weight",).

    Raises ValueError that names the option, what was given and what was wanted. Options of `Borrowed` are given by
    name, as all others may be.

    >>> plan = elq.Plan("binary", sigma2=(0.3, 0.0), epochs=(2, 1, 1))
    >>> plan.stages, plan.spread(60).epochs
    (3, (30.0, 15.0, 15.0))
    >>> elq.Plan(sigma2=(0.3, 0.4))
    Traceback (most recent call last):
    ValueError: sigma2 is (0.3, 0.4), wanted falling numbers in [0, 0.5]
    """

    levels: str = "ternary"
    method: str = "elq"
    alpha_from: str = "pretrained"
    sigma2: tuple[float, ...] = (0.4, 0.3, 0.2, 0.0)
    tail: str = "last"
    tail_rate: float = 0.01
    a1: float = 1.0
    a2: float = 0.0
    gradient: str = "straight-through"
    sign: str = "assumed"
    perturbation: str = "abs"
    norm: str = "squared"
    scope: str = "network"
    second_loss: str = "whole"
    momentum_at_freeze: str = "keep"
    epochs: tuple[float, ...] = (2.0, 1.0, 1.0, 1.0, 1.0)
    keep_float: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._take_kinds()
        super().__post_init__()
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise ValueError(f"{name} is {getattr(self, name)!r}, wanted one of {', '.join(words)}")
        if not (self.a1 >= 0 and self.a2 >= 0 and 0 <= self.tail_rate <= 1):
            raise ValueError(
                f"a1 {self.a1}, a2 {self.a2}, tail_rate {self.tail_rate}: wanted a1, a2 >= 0, 0 <= tail_rate <= 1"
            )
        if any(not 0 <= s <= 0.5 for s in self.sigma2) or list(self.sigma2) != sorted(self.sigma2, reverse=True):
            raise ValueError(f"sigma2 is {self.sigma2}, wanted falling numbers in [0, 0.5]")
        count = 1 + len(getattr(self, self.freezes))
        needed = self.epochs[1:] if count > 1 else self.epochs
        if len(self.epochs) != count or not all(0 <= e < math.inf for e in self.epochs) or 0 in needed:
            raise ValueError(
                f"epochs is {self.epochs}, wanted {count} finite numbers > 0: stage 0 and one for each of "
                f"{self.freezes}"
            )
        if self.gradient == "taylor-elementwise" and self.perturbation == "positive":
            raise ValueError("gradient taylor-elementwise bounds |L(W) - L(W_hat)|: it has no positive part")
        if self.second_loss == "group1" and (self.gradient, self.scope) != ("straight-through", "network"):
            raise ValueError(
                f"second_loss group1 has one gradient, the exact one: wanted gradient straight-through and scope "
                f"network, given {self.gradient} and {self.scope}"
            )
        if self.levels == "binary" and self.scale == "twn":
            raise ValueError("scale twn is a ternary rule")

    def _take_kinds(self) -> None:
        """Every option of the kind of its default, lists as tuples; ValueError for another kind."""
        for option in fields(self):
            value, default = getattr(self, option.name), option.default
            if isinstance(default, tuple):
                if isinstance(value, str | bytes) or not isinstance(value, Iterable):
                    raise ValueError(f"{option.name} is {value!r}, wanted a tuple, such as {default!r}")
                value = tuple(v.item() if isinstance(v, np.generic) else v for v in value)
                wrong = not all(isinstance(v, str if option.name == "keep_float" else Real) for v in value)
            else:
                value = value.item() if isinstance(value, np.generic) else value
                wrong = not isinstance(value, type(default) if isinstance(default, bool | str) else Real)
            object.__setattr__(self, option.name, value)
            if wrong:
                raise ValueError(f"{option.name} is {value!r}, wanted a value such as {default!r}")

    @property
    def freezes(self) -> str:
        """The option that says, with one number a freezing stage, what freezes: "sigma2"."""
        return "sigma2"

    @property
    def stages(self) -> int:
        """Number of stages, stage 0 included."""
        return len(self.epochs)

    def spread(self: P, total: float) -> P:
        """The same plan in `total` passes over the data, in the proportions of `epochs`."""
        share = total / sum(self.epochs)
        return replace(self, epochs=tuple(e * share for e in self.epochs))

    def to_json(self, *, short: bool = False) -> dict[str, Any]:
        """A dict of plain values from which `from_json` (for any method elq_ref.methods.plan_from_json) makes it.

        short: method, levels and what is not the method's default, which is enough for the same version of elq_ref.
        """
        usual = {option.name: option.default for option in fields(self) if option.name not in ("method", "levels")}
        return {name: v for name, v in asdict(self).items() if not (short and name in usual and usual[name] == v)}

    @classmethod
    def from_json(cls: type[P], values: dict[str, Any]) -> P:
        """The plan of a dict; ValueError names an option that does not exist."""
        known = {f.name for f in fields(cls)}
        if not set(values) <= known:
            raise ValueError(
                f"no such option: {', '.join(sorted(set(values) - known))}; there are: {', '.join(sorted(known))}"
            )
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**given)
