"""The reader of PyTorch's files beside PyTorch itself, and on the published network."""

import os
from pathlib import Path

import numpy as np
import pytest
from torch_files import (
    storage,
    tensor,
)

from elq_ref import checkpoint, models
from elq_ref.checkpoint.torch_reader import tensors
from elq_ref.errors import FormatError

FORMATS = pytest.mark.parametrize("form", ["old", "zip"])
VALUES = np.arange(6, dtype="<f4") / 8
DATA = VALUES.tobytes()
MATRIX = {"w": tensor(storage("0", 6), (2, 3), (3, 1))}


def refused(content, reason="."):
    with pytest.raises(FormatError, match=reason) as caught:
        tensors(content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def written(torch, value, path, form):
    torch.save(value, path, _use_new_zipfile_serialization=form == "zip")
    return checkpoint.read(path).tensors


@pytest.mark.torch
@FORMATS
def test_what_pytorch_writes(torch, form, tmp_path):
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(4, 3, 5, 2, generator=generator)
    state = {
        "float": base,
        "double": base.double(),
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        **{str(d): (100 * base).to(d) for d in (torch.int64, torch.int32, torch.int16, torch.int8)},
        "uint8": (100 * base).abs().to(torch.uint8),
        "bool": base > 0,
        "shared": base[1:, ::2],
        "last": base.contiguous(memory_format=torch.channels_last),
        "transposed": base.permute(3, 1, 0, 2),
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(base[0]),
    }
    found = written(torch, state, tmp_path / "a.pth", form)
    assert list(found) == list(state)
    for name, value in state.items():
        value = value.detach()
        expected = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        assert found[name].dtype == expected.dtype
        assert found[name].shape == expected.shape
        np.testing.assert_array_equal(found[name], expected)


@pytest.mark.torch
@FORMATS
def test_a_training_checkpoint_of_pytorch(torch, form, tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.ones(2, 1, 5, 5)).square().mean().backward()
    optimizer.step()
    saved = {"epoch": 3, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "best": 91.5}
    found = written(torch, saved, tmp_path / "a.pth", form)
    assert list(found) == list(net.state_dict())
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(found[name], value.numpy())


@pytest.mark.torch
@FORMATS
def test_a_whole_module_of_pytorch_is_refused(torch, form, tmp_path):
    with pytest.raises(FormatError, match=r"torch\.nn\.modules\.linear\.Linear.*save the state_dict"):
        written(torch, torch.nn.Linear(2, 2), tmp_path / "a.pth", form)


@pytest.mark.torch
@FORMATS
def test_pytorchs_files_cut_off(torch, form, tmp_path):
    path = tmp_path / "a.pth"
    written(torch, {"w": torch.ones(100, 10), "v": torch.ones(7)}, path, form)
    content = path.read_bytes()
    for part in range(20):
        path.write_bytes(content[: len(content) * part // 20])
        with pytest.raises(FormatError, match=str(path)):
            checkpoint.read(path)


@pytest.fixture
def published():
    """The public CIFAR-10 ResNet-20, of the old format."""
    path = Path(os.environ.get("ELQ_DATA", ""), "weights", "resnet20-12fca82f.th")
    if not path.is_file():
        pytest.skip("needs weights/resnet20-12fca82f.th under ELQ_DATA")
    return path


@pytest.mark.data
def test_the_published_network_loads(published):
    net = models.resnet20()
    checkpoint.load(net, published)
    found = checkpoint.read(published).tensors
    assert sum(p.data.size for _, p in net.named_parameters()) == 269_722  # as published
    name = "layer3.2.conv2.weight"
    np.testing.assert_array_equal(net.state_dict()[name], found[f"module.{name}"])


@pytest.mark.data
@pytest.mark.torch
def test_the_published_network_as_pytorch_reads_it(published, torch):
    expected = torch.load(published, map_location="cpu", weights_only=True)["state_dict"]
    found = checkpoint.read(published).tensors
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value.numpy())


@pytest.mark.data
def test_the_published_network_cut_off(published, tmp_path):
    content, path = published.read_bytes(), tmp_path / "cut.th"
    for part in range(20):
        path.write_bytes(content[: len(content) * part // 20])
        with pytest.raises(FormatError):
            checkpoint.read(path)
