"""The networks for ImageNet as networks of this package: graphs, packing, auxiliary heads in training, files, sizes."""

import sys

import numpy as np
import pytest
from children import run_python
from torchvision_module import torchvision

from elq_ref import (
    SGD,
    Batches,
    GraphNet,
    Plan,
    Session,
    State,
    Tensor,
    checkpoint,
    drawing,
    fit,
    models,
    no_grad,
    ops,
    pack,
    quantize,
    ternarize,
    to_graph,
)
from elq_ref.datasets import Dataset, Normalization
from elq_ref.models import build
from elq_ref.nn import Dropout
from elq_ref.nn.module import Module
from elq_ref.training.evaluate import reestimate

LEAST = {"alexnet": 63, "alexnet_lrn": 63, "googlenet": 15, "googlenet_lrn": 31, "vgg16": 32, "vgg16_bn": 32}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Hidden linear layers of 32 in the place of 4096, which would take a gigabyte."""
    for module in ("alexnet", "vgg"):
        monkeypatch.setattr(sys.modules[f"elq_ref.models.{module}"], "HIDDEN", 32)


def made(name: str, shape: tuple[int, int, int], classes: int = 5) -> Module:
    """With statistics that are not those of the start."""
    net, rng = build(name, shape, classes, seed=2), np.random.default_rng(3)
    for key, buffer in net.named_buffers():
        buffer[...] = rng.uniform(0.5, 2, buffer.shape) if key.endswith("var") else rng.normal(0, 0.3, buffer.shape)
    return net


def pictures(shape: tuple[int, int, int], count: int = 6) -> Dataset:
    rng = np.random.default_rng(1)
    images, norm = rng.integers(0, 256, (count, *shape), np.uint8), Normalization((0.5,) * 3, (0.25,) * 3)
    return Dataset(images, np.arange(count) % 5, tuple("abcde"), norm, "noise")


@pytest.mark.parametrize("name", [f.__name__ for f in models.IMAGENET])
def test_the_graph_and_the_packed_file_compute_the_main_head(name):
    """The graph has the bits; the packed network, which computes in another order, W_hat's outputs."""
    shape = (3, 64, 65)
    net, x = made(name, shape).eval(), np.random.default_rng(0).standard_normal((2, 3, 64, 65)).astype(np.float32)
    for weight in net.quantizable().values():
        codes, alpha = ternarize(weight.data)
        weight.data = alpha * codes
    again = GraphNet(to_graph(net, shape), net.state_dict()).eval()
    assert list(again.quantizable()) == list(net.quantizable())
    with no_grad():
        want = net(Tensor(x)).data
        assert again(Tensor(x)).data.tobytes() == want.tobytes()
    packed = pack(net, input_shape=shape, normalization=((0.5,) * 3, (0.25,) * 3), classes=tuple("abcde"))
    assert sorted(packed.layers) == sorted(n.removesuffix(".weight") for n in net.quantizable())
    exact = made(name, shape)
    exact.load_state_dict(net.state_dict())
    with no_grad():
        double = exact.astype(np.float64).eval()(Tensor(x.astype(np.float64))).data
    rounding = np.abs(want - double).max()
    assert np.abs(Session(packed)(x) - double).max() <= 16 * rounding + 1e-6 * np.abs(double).max()


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_the_smallest_picture(name, least):
    """It works at the least size, given in either direction; below it the error names the size."""
    for shape in ((3, least, least + 20), (3, least + 20, least)):
        net = build(name, shape, 5).eval()
        with no_grad():
            assert net(Tensor(np.ones((1, *shape), np.float32))).shape == (1, 5)
    with pytest.raises(ValueError, match=rf"{name} wants pictures of at least {least}x{least}, given {least - 1}x80"):
        build(name, (3, least - 1, 80), 5)
    with no_grad(), pytest.raises(ValueError, match=r"does not fit|sees no pixel"):
        net(Tensor(np.ones((1, 3, least - 1, 80), np.float32)))


