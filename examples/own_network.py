"""A network and pictures of one's own: any uint8 arrays as a Dataset, any Modules as a network."""

import numpy as np

import elq_ref as elq
from elq_ref.nn import AvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential


def stripes(count: int, seed: int) -> elq.datasets.Dataset:
    """Colour pictures of 16x16 with noisy stripes, whose direction is to be told."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    row, column = np.mgrid[:16, :16]
    along = np.stack([row, column, row + column])[labels]  # (N, 16, 16)
    waves = np.sin(along[:, None] * 1.3 + rng.uniform(0, 6, (count, 3, 1, 1)))  # (N, 3, 16, 16), one phase a colour
    images = (128 + 40 * waves + 30 * rng.standard_normal(waves.shape)).clip(0, 255).astype(np.uint8)
    normalization = elq.datasets.Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))  # of values / 255
    return elq.datasets.Dataset(images, labels, ("rows", "columns", "diagonal"), normalization, "stripes")


train, test = stripes(600, seed=1), stripes(300, seed=2)
net = Sequential(
    Conv2d(3, 16, 3, padding=1, bias=False), BatchNorm2d(16), ReLU(), MaxPool2d(2),
    Conv2d(16, 32, 3, padding=1, bias=False), BatchNorm2d(32), ReLU(), AvgPool2d(4),
    Flatten(), Linear(32 * 2 * 2, 3),
)  # fmt: skip
batches = elq.Batches(train, 50)
for _ in elq.fit(net, batches, epochs=2, sgd=elq.SGD(lr=0.05)):
    pass
for _ in elq.quantize(net, batches, elq.Plan("binary", sigma2=(0.3, 0.0), epochs=(1, 1, 1)), elq.SGD(lr=0.02)):
    pass
print(net.summary())
elq.save(net, "stripes.safetensors", test)  # to go on from; elq.load(net, path) reads it into such a network
elq.pack(net, test).save("stripes.elq")
right = (elq.Session("stripes.elq")(test.images).argmax(1) == test.labels).mean()
print(f"binary: {right:.1%} of {len(test)} pictures right")
