"""A differentiable operation of one's own: `record` puts it on the tape, `check_grads` says whether it is right."""

import numpy as np

import elq_ref as elq
from elq_ref.nn import Conv2d, GlobalAvgPool, Linear, Module, Sequential


def swish(x: elq.Tensor) -> elq.Tensor:
    """y = x s with s = 1 / (1 + exp(-x)), so that dy/dx = s + y (1 - s)."""
    s = 1 / (1 + np.exp(-x.data))
    y = x.data * s
    return elq.record("swish", y, (x,), lambda dy: [dy * (s + y * (1 - s))])


class Swish(Module):
    """The operation as a part of a network."""

    def forward(self, x: elq.Tensor) -> elq.Tensor:
        return swish(x)


deviation = elq.check_grads(swish, [np.linspace(-4, 4, 9)])  # against central differences, in float64
print(f"largest deviation of the gradient: {deviation:.1e}")

train, test = elq.datasets.digits()
net = Sequential(Conv2d(1, 16, 3), Swish(), Conv2d(16, 32, 3, stride=2), Swish(), GlobalAvgPool(), Linear(32, 10))
for _ in elq.fit(net, elq.Batches(train, 32), epochs=8, sgd=elq.SGD(lr=0.1)):
    pass
print(f"{elq.accuracy(net, test):.1%} of {len(test)} test digits right")

# It trains and quantizes like any other. A packed file holds a fixed set of operations, and says so:
try:
    elq.pack(net, test, quantized={})
except ValueError as error:
    print(f"not packed: {error}")