def test_resnets_take_any_picture():
    for name in ("resnet34", "resnet50"):
        with no_grad():
            assert build(name, (1, 1, 2), 5).eval()(Tensor(np.ones((1, 1, 1, 2), np.float32))).shape == (1, 5)


def test_the_loss_of_training_has_the_heads():
    """L = L(main) + 0.3 L(aux1) + 0.3 L(aux2), by hand; a loss of one's own is asked of each head."""
    net, x, labels = (
        made("googlenet", (3, 32, 32)),
        np.random.default_rng(0).standard_normal((4, 3, 32, 32)),
        np.arange(4),
    )
    for _, module in net.named_modules():
        if isinstance(module, Dropout):
            module.p = 0.0
    net, asked = net.astype(np.float64).train(), []

    def loss(outputs, labels):
        asked.append(outputs.data)
        return ops.softmax_cross_entropy(outputs, labels)

    with drawing(0, 0, labels):
        total = net.training_loss(Tensor(x), labels, loss).item()
    losses = [
        np.mean([np.log(np.exp(z).sum()) - z[k] for z, k in zip(logits, labels, strict=True)]) for logits in asked
    ]
    assert len(losses) == 3
    np.testing.assert_allclose(total, losses[0] + 0.3 * losses[1] + 0.3 * losses[2], rtol=1e-12)
    with drawing(0, 0, labels):
        np.testing.assert_array_equal(net(Tensor(x)).data, asked[0])


def test_elq_trains_the_heads_and_quantizes_what_is_deployed():
    """They stay float and move; a run that is resumed has the same bits; the packed file has nothing of them."""
    data = pictures((3, 32, 32))
    batches, plan = Batches(data, 3), Plan(sigma2=(0.0,), epochs=(0.5, 1.0))
    states = []
    for resumed in (False, True):
        net = build("googlenet", (3, 32, 32), 5, seed=1)
        before = net.aux1.fc2.weight.data
        for step in quantize(net, batches, plan, SGD(0.01)):
            if resumed and step.step == 1:
                step.state.save("run.safetensors")
                break
        if resumed:
            net = build("googlenet", (3, 32, 32), 5, seed=4)
            state = State.load("run.safetensors", net)
            *_, step = quantize(net, batches, plan, state=state)
        assert not any(name.startswith("aux") for name in step.state.weights)
        assert np.abs(net.aux1.fc2.weight.data - before).max() > 0
        assert len(np.unique(net.aux1.fc2.weight.data)) > 100
        assert len(np.unique(net.fc.weight.data)) <= 3
        states.append({n: a.tobytes() for n, a in net.state_dict().items()})
    assert states[0] == states[1]
    reestimate(net, batches, 2)
    assert (net.aux1.conv.bn.running_var > 0).all()  # what evaluation does not compute keeps what it has
    packed = pack(net.eval(), data, quantized=step.state.codes())
    assert not any("aux" in node.name for node in packed.graph.nodes)


@pytest.fixture(autouse=True)
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_files_with_and_without_heads():
    """What torchvision saves of a network whose heads were taken off; one head alone is an error."""
    data = pictures((3, 32, 32))
    net = made("googlenet", (3, 32, 32))
    checkpoint.save(net, "all.safetensors", data)
    again = build("googlenet", (3, 32, 32), 5)
    file = checkpoint.load(again, "all.safetensors")
    assert [a.tobytes() for a in again.state_dict().values()] == [a.tobytes() for a in net.state_dict().values()]
    main = {n: t for n, t in file.tensors.items() if not n.startswith("aux")}
    checkpoint.write("main.safetensors", main, {})
    checkpoint.load(again, "main.safetensors")
    assert sorted(again.state_dict()) == sorted(main)
    for step in fit(again.train(), Batches(data, 3), 1, SGD(0.01)):
        assert np.isfinite(step.loss_hat)
    with pytest.raises(ValueError, match="has no auxiliary heads"):
        again.heads(Tensor(data.images[:1].astype(np.float32)))
    half = {n: t for n, t in file.tensors.items() if not n.startswith("aux2")}
    checkpoint.write("half.safetensors", half, {})
    fresh = build("googlenet", (3, 32, 32), 5)
    with pytest.raises(ValueError, match=r"half.safetensors: the tensors do not fit GoogLeNet: missing: aux2"):
        checkpoint.load(fresh, "half.safetensors")
    checkpoint.write("bad.safetensors", main | {"fc.bias": np.full(5, np.nan, np.float32)}, {})
    with pytest.raises(ValueError, match=r"fc.bias has 5 value"):
        checkpoint.load(fresh, "bad.safetensors")
    assert fresh.aux1 is not None


