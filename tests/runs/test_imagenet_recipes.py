"""`elq reproduce imagenet-NAME`: every recipe on a folder of small pictures, from weights to the packed file."""

import json
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from made_runs import MADE, one_line
from photographs import photographs

from elq_ref import checkpoint, datasets
from elq_ref.cli import main
from elq_ref.datasets import RandomResizedCrop
from elq_ref.models import build
from elq_ref.pictures import read_picture
from elq_ref.runs import recipes
from elq_ref.runs import run as run_module
from elq_ref.runtime import PackedNetwork, Session

RECIPES = [name for name in recipes.EXPERIMENTS if name.startswith("imagenet-")]
NAMES = ("alexnet", "googlenet", "resnet18", "resnet34", "resnet50", "vgg16", "vgg16_bn")
CLASSES = ("n01", "n02", "n03")
SIZE = {"alexnet": 63}
SHORT = ("sigma2=0", "epochs=1,1")  # two stages


@pytest.fixture(autouse=True)
def micro(tmp_path, monkeypatch):
    """The recipes for pictures of 32 pixels in batches of 6, and narrow layers; no waiting for the disk."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("elq_ref.files.os.fsync", lambda _: None)
    alexnet, resnet, vgg = (sys.modules[f"elq_ref.models.{name}"] for name in ("alexnet", "resnet", "vgg"))
    for module in (alexnet, vgg):
        monkeypatch.setattr(module, "HIDDEN", 32)
    monkeypatch.setattr(resnet, "CHANNELS", tuple(n // 8 for n in resnet.CHANNELS))
    monkeypatch.setattr(vgg, "CHANNELS", tuple(tuple(n // 8 for n in group) for group in vgg.CHANNELS))
    for name in RECIPES:
        usual = recipes.EXPERIMENTS[name]
        size = SIZE.get(usual.model, 32)
        how = replace(usual.photographs, input_shape=(3, size, size), resize=f"crop {size + 4}")
        monkeypatch.setitem(recipes.EXPERIMENTS, name, replace(usual, batch_size=6, quick=0.5, photographs=how))


def imagenet(tmp_path, flat=False):
    root = photographs(tmp_path / "imagenet", CLASSES, each=5, kind="JPEG")
    if flat:
        lines = []
        for path in sorted((root / "val").glob("*/*")):
            name = f"v{3 * int(path.stem) + CLASSES.index(path.parent.name):02}.JPEG"
            path.rename(root / "val" / name)
            lines.append(f"{name} {path.parent.name}")
        for name in CLASSES:
            (root / "val" / name).rmdir()
        (root / "val.txt").write_text("\n".join(lines))
    return root


def trained(tmp_path, name):
    """A file of weights and nothing else, as torchvision's are; of resnet18 one by PyTorch where it is installed."""
    size = SIZE.get(name, 32)
    state = build(name, (3, size, size), 3, seed=1).state_dict()
    path = tmp_path / f"{name}.safetensors"
    checkpoint.write(path, state, {})
    if name != "resnet18" or find_spec("torch") is None:
        return path
    import torch

    path = tmp_path / f"{name}.pth"
    torch.save({key: torch.from_numpy(array) for key, array in state.items()}, path)
    return path


def command(tmp_path, name, file, *more):
    data, out = str(tmp_path / "imagenet"), str(tmp_path / "run")
    return ["reproduce", f"imagenet-{name}", str(file), "--data", data, "-o", out, *more, "--set", *SHORT]


def test_there_is_one_for_each_network_of_torchvision():
    assert sorted(RECIPES) == [f"imagenet-{name}" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_from_the_weights_to_the_packed_file(tmp_path, name, capsys):
    imagenet(tmp_path)
    levels = "binary" if name in ("resnet18", "vgg16") else "ternary"
    more = (trained(tmp_path, name), "--quick", "--levels", levels)
    assert main([*command(tmp_path, name, *more), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["total"], result["packed_as_float"]) == (15, [])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["recipe"], config["model"], config["levels"]) == (f"imagenet-{name}", name, levels)
    assert (
        config["command"]
        == f"elq reproduce imagenet-{name} --method elq --seed 0 --levels {levels} --quick --set {' '.join(SHORT)}"
    )
    assert sum(config["plan"]["epochs"]) == pytest.approx(0.5)
    assert config["sgd"]["lr"] == recipes.EXPERIMENTS[f"imagenet-{name}"].sgd.lr
    packed = PackedNetwork.load(tmp_path / "run" / "net.elq")
    half, usual = ((0.5,) * 3, (0.5,) * 3), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert packed.metadata.normalization == datasets.Normalization(*(half if name == "googlenet" else usual))
    assert packed.metadata.classes == CLASSES
    size = SIZE.get(name, 32)
    paths = sorted((tmp_path / "imagenet" / "val").glob("*/*"))
    pictures = np.stack([read_picture(path, (3, size, size), f"crop {size + 4}") for path in paths])
    right = Session(packed)(pictures).argmax(1) == [CLASSES.index(path.parent.name) for path in paths]
    assert right.sum() == result["correct"]
    if name == "alexnet" and find_spec("matplotlib") is not None:
        assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "report")]) == 0
        assert (tmp_path / "report" / "index.html").is_file()


