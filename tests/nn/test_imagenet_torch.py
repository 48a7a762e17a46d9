"""The networks for ImageNet against torchvision's, from the same weights: outputs, loss, gradients, statistics."""

import numpy as np
import pytest
from imagenet_nets import our_results, ours, theirs, torch_results

from elq_ref import Tensor, models, no_grad

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_torch_thread")]
CLASSES = 10
CASES = [  # model, picture, narrower hidden layers
    ("alexnet", (3, 63, 67), 64),
    ("alexnet_lrn", (3, 65, 63), 64),
    ("googlenet", (3, 64, 50), None),
    ("googlenet_lrn", (3, 40, 64), None),
    ("resnet34", (3, 33, 40), None),
    ("resnet50", (3, 40, 33), None),
    ("vgg16_bn", (3, 37, 32), 64),
]
DROPPING = [case for case in CASES if not case[0].startswith("resnet")]


def pair(name, shape, hidden, dtype="float64", dropout=False):
    net = ours(name, shape, CLASSES, dtype, dropout, hidden)
    return net, theirs(name, net, shape, CLASSES, hidden)


def batch(shape, dtype="float64"):
    rng = np.random.default_rng(7)
    return rng.standard_normal((2, *shape)).astype(dtype), rng.integers(CLASSES, size=2)


def _largest(values):
    return max(float(np.abs(value).max()) for value in values)


def check(got, want):
    """To 1e-9 of the largest of each, or of a thousandth of the largest of its kind: the gradient of a bias in front of
    a BatchNorm is 0 but for rounding.
    """
    assert list(got) == list(want)
    for key, value in want.items():
        kind = [v for k, v in want.items() if k[0] == key[0]]
        largest = max(np.abs(value).max(), 1e-3 * _largest(kind))
        assert np.abs(got[key] - value).max() <= 1e-9 * largest, key


def test_every_network_has_a_case() -> None:
    """resnet18 has its own in test_models_torch, vgg16 that of its whole classifier."""
    assert {case[0] for case in CASES} | {"resnet18", "vgg16"} == {f.__name__ for f in models.IMAGENET}


@pytest.mark.parametrize(("name", "shape", "hidden"), CASES)
def test_float64(name, shape, hidden) -> None:
    net, other = pair(name, shape, hidden)
    x, labels = batch(shape)
    check(our_results(net, x, labels), torch_results(other, x, labels))


@pytest.mark.parametrize(("name", "shape", "hidden"), DROPPING)
def test_with_the_same_masks_of_dropout(name, shape, hidden) -> None:
    net, other = pair(name, shape, hidden, dropout=True)
    x, labels = batch(shape)
    got = our_results(net, x, labels)
    check(got, torch_results(other, x, labels))
    plain = our_results(ours(name, shape, CLASSES, "float64", False, hidden), x, labels)
    assert np.abs(plain["logits 0"] - got["logits 0"]).max() > 1e-3 * np.abs(got["logits 0"]).max()  # it does something


@pytest.mark.parametrize(("name", "shape", "hidden"), CASES)
def test_float32(name, shape, hidden) -> None:
    """What is continuous: our rounding error is at most a few times that of PyTorch's float32, as in test_models_torch.

    A gradient is not: it jumps where rounding moves a ReLU's input past 0 or makes another pixel the largest of a
    window. Of the many thousands that may a few do, in either library, and each moves a share of its picture's part. In
    the mean square 2 % of the tensor leave room for that; a term that is wrong or missing is a multiple of it.
    """
    net, single = pair(name, shape, hidden, "float32")
    x, labels = batch(shape, "float32")
    got = our_results(net, x, labels)
    rough = torch_results(single, x, labels)
    again = ours(name, shape, CLASSES, "float32", False, hidden)  # the statistics of before
    want = torch_results(theirs(name, again, shape, CLASSES, hidden).double(), x.astype(np.float64), labels)
    for key, value in want.items():
        assert got[key].dtype == np.float32
        off, kind = np.abs(got[key] - value), [v for k, v in want.items() if k[0] == key[0]]
        if key.startswith("d "):
            room = max(0.02 * np.linalg.norm(value), 8 * np.linalg.norm(rough[key] - value))
            assert np.linalg.norm(off) <= room + 1e-3 * _largest(kind), key
        else:
            assert off.max() <= 8 * np.abs(rough[key] - value).max() + 100 * 2.0**-24 * _largest(kind), key


@pytest.mark.parametrize(("name", "shape", "hidden"), CASES)
def test_evaluation_has_the_main_head_alone(name, shape, hidden) -> None:
    """Another size of picture than that it was built for, too."""
    net, other = pair(name, shape, hidden, dropout=True)
    x, _ = batch((3, shape[1] + 9, shape[2] + 1))
    with no_grad(), torch.no_grad():
        got, want = net.eval()(Tensor(x)).data, other.eval()(torch.from_numpy(x)).numpy()
    assert np.abs(got - want).max() <= 1e-9 * np.abs(want).max()


@pytest.mark.parametrize(("name", "shape", "place"), [("alexnet", (3, 63, 63), 1), ("vgg16", (3, 32, 32), 0)])
def test_with_the_whole_classifier(name, shape, place) -> None:
    """The gradient of the largest layer (103 million) is compared row by row with dy x^T, which torch's autograd gives
    of a layer, so that VGG-16 takes 3 GB.
    """
    net, other = pair(name, shape, None)
    largest, seen = other.classifier[place], {}
    largest.weight.requires_grad_(False)

    def see(module, given, result):
        result.register_hook(lambda dy: seen.update(dy=dy.numpy(), x=given[0].detach().numpy()))

    largest.register_forward_hook(see)
    x, labels = batch(shape)
    got = our_results(net, x, labels)
    dw = got.pop(f"d classifier.{place}.weight")
    check(got, torch_results(other, x, labels))
    for row in range(len(dw)):
        want = seen["dy"][:, row] @ seen["x"]
        assert np.abs(dw[row] - want).max() <= 1e-9 * np.abs(want).max()