LOADS = """
import sys
import numpy as np
from elq_ref import Tensor, checkpoint, models, no_grad
name, path = sys.argv[1:]
net = models.build(name, (3, 64, 64), 5)
checkpoint.load(net, path)
with no_grad():
    np.save(path + ".npy", net.eval()(Tensor(np.load("x.npy"))).data)
assert "torch" not in sys.modules
"""


@pytest.mark.torch
@pytest.mark.parametrize("name", ["googlenet", "resnet34", "resnet50"])
def test_checkpoints_of_torchvision_load_without_pytorch(name, tmp_path):
    """.pth files with statistics as of a trained network; what it computes of pictures is torchvision's."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    more = {"init_weights": False} if name == "googlenet" else {}
    theirs = getattr(torchvision().models, name)(weights=None, num_classes=5, **more)
    torch.manual_seed(0)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.num_batches_tracked.fill_(450_360)
    path = tmp_path / f"{name}.pth"
    torch.save(theirs.state_dict(), path)
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    done = run_python(f"import os; os.chdir({str(tmp_path)!r})\n{LOADS}", name, str(path))
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        single = theirs.eval()(torch.from_numpy(x)).numpy()
        want = theirs.double()(torch.from_numpy(x).double()).numpy()
    assert np.abs(np.load(f"{path}.npy") - want).max() <= 8 * np.abs(single - want).max()


def test_sizes_are_those_that_torchvision_states(monkeypatch):
    """num_params of its weights, which count no auxiliary heads; 138.4 million of VGG-16 are in its paper."""
    monkeypatch.undo()
    stated = {"alexnet": 61_100_840, "googlenet": 6_624_904, "resnet34": 21_797_672, "resnet50": 25_557_032}
    for name, count in stated.items():
        net = models.MODELS[name]()
        main = [p.data.size for n, p in net.named_parameters() if not n.startswith(("aux1", "aux2"))]
        assert sum(main) == count, name
    net = models.vgg16()
    assert sum(p.data.size for _, p in net.named_parameters()) == 138_357_544
    assert net.features[0].weight.data.std() == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.05)
    assert net.classifier[0].weight.data.std() == pytest.approx(0.01, rel=0.01)


def test_what_they_start_with():
    """As torchvision's: bounds and deviations from the shapes, by hand."""
    net = models.alexnet(classes=5)
    assert net.features[3].weight.data.max() == pytest.approx(1 / np.sqrt(64 * 25), rel=1e-3)
    assert -net.features[3].bias.data.min() == pytest.approx(1 / np.sqrt(64 * 25), rel=0.1)
    net = models.resnet50(classes=5)
    assert net.layer4[0].conv1.weight.data.std() == pytest.approx(np.sqrt(2 / 512), rel=0.02)  # fan_out
    assert net.fc.weight.data.max() == pytest.approx(1 / np.sqrt(2048), rel=1e-2)
    net = models.googlenet(classes=5)
    assert net.inception5b.branch1.conv.weight.data.std() == pytest.approx(0.01, rel=0.01)
    net = models.alexnet_lrn(classes=5)
    assert [float(net.features[k].bias.data[0]) for k in (0, 4, 8, 10, 12)] == [0, 1, 0, 1, 1]
