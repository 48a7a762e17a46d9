"""Order: ELQ with its bands left out. Each stage freezes a share of every layer: the largest weights first, those whose
codes are the most stable, or any."""

import zlib
from dataclasses import dataclass, fields

import numpy as np

from ..elq.averages import frequent_codes
from ..elq.plan import Plan
from ..splitmix import random_bits
from .base import QuantizedWeight
from .elq import ELQ

ORDERS = ("magnitude", "stable", "random")


@dataclass(frozen=True)
class OrderPlan(Plan):
    """A Plan whose stages freeze by order: shares of each layer in the place of sigma2, which is not read.

    order: "magnitude", the largest first, "stable", or "random".
    order_seed: of the random order.
    portions: the rising shares of each layer that are frozen from stage 1, 2, ... on; the last is 1.
    epochs: 1 + len(portions) numbers.
    """

    method: str = "order"
    order: str = "magnitude"
    order_seed: int = 0
    portions: tuple[float, ...] = (0.5, 0.75, 0.875, 1.0)

    def __post_init__(self) -> None:
        self._take_kinds()
        if self.order not in ORDERS:
            raise ValueError(f"order is {self.order!r}, wanted one of {', '.join(ORDERS)}")
        if self.order_seed < 0 or (self.order_seed and self.order != "random"):
            raise ValueError(f"order_seed is {self.order_seed}, wanted an integer >= 0, and 0 for order {self.order}")
        rising = list(self.portions) == sorted(self.portions)
        if not rising or self.portions[-1:] != (1,) or self.portions[0] <= 0:
            raise ValueError(f"portions is {self.portions}, wanted rising numbers in (0, 1], the last of them 1")
        if self.tail == "2alpha":
            raise ValueError("tail 2alpha adds to a band: an order freezes an exact share, wanted another tail")
        super().__post_init__()

    @property
    def freezes(self) -> str:
        """The option that says, with one number a freezing stage, what freezes: "portions"."""
        return "portions"


class Order(ELQ):
    """What is ELQ's but the partition, to tell what the bands are worth: INQ's order [S], or another [C]."""

    plan_type = OrderPlan
    options = frozenset(f.name for f in fields(OrderPlan)) - {"sigma2"}
    plan: OrderPlan

    def select(self, weight: QuantizedWeight, stage: int) -> np.ndarray:
        plan = self.plan
        if plan.order == "random":
            key = random_order(weight.name, weight.w.shape, plan.order_seed)
        elif plan.order == "stable":
            key = stable_order(weight.w, weight.alpha, weight.extra["average"], plan.levels)
        else:
            key = -np.abs(weight.w)
        return first_in_order(key, weight.frozen, plan.portions[stage - 1])

    def _averages(self) -> bool:
        return self.plan.order == "stable" or super()._averages()


def first_in_order(key: np.ndarray, frozen: np.ndarray, share: float) -> np.ndarray:
    """Group 1 where a stage freezes a share and not a band: bool array of key's shape.

    The free weights with the least key, of equal ones the first, until round(share n) of all n are frozen. With key =
    -|w| that is INQ's pruning-inspired partition, the largest first  [S].
    """
    order = np.argsort(key, axis=None, kind="stable")
    free = order[~frozen.ravel()[order]]
    chosen = np.zeros(key.size, bool)
    chosen[free[: max(0, round(share * key.size) - (key.size - len(free)))]] = True
    return chosen.reshape(key.shape)


def stable_order(w: np.ndarray, alpha: np.ndarray, average: np.ndarray, levels: str) -> np.ndarray:
    """Integer keys for `first_in_order`, of w's shape: the places of the weights, the most stable code first.

    How unstable it is: the distance of the average of a weight's codes (elq_ref.elq.averages) from the nearest code, 0
    where it never changed. Of equal ones first the weight farthest from a decision boundary, 0 in binary, else
    +-alpha/2  [C].
    """
    unstable = np.abs(average - frequent_codes(average, levels))
    margin = np.abs(w) if levels == "binary" else np.abs(np.abs(w) - alpha / 2)
    places = np.empty(w.size, int)
    places[np.lexsort((-margin.ravel(), unstable.ravel()))] = np.arange(w.size)
    return places.reshape(w.shape)


def random_order(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """uint64 keys for `first_in_order`: a random order of the weights of the layer `name`, the same at every stage."""
    samples = np.arange(np.prod(shape, dtype=int))
    return random_bits(seed, 0, zlib.crc32(name.encode()), samples).reshape(shape)
