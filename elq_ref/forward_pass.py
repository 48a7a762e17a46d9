"""One forward pass in evaluation mode: what was computed, from what, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .nn import Module
from .tensor import Tensor, no_grad, watched

INPUT = "input"


@dataclass(frozen=True)
class Operation:
    """One executed operation: `output` = op(`inputs`).

    Values are named: "input", a parameter by its name in the network, or "%0", "%1", ... for what
    operations computed. `shape` is that of the output for one picture, without the batch axis.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    shape: tuple[int, ...]
    attributes: dict[str, Any]


def operations_of(net: Module, input_shape: tuple[int, int, int]) -> list[Operation]:
    """The operations of one forward pass of `net` in evaluation mode on pictures of `input_shape` (C, H, W), in order.

    The network's modes, parameters and statistics are left as they were. Raises ValueError if an operation
    reads a tensor that is neither the input nor a parameter nor the result of an operation, or the batch
    axis is not kept.
    """
    batch = 2  # so that a reshape that mixes pictures shows
    parameters = dict(net.named_parameters())
    dtype = next((p.dtype for p in parameters.values()), np.dtype(np.float32))
    x = Tensor(np.zeros((batch, *input_shape), dtype))
    names = {id(p): name for name, p in parameters.items()} | {id(x): INPUT}
    alive = [x]  # a tensor that is gone could leave its id to another
    found: list[Operation] = []

    def see(op: str, operands: tuple[Tensor, ...], result: Tensor, attributes: dict[str, Any]) -> None:
        unknown = [t.shape for t in operands if id(t) not in names]
        if unknown:
            raise ValueError(f"{op} reads a tensor {unknown[0]} that is no input, parameter or result")
        if not result.shape or result.shape[0] != batch:
            raise ValueError(f"{op} gives {result.shape} for {batch} pictures: the batch axis is not kept")
        output = f"%{len(found)}"
        names[id(result)] = output
        alive.append(result)
        found.append(Operation(op, tuple(names[id(t)] for t in operands), output, result.shape[1:], attributes))

    modes = [(module, module.training) for _, module in net.named_modules()]
    try:
        with no_grad(), watched(see):
            result = net.eval()(x)
    finally:
        for module, training in modes:
            module.training = training
    if not found or names.get(id(result)) != found[-1].output:
        raise ValueError("the network's output is not the result of its last operation")
    return found
