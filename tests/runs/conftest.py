"""Short real runs that the tests of this room share."""

from pathlib import Path

import pytest
from made_runs import command

from elq_ref.cli import main


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Short real runs: ternary and binary ELQ, two seeds of TTQ, float."""
    folder = tmp_path_factory.mktemp("runs")
    trained = folder / "float.safetensors"
    assert main(["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "1", "-o", str(trained)]) == 0
    made = {}
    for name, more in (
        ("elq", []),
        ("binary", ["--levels", "binary"]),
        ("ttq", ["--method", "ttq"]),
        ("ttq1", ["--method", "ttq", "--seed", "1"]),
        ("float", ["--method", "float"]),
        ("float1", ["--method", "float", "--seed", "1"]),
    ):
        made[name] = folder / name
        assert main(["reproduce", "digits", str(trained), "--passes", "1.5", "-o", str(made[name]), *more]) == 0
    return made


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "float.safetensors"
    assert main(["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "4", "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def finished(trained, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    assert main(command(trained, out)) == 0
    return out
