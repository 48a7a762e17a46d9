"""The benchmarks of speed: what they time beside each other is one function, and what never ends is given up."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from torchvision_module import torchvision

from elq_ref import Session, Tensor, checkpoint, nn, ops, pack
from elq_ref.timing.worker import pictures

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from benchmarks.speed import (  # noqa: E402
    accumulation,
    elq_step,
    file_sizes,
    inference_linear,
    inference_vectors,
    step_memory,
    steps,
    train_step,
)
from benchmarks.speed.networks import add_networks, sized  # noqa: E402
from benchmarks.speed.peers import Peer, PeerFailed  # noqa: E402


@pytest.mark.torch
def test_a_step_with_auxiliary_heads_is_pytorchs():
    torchvision()
    network = sized("googlenet", 63)._replace(batch=2, classes=10)
    losses = {}
    for peer in (steps.OURS, steps.EAGER):
        step = steps.make_step(peer, "googlenet", network, 1)
        step.drop(False)
        losses[peer] = [step.run(), step.run()]
        step.drop(True)
        assert step.run() != step.run()
    (first, second), theirs = losses.values()
    assert first == pytest.approx(theirs[0], rel=1e-5)
    assert second == pytest.approx(theirs[1], rel=0.02)  # BatchNorm over 8 values makes much of a last bit
    assert first > 1.5 * np.log(10)  # three heads, of which two count 0.3
    assert second < 0.8 * first


@pytest.mark.torch
def test_a_step_by_micro_batches_is_pytorchs_with_as_many(tmp_path):
    torchvision()
    network = sized("resnet18", 64)._replace(classes=10)
    files = {}
    for name, run, micro_batch in (
        ("mine", accumulation.ours, 4),
        ("theirs", accumulation.torchs, 4),
        ("other", accumulation.torchs, 8),
    ):
        files[name] = tmp_path / f"{name}.safetensors"
        asked = accumulation.Asked("resnet18", network, 8, micro_batch)
        assert run(asked, files[name])["seconds"] > 0
    mine, theirs, other = (checkpoint.read(file).tensors for file in files.values())
    assert accumulation.apart(asked, mine, theirs)[0] < 0.01
    assert accumulation.apart(asked, mine, other)[0] > 0.1


def test_steps_are_timed_and_their_memory_is_measured(monkeypatch, tmp_path, capsys):
    for driver in (train_step, step_memory):
        monkeypatch.setattr(driver, "PEERS", (steps.OURS,))
    out = tmp_path / "out.txt"
    words = ["--networks", "lenet5", "--threads", "1", "--rounds", "2", "-o", str(out)]
    monkeypatch.setattr(sys, "argv", ["x", *words])
    train_step.main()
    (found,) = json.loads(out.with_suffix(".json").read_text())["figures"]
    assert (found["network"], found["threads"], found["batch"]) == ("lenet5", 1, 128)
    assert found[steps.OURS]["losses"][2] == pytest.approx(2.68347, abs=1e-4)  # benchmarks/results/train_step.txt
    assert "LeNet-5, 1x28x28, batch 128, 2 turns of 10 step(s)" in out.read_text()
    if step_memory.CLEAR.exists():
        step_memory.main()
        peaks = json.loads(out.with_suffix(".json").read_text())["figures"]["peaks_mb"]["lenet5"][steps.OURS]
        assert len(peaks) == 2
        assert all(5 < peak < 60 for peak in peaks)


def test_an_elq_step_is_timed_beside_a_float_one(monkeypatch, tmp_path, capsys):
    words = ["--networks", "lenet5", "--threads", "1", "--rounds", "9", "-o", str(tmp_path / "out.txt")]
    monkeypatch.setattr(sys, "argv", ["x", *words])
    elq_step.main()
    (found,) = json.loads((tmp_path / "out.json").read_text())["figures"]
    assert (found["network"], found["threads"]) == ("lenet5", 1)
    assert found["float_seconds"][0] > 0
    two = found["ratios"]["sign computed, a1 = 0.5: two passes"]
    assert two["steps"] == 9
    assert 1 < two["ratio"][0] < 9
    assert "float32: LeNet-5 1x28x28 batch 128." in (tmp_path / "out.txt").read_text()


def test_a_peer_that_does_not_answer_is_given_up():
    peer = Peer(["elq_step", "--work"], 1)  # it takes longer to start
    with pytest.raises(PeerFailed, match=r"^given up after 0 s$"):
        peer.ask("", 0.01)
    peer.close()
    assert peer.process.returncode


@pytest.mark.parametrize("levels", ["ternary", "binary"])
def test_onnxruntimes_two_bits_are_the_codes(levels, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(inference_linear, "SIZE", 256)
    monkeypatch.setattr(inference_linear, "PICTURE", (4, 8, 8))
    network = inference_linear.chain(levels, 2)
    x = pictures((4, 8, 8), 3)
    expected = Session(network)(network.metadata.normalization.apply(x))
    try:
        found = inference_vectors.two_bit(network, 1).prepare(x)()
    except Exception as error:
        pytest.skip(f"onnxruntime has no such kernel here: {error}")
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()  # its activations have 8 bits


class Windows(nn.Module):
    """Every way in which the networks for ImageNet take maxima, and a mean over parts."""

    def __init__(self) -> None:
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(8 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = ops.relu(self.conv(x))
        padded = ops.max_pool(ops.pad(x, (0, 0, 1, 1), (0, 0, 1, 1)), 3, 2)
        x = ops.concat([padded, ops.max_pool(x, 3, 2, ceil_mode=True)])
        x = ops.adaptive_avg_pool(ops.max_pool(x, 3, 1, padding=1), 2)
        return self.fc(ops.reshape(x, (x.shape[0], -1)))


@pytest.mark.torch
def test_pytorch_is_given_the_packed_network():
    torch = pytest.importorskip("torch")
    from benchmarks.speed.inference_peers import Network

    network = pack(Windows(), {}, input_shape=(3, 12, 12), normalization=([0.5] * 3, [0.2] * 3), classes="abc")
    x = network.metadata.normalization.apply(pictures((3, 12, 12), 2))
    with torch.no_grad():
        found = Network(network)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, Session(network)(x), rtol=1e-4, atol=1e-5)


def test_files_take_what_their_codes_take():
    found = file_sizes.sizes("resnet20", 224)
    weights = 268_336
    assert found["float32"] == 4 * weights
    assert weights / 5 < found["ternary"] < weights / 5 + 20_000
    assert weights / 8 < found["binary"] < weights / 8 + 20_000


def test_pictures_that_are_too_small_for_a_network_are_refused(capsys):
    parser = argparse.ArgumentParser()
    add_networks(parser, "--networks", ["alexnet"])
    assert sized("alexnet", parser.parse_args(["--size", "64"]).size).picture == (3, 64, 64)
    assert sized("lenet5", 64).picture == (1, 28, 28)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--size", "62"])
    assert ended.value.code == 2
    assert "62: wanted at least 63 pixels" in capsys.readouterr().err
