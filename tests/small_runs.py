"""A network and batches so small that a whole quantization takes a moment."""

import numpy as np

from elq_ref import SGD, Batches, Plan, State, quantize
from elq_ref.datasets import Augment, Dataset, Normalization
from elq_ref.methods import OrderPlan
from elq_ref.nn import BatchNorm2d, Conv2d, Flatten, Linear, Module, ReLU, Sequential


def small_net(seed: int = 0) -> Module:
    rng = np.random.default_rng(seed)
    return Sequential(
        Conv2d(1, 5, 3, padding=1, bias=False, rng=rng), BatchNorm2d(5), ReLU(), Flatten(), Linear(5 * 36, 3, rng=rng)
    )


def batches(batch_size: int = 16, seed: int = 0) -> Batches:
    rng = np.random.default_rng(9)
    labels = rng.integers(0, 3, 60)
    images = rng.integers(0, 80, (60, 1, 6, 6))
    images[np.arange(60), 0, 2 * labels] += 150  # the class is the bright row
    data = Dataset(images.astype(np.uint8), labels, ("a", "b", "c"), Normalization((0.3,), (0.3,)), "rows")
    return Batches(data, batch_size, augment=Augment(1, False), seed=seed)


PLAN = Plan("ternary", sigma2=(0.3, 0.1, 0.0), epochs=(1.0, 0.5, 0.5, 0.5), sign="computed", a1=0.7, a2=1e-3)


def ordered(**options) -> OrderPlan:
    """PLAN, but that stages freeze by order."""
    given = {**PLAN.to_json(), "method": "order", "sigma2": Plan().sigma2, "portions": (0.3, 0.6, 1.0)}
    return OrderPlan(**given | options)


def finished(plan: Plan, **options) -> State:
    """Where the run of the small network by `plan` ends. options: SGD's."""
    *_, last = quantize(small_net(), batches(), plan, SGD(0.05, weight_decay=1e-3, **options))
    return last.state
