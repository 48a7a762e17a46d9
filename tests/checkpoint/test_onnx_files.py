"""ONNX files as checkpoints: what they are known by, and what export_onnx says of pictures and classes."""

import numpy as np
import pytest

import elq_ref as elq
from elq_ref import checkpoint
from elq_ref.checkpoint.networks import is_onnx
from elq_ref.errors import FormatError

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    _, test = elq.datasets.digits()
    net = elq.models.digits_cnn()
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    elq.exchange.export_onnx(elq.pack(net, test, quantized={"fc.weight": elq.ternarize(net.fc.weight.data)}), path)
    return path


def test_what_the_file_says_of_its_pictures_is_read(exported):
    _, test = elq.datasets.digits()
    file = checkpoint.read(exported)
    assert (file.onnx, file.info) == (True, elq.NetworkInfo.of(test))


def test_a_file_is_known_by_its_name_or_its_beginning(exported, tmp_path):
    other = tmp_path / "net.bin"
    other.write_bytes(exported.read_bytes())
    _, test = elq.datasets.digits()
    elq.save(elq.models.digits_cnn(), tmp_path / "net.safetensors", test)
    assert [is_onnx(path) for path in (exported, other, tmp_path / "net.safetensors")] == [True, True, False]
    assert checkpoint.read(other).onnx
    assert not checkpoint.read(tmp_path / "net.safetensors").onnx


def test_names_that_modules_cannot_have_are_named(tmp_path):
    from onnx_files import model, node, saved

    rng = np.random.default_rng(0)
    nodes = [node("Flatten", "x", "f"), node("Gemm", "f forward.weight", "y", transB=1)]
    arrays = {"forward.weight": rng.standard_normal((5, 3 * 9 * 8)).astype(np.float32)}
    with pytest.raises(FormatError, match=r"net\.onnx: .*'forward'"):
        elq.from_onnx(saved(tmp_path / "net.onnx", model(nodes, arrays)))
