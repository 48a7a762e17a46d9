"""The small models and ResNet-18 against the same written in PyTorch: output and all parameter gradients.

The weights are ours, loaded by name, so names, order and shapes are compared too. float64 agrees to 1e-10 of
a tensor's largest value; in float32 our rounding error is measured beside PyTorch's own.
"""

import numpy as np
import pytest
from trained_looking import unlike_the_start

from elq_ref import Tensor, models, ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn, F = torch.nn, torch.nn.functional

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_torch_thread")]


class LeNet5(nn.Module):
    def __init__(self, input_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, width = input_shape
        least = min(height, width)
        first, second = 2 if least < 32 else 0, 2 if least < 20 else 0
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=first)
        self.conv2 = nn.Conv2d(6, 16, 5, padding=second)
        with torch.no_grad():
            inputs = self.features(torch.zeros(1, *input_shape)).numel()
        self.fc1 = nn.Linear(inputs, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def features(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(self.features(x))))))


class Block(nn.Module):
    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.added = outputs - channels

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.added:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added // 2, self.added // 2))
        return F.relu(y + x)


class ResNet(nn.Module):
    def __init__(self, depth: int, input_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        n = (depth - 2) // 6
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(n)))
        self.layer2 = nn.Sequential(*(Block(16 if i == 0 else 32, 32, 2 if i == 0 else 1) for i in range(n)))
        self.layer3 = nn.Sequential(*(Block(32 if i == 0 else 64, 64, 2 if i == 0 else 1) for i in range(n)))
        self.linear = nn.Linear(64, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


class DigitsCNN(nn.Module):
    def __init__(self, input_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(input_shape[0], 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.conv3, self.bn3 = nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.fc(F.relu(self.bn3(self.conv3(x))).mean((2, 3)))


class VGGSmall(nn.Module):
    def __init__(self, input_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, width = input_shape
        for position, outputs in enumerate((128, 128, 256, 256, 512, 512), 1):
            self.add_module(f"conv{position}", nn.Conv2d(channels, outputs, 3, padding=1, bias=False))
            self.add_module(f"bn{position}", nn.BatchNorm2d(outputs))
            channels = outputs
        self.fc = nn.Linear(512 * (height // 8) * (width // 8), classes)

    def forward(self, x):
        for first in (1, 3, 5):
            for i in (first, first + 1):
                x = F.relu(self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x)))
            x = F.max_pool2d(x, 2)
        return self.fc(x.flatten(1))


class BlockB(nn.Module):
    """A block of torchvision's resnet18, whose names these are."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride == 2:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    def __init__(self, input_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BlockB(64, 64, 1), BlockB(64, 64, 1))
        self.layer2 = nn.Sequential(BlockB(64, 128, 2), BlockB(128, 128, 1))
        self.layer3 = nn.Sequential(BlockB(128, 256, 2), BlockB(256, 256, 1))
        self.layer4 = nn.Sequential(BlockB(256, 512, 2), BlockB(512, 512, 1))
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def theirs(name: str, input_shape: tuple[int, int, int], classes: int):
    if name == "resnet18":
        return ResNet18(input_shape, classes)
    if name.startswith("resnet"):
        return ResNet(int(name.removeprefix("resnet")), input_shape, classes)
    return {"lenet5": LeNet5, "digits_cnn": DigitsCNN, "vgg_small": VGGSmall}[name](input_shape, classes)


CASES = [  # model, picture, classes, batch, training
    ("lenet5", (1, 28, 28), 10, 4, True),
    ("lenet5", (3, 32, 35), 7, 2, True),
    ("lenet5", (1, 8, 8), 10, 3, False),
    ("digits_cnn", (1, 8, 8), 10, 6, True),
    ("digits_cnn", (3, 7, 10), 5, 3, False),
    ("resnet20", (3, 32, 32), 10, 4, True),
    ("resnet20", (1, 13, 18), 3, 3, True),
    ("resnet20", (3, 32, 32), 10, 2, False),
    ("vgg_small", (3, 16, 19), 10, 2, True),
    ("resnet18", (3, 64, 50), 11, 2, True),
    ("resnet32", (3, 16, 16), 10, 2, True),
    ("resnet44", (3, 16, 16), 10, 2, True),
    ("resnet56", (3, 12, 12), 10, 2, True),
    ("resnet110", (3, 8, 8), 10, 2, True),
]


def test_every_model_has_a_case() -> None:
    """The other networks for ImageNet have theirs in test_imagenet_torch."""
    assert {case[0] for case in CASES} == {f.__name__ for f in (*models.SMALL, models.resnet18)}


def our_results(net, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Logits, loss, gradients of every parameter and of the pictures, running statistics."""
    images = Tensor(x, requires_grad=True)
    logits = net(images)
    loss = ops.softmax_cross_entropy(logits, labels)
    loss.backward()
    grads = {f"d {n}": p.grad for n, p in net.named_parameters()} | {"d images": images.grad}
    return {"logits": logits.data, "loss": loss.data, **grads, **{f"after {n}": b for n, b in net.named_buffers()}}


def torch_results(net, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The same, by the same names."""
    images = torch.tensor(x, requires_grad=True)
    logits = net(images)
    loss = F.cross_entropy(logits, torch.tensor(labels))
    loss.backward()
    grads = {f"d {n}": p.grad for n, p in net.named_parameters()} | {"d images": images.grad}
    after = {f"after {n}": b for n, b in net.named_buffers() if "num_batches" not in n}
    return {k: v.detach().numpy() for k, v in ({"logits": logits, "loss": loss} | grads | after).items()}


def pair(name: str, input_shape: tuple[int, int, int], classes: int, training: bool, dtype: str):
    """Our model and PyTorch's with equal weights, and running statistics that are not their initial values."""
    ours = models.build(name, input_shape, classes, seed=3).astype(np.dtype(dtype))
    unlike_the_start(ours, 0.2)
    other = theirs(name, input_shape, classes).to(getattr(torch, dtype))
    state = other.state_dict()
    names = [key for key in state if "num_batches" not in key]
    assert names == list(ours.state_dict())
    other.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()}, strict=False)
    return ours.train(training), other.train(training)


@pytest.mark.parametrize(("name", "input_shape", "classes", "batch", "training"), CASES)
def test_float64(name: str, input_shape: tuple, classes: int, batch: int, training: bool) -> None:
    ours, other = pair(name, input_shape, classes, training, "float64")
    rng = np.random.default_rng(7)
    x, labels = rng.standard_normal((batch, *input_shape)), rng.integers(classes, size=batch)
    got, want = our_results(ours, x, labels), torch_results(other, x, labels)
    assert list(got) == list(want)
    for key, value in want.items():
        scale = max(np.abs(value).max(), 1e-3 * max(np.abs(v).max() for k, v in want.items() if k[0] == key[0]))
        assert np.abs(got[key] - value).max() <= 1e-10 * scale, key


@pytest.mark.parametrize(("name", "input_shape", "classes", "batch", "training"), CASES[:10])
def test_float32(name: str, input_shape: tuple, classes: int, batch: int, training: bool) -> None:
    """Against PyTorch's float64 result: our rounding error is at most a few times that of PyTorch's float32.

    Both are sums of the same products in another order, with errors of the same distribution. The factor 8
    and the floor of 100 u of the kind's largest value leave room for order and luck; a wrong term is
    thousands of times more.
    """
    ours, single = pair(name, input_shape, classes, training, "float32")
    _, double = pair(name, input_shape, classes, training, "float32")
    rng = np.random.default_rng(7)
    x, labels = rng.standard_normal((batch, *input_shape)).astype(np.float32), rng.integers(classes, size=batch)
    got = our_results(ours, x, labels)
    want = torch_results(double.double(), x.astype(np.float64), labels)
    rough = torch_results(single, x, labels)
    for key, value in want.items():
        assert got[key].dtype == np.float32
        floor = 100 * 2.0**-24 * max(np.abs(v).max() for k, v in want.items() if k[0] == key[0])
        assert np.abs(got[key] - value).max() <= 8 * np.abs(rough[key] - value).max() + floor, key


def test_resnet18_has_the_parameters_of_torchvisions_and_keeps_its_output_packed() -> None:
    """11,689,512 is what torchvision states for resnet18; both sides of the packed file at the full size."""
    from elq_ref import binarize, pack, ternarize
    from elq_ref.runtime import Session

    ours, other = pair("resnet18", (3, 224, 224), 1000, False, "float32")
    assert sum(p.data.size for _, p in ours.named_parameters()) == 11_689_512
    weights = {name: p.data for name, p in ours.named_parameters() if p.data.ndim > 1}
    assert len(weights) == 21
    quantized = {n: (ternarize if k % 2 else binarize)(w) for k, (n, w) in enumerate(weights.items())}
    other.load_state_dict({n: torch.tensor(alpha * codes) for n, (codes, alpha) in quantized.items()}, strict=False)
    normalization = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    packed = pack(
        ours,
        quantized,
        input_shape=(3, 224, 224),
        normalization=normalization,
        classes=[f"class {k}" for k in range(1000)],
    )
    assert packed.weight_bytes < sum(w.size for w in weights.values()) / 4 + 100
    x = np.random.default_rng(9).standard_normal((1, 3, 224, 224)).astype(np.float32)
    with torch.no_grad():
        single = other(torch.tensor(x)).numpy()
        want = other.double()(torch.tensor(x, dtype=torch.float64)).numpy()
    got = Session(packed)(x)
    assert np.abs(got - want).max() <= 8 * np.abs(single - want).max()  # as test_float32 bounds it