@pytest.mark.parametrize(("more", "rate"), [((), 1e-2 * 4 / 6), (("--lr", "0.25"), 0.25)])
def test_it_trains_on_random_parts_of_the_pictures(tmp_path, monkeypatch, more, rate):
    """The recipe is for six pictures a step here, with 0.01 as in full size."""
    seen = {}
    monkeypatch.setattr("elq_ref.cli.reproduce.carry_out", lambda run, resume: seen.update(run=run) or {})
    monkeypatch.setattr("elq_ref.cli.reproduce.result_text", lambda *_: "")
    imagenet(tmp_path, flat=True)
    assert main(command(tmp_path, "resnet18", trained(tmp_path, "resnet18"), "--batch-size", "4", *more)) == 0
    run = seen["run"]
    assert run.batches.augment == RandomResizedCrop((0.08, 1.0), flip=True)
    assert (run.batches.batch_size, len(run.batches.dataset), len(run.judge), len(run.test)) == (4, 15, 3, 15)
    assert run.test.labels.tolist() == [k % 3 for k in range(15)]
    assert sum(run.plan.epochs) == pytest.approx(recipes.PASSES)  # SHORT gives proportions
    assert run.sgd.lr == pytest.approx(rate)
    assert (run.sgd.weight_decay, run.config["batch_size"]) == (1e-4, 4)
    assert run.batches.dataset.images.reading.cache.size == 0


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    imagenet(tmp_path)
    more = (trained(tmp_path, "alexnet"), "--passes", "1.5")
    assert main(command(tmp_path, "alexnet", *more)) == 0
    whole = {name: (tmp_path / "run" / name).read_bytes() for name in MADE}
    (tmp_path / "run").rename(tmp_path / "first")
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "layer_records", _interrupted(run_module.layer_records, 1))
        assert main(command(tmp_path, "alexnet", *more)) != 0
    assert not (tmp_path / "run" / "result.json").exists()
    assert main(command(tmp_path, "alexnet", *more, "--resume")) == 0
    assert {name: (tmp_path / "run" / name).read_bytes() for name in MADE} == whole


def _interrupted(function, calls):
    """`function`, and at call number `calls` what Ctrl-C does."""
    count = iter(range(10**6))

    def called(*arguments):
        if next(count) == calls:
            raise KeyboardInterrupt
        return function(*arguments)

    return called


@pytest.mark.parametrize(
    ("recipe", "arguments", "words"),
    [
        ("imagenet-resnet18", [], ["imagenet-resnet18 reads ImageNet", "--data DIR"]),
        ("imagenet-resnet18", ["--data", "{dir}"], ["has no train/"]),
        ("imagenet-resnet18", ["--data", "{dir}/imagenet"], ["resnet18", "name its file"]),
        ("imagenet-resnet34", ["{file}", "--data", "{dir}/imagenet"], ["missing", "layer1.2.conv1.weight"]),
        ("imagenet-resnet18", ["{file}", "--data", "{dir}/imagenet", "--batch-size", "0"], ["--batch-size is 0"]),
        ("digits", ["{file}", "--data", "{dir}/imagenet"], ["--data is of the recipes for ImageNet"]),
        ("digits", ["{file}", "--val-list", "{dir}/x"], ["--val-list is of the recipes for ImageNet"]),
    ],
)
def test_wrong_input_is_one_line_and_makes_no_run(tmp_path, recipe, arguments, words, capsys):
    imagenet(tmp_path)
    made = {"dir": tmp_path, "file": trained(tmp_path, "resnet18")}
    assert main(["reproduce", recipe, *(a.format(**made) for a in arguments), "-o", str(tmp_path / "run")]) == 2
    line = one_line(capsys.readouterr().err)
    assert all(word in line for word in words), line
    assert not (tmp_path / "run").exists()
