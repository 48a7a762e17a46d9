"""The algorithm: a generator of steps that can be stopped, saved and resumed anywhere.

stage 0: all weights free; epochs 0 leave it out.
Stage k = 1 .. K: freeze the band of sigma2[k-1] on its levels, then train the rest.
One step: W_hat = Q(W); pass at W_hat (running averages of BatchNorm follow it: it is the network that is deployed);
pass at W on the same batch; gradient of J; SGD on what is free; what follows the weights (tails, a moving alpha).
A pass is one of the whole batch, or goes by its micro-batches (elq_ref.training.micro_batches).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from .. import ops
from ..datasets import Batches
from ..draws import drawing
from ..elq.gradients import Evaluated, Objective
from ..elq.plan import Plan
from ..errors import FormatError
from ..methods import Moment
from ..nn import BatchNorm2d, Module
from ..nn.module import Loss
from ..parallel import World
from ..tensor import Tensor, no_grad, watched
from .agreement import check_agreement
from .micro_batches import Share, SharedPass, Statistics, micro_sizes, shares, world_of
from .put_off import LazyPass
from .sgd import SGD
from .state import State, describe


@dataclass(frozen=True)
class Step:
    """One update: `index` of `steps` in `stage` of `stages`, and what was seen at its batch before the update.

    loss L(W), loss_hat L(W_hat), perturbation Lp, error E, objective J, sign s (None where a pass was not made);
    frozen: share of the quantized weights that is frozen, 0 to 1; state: the run as it stands after the update.
    """

    stage: int
    stages: int
    index: int
    steps: int
    step: int
    lr: float
    loss: float | None
    loss_hat: float | None
    perturbation: float | None
    error: float
    objective: float | None
    sign: float
    frozen: float
    state: State = field(repr=False)

    @property
    def ends_stage(self) -> bool:
        """True for the last step of a stage."""
        return self.index + 1 == self.steps


def stage_steps(plan: Plan, batches: Batches) -> list[int]:
    """Number of steps of each stage, at least 1 unless its epochs are 0."""
    return [max(1, round(epochs * len(batches))) if epochs else 0 for epochs in plan.epochs]


def quantize(
    net: Module,
    batches: Batches,
    plan: Plan,
    sgd: SGD | None = None,
    *,
    state: State | None = None,
    loss: Loss = ops.softmax_cross_entropy,
) -> Iterator[Step]:
    """Quantize `net` in place, yielding after every update.

    `loss(outputs, labels)` is L: of the network's output, a Tensor, and the labels of the batch the Tensor of one
    number, by operations of elq_ref.ops or one's own (`record`); a network with auxiliary heads adds theirs
    (`Module.training_loss`).
    The network must be float32 or float64 throughout, the batches of its dtype. Stop by leaving the loop; save by
    `step.state.save(path)`; go on with `state=State.load(path, net)`, which continues to the same bits on the same
    machine, threads, kernels and versions, since batches and what dropout draws are functions of (seed, epoch, sample);
    all passes of a step drop the same. Where the batches have a micro-batch size, their world may be several processes,
    of which every one makes the same steps to the same bits (docs/several-processes.md). At the end every quantized
    weight stands on a level, unless the plan has no freezing stage.
    Raises ValueError if a resumed state was made with other batches or another plan, or says that it stands where no
    such run does; if a batch to come has one picture and BatchNorm sees one value of it; if the loss is no single
    number; if the network's weights were replaced by other Tensors (`Module.astype`) after the run began; or if one of
    several processes has another start than the others.

    >>> train, _ = elq.datasets.digits()
    >>> net, batches = elq.models.lenet5((1, 8, 8)), elq.Batches(train.subset(slice(64)), 32)
    >>> for step in elq.quantize(net, batches, elq.Plan("ternary", sigma2=(0.0,), epochs=(1, 1))):
    ...     if step.ends_stage:
    ...         print(step.stage, step.frozen)
    0 0.0
    1 1.0
    >>> np.unique(net.fc3.weight.data / np.abs(net.fc3.weight.data).max())
    array([-1.,  0.,  1.], dtype=float32)
    """
    if state is None:
        state = State.start(net, plan, sgd or SGD(), batches)
    elif state.plan != plan or state.net is not net:
        raise ValueError("the state belongs to another plan or network; pass state.plan and state.net")
    if state.batches != describe(batches):
        raise ValueError(f"the run was made with batches {state.batches}, given {describe(batches)}")
    check_place(state, batches)
    state.keep_graph(batches)
    check_single(net, batches, range(state.step, sum(stage_steps(state.plan, batches))))
    check_agreement(state, batches)
    return _steps(state, batches, loss)


def check_place(state: State, batches: Batches) -> None:
    """FormatError unless a run of this plan on these batches comes by the place where `state` says that it stands."""
    counts, stage = stage_steps(state.plan, batches), state.stage
    in_stage = 0 <= stage <= len(counts) and 0 <= state.index < max(1, [*counts, 0][stage])
    if not in_stage or state.step != sum(counts[:stage]) + state.index:
        place = f"stage {stage}, index {state.index}, step {state.step}"
        raise FormatError(
            f"the run says that it stands at {place}: its stages have {', '.join(map(str, counts))} steps"
        )


def check_single(net: Module, batches: Batches, steps: range) -> None:
    """ValueError if a micro-batch of the batches of `steps` has one picture, of which BatchNorm sees one value.

    Of one value there is no variance: such a run would die there. It is known before the first step.
    """
    count, size = len(batches.dataset), batches.batch_size
    last, ends = count - (len(batches) - 1) * size, steps.stop // len(batches) - steps.start // len(batches)
    reached = [last] * (ends > 0) + [size] * (len(steps) > ends)
    if not any(1 in micro_sizes(batches, pictures) for pictures in reached):
        return
    micro = getattr(batches, "micro_batch", None)

    norms = {id(m.running_mean) for _, m in net.named_modules() if isinstance(m, BatchNorm2d) and not m.frozen}

    def see(op: str, operands: tuple[Tensor, ...], result: Tensor, attributes: dict[str, Any]) -> None:
        if op == "batch_norm" and result.data.size == result.shape[1] and id(attributes["mean"]) in norms:
            better = [s for s in range(size + 1, count + 1) if micro is None and count % s != 1]
            way_out = f", such as {better[0]}" if better else ""
            by = "" if micro is None else f", micro-batches of {micro},"
            raise ValueError(
                f"{count} pictures in batches of {size}{by} leave a batch of one, of which BatchNorm sees one value a "
                f"channel and cannot train: wanted another batch size{way_out}"
            )

    modes = [(module, module.training) for _, module in net.named_modules()]
    try:
        x, _ = next(batches.epoch(0, len(batches) - 1))
        with no_grad(), watched(see):
            net.eval()(Tensor(x[:1]))
    finally:
        for module, training in modes:
            module.training = training


def _steps(state: State, batches: Batches, loss: Loss) -> Iterator[Step]:
    counts = stage_steps(state.plan, batches)
    stream, world = shares(batches, state.step), world_of(batches)
    state.net.train()
    if counts[0] == 0:
        state.stage = max(state.stage, 1)
    while not state.done:
        if state.index == 0 and state.stage > 0:
            freeze(state)
        stage, index, steps = state.stage, state.index, counts[state.stage]
        start = state.sgd.lr * (state.plan.restart if stage else 1)
        lr = start * state.sgd.schedule(index, steps)
        seen = _update(state, next(stream), world, lr, Moment(stage, index / steps), loss)
        state.step += 1
        state.stage, state.index = (stage, index + 1) if index + 1 < steps else (stage + 1, 0)
        if state.index == 0:
            check_agreement(state, batches)  # several processes go on with one network, or not at all
        yield Step(
            stage, len(counts), index, steps, state.step, lr, seen.loss, seen.loss_hat, seen.perturbation, seen.error,
            seen.value, seen.sign, state.share_frozen(), state,
        )  # fmt: skip
        state.net.train()  # the caller may have evaluated


def freeze(state: State) -> None:
    """Set group 1 of `state.stage` to its levels for ever; its momentum is dropped, that of the rest kept or reset.

    `quantize` does it before step 0 of every stage but the first; doing it again changes nothing.
    """
    for name, weight in state.weights.items():
        state.method.settle(weight, state.method.select(weight, state.stage))
        reset = state.plan.momentum_at_freeze == "reset"
        state.velocity[name] = np.where(weight.frozen | reset, 0, state.velocity[name])


def _update(state: State, batch: Share, world: World, lr: float, moment: Moment, loss: Loss) -> Objective:
    """One step on one batch, of which `batch` is this process's share."""
    net, weights = state.net, state.weights
    parameters = dict(net.named_parameters())
    for name, weight in weights.items():
        if parameters[name] is not weight.parameter:
            raise ValueError(f"{name} of the network was replaced since the run began: convert it (astype) before")
    shared = [p for name, p in parameters.items() if name not in weights]
    free_of = [~weight.frozen for weight in weights.values()]
    wanted = state.plan.a1 > 0 or not any(free.any() for free in free_of)  # the gradients at W_hat are, in any case

    def one(values: Sequence[np.ndarray], batch: Share, part: float | None = None) -> LazyPass:
        leaves = {}
        for name, w, free in zip(weights, values, free_of, strict=True):
            leaves[name] = Tensor(w, requires_grad=part is None or bool(free.any()))
        with substituted(net, leaves), drawing(batch.seed, batch.epoch, batch.samples):
            found = net.training_loss(Tensor(batch.x), batch.labels, loss)
        if not isinstance(found, Tensor) or found.data.size != 1:
            given = f"a Tensor {found.shape}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise ValueError(f"the loss gives {given}, wanted a Tensor of one number")
        return LazyPass(found, list(leaves.values()), shared, part)

    def by_micro_batches(values: Sequence[np.ndarray], statistics: Statistics, at_once: bool = False) -> SharedPass:
        def micro(k: int, part: float) -> LazyPass:
            with statistics.of(k):
                return one(values, batch.micro(k), part)

        shapes, dtype = [p.shape for p in shared], batch.x.dtype
        return SharedPass(world, batch.sizes, micro, free_of, shapes, dtype, at_once=at_once)

    def run(values: Sequence[np.ndarray]) -> Evaluated:
        if batch.whole:
            return one(values, batch)
        statistics = Statistics(net, world)
        at = by_micro_batches(values, statistics, at_once=wanted)
        statistics.follow()
        return at

    def run_aside(values: Sequence[np.ndarray]) -> Evaluated:
        with running_averages_kept(net):
            return one(values, batch) if batch.whole else by_micro_batches(values, Statistics(net, world))

    seen = state.method.objective(run_aside, run, list(weights.values()), moment)
    grads = dict(zip(weights, seen.weights, strict=True))
    grads |= dict(zip((n for n in parameters if n not in weights), seen.shared, strict=True))
    free = dict(zip(weights, free_of, strict=True))
    for name, parameter in parameters.items():
        dw = np.ascontiguousarray(grads[name])  # one memory order, so that a resumed run adds in the same order
        v = state.velocity[name]
        parameter.data, state.velocity[name] = state.sgd.update(parameter.data, dw, v, lr, free.get(name), over=True)
        if name in weights:
            state.method.follow(weights[name], state.stage, partial(state.sgd.update, lr=lr))
    net.zero_grad()
    return seen


@contextmanager
def substituted(net: Module, tensors: dict[str, Tensor]) -> Iterator[None]:
    """Inside, `net` computes with `tensors` in the place of its parameters of the same names."""
    parameters = dict(net.named_parameters())
    other = {id(parameters[name]): tensor for name, tensor in tensors.items()}
    places = [  # a shared parameter has several
        (module, attribute, value)
        for _, module in net.named_modules()
        for attribute, value in vars(module).items()
        if id(value) in other
    ]
    try:
        for module, attribute, value in places:
            setattr(module, attribute, other[id(value)])
        yield
    finally:
        for module, attribute, value in places:
            setattr(module, attribute, value)


@contextmanager
def running_averages_kept(net: Module) -> Iterator[None]:
    """Inside, training passes leave the running averages of BatchNorm alone."""
    norms = [m for _, m in net.named_modules() if isinstance(m, BatchNorm2d)]
    kept = [m.momentum for m in norms]
    for module in norms:
        module.momentum = None
    try:
        yield
    finally:
        for module, momentum in zip(norms, kept, strict=True):
            module.momentum = momentum
