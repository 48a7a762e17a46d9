"""Recipes: equal budgets, a test set read once, refusals."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_runs import MADE, command, one_line

from elq_ref import Plan, Session, State, Tensor, datasets, models, no_grad
from elq_ref.cli import main
from elq_ref.methods import make
from elq_ref.runs.layers import BINS, WIDTH, layer_records, shares_of_shape
from elq_ref.runs.measures import accuracies, right_packed
from elq_ref.runs.recipes import COMPARED, EXPERIMENTS, PASSES, recipe
from elq_ref.runs.record import RunRecord
from elq_ref.runs.run import Run
from elq_ref.runtime import PackedNetwork
from elq_ref.training.evaluate import evaluate, reestimate
from elq_ref.training.plans import levels_of

WEIGHTS = ("conv1.weight", "conv2.weight", "fc.weight")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("method", COMPARED)
@pytest.mark.parametrize("first_last_float", [False, True])
def test_every_method_gets_the_same_passes_and_layers(method, first_last_float):
    plan, _ = recipe(method, levels_of("comparison", method), WEIGHTS, first_last_float=first_last_float)
    assert sum(plan.epochs) == pytest.approx(PASSES)
    make(plan)
    kept = ("conv1.weight", "fc.weight") if first_last_float else ()
    assert plan.keep_float == (WEIGHTS if method == "float" else kept)
    assert plan.levels == ("binary" if method in ("bwn", "lab") else "ternary")
    assert recipe("elq", "binary", WEIGHTS)[0].levels == "binary"
    assert sum(recipe(method, levels_of("comparison", method), WEIGHTS, passes=3)[0].epochs) == pytest.approx(3)


def test_the_longer_runs_have_their_own_plan():
    for levels in ("ternary", "binary"):
        long, _ = recipe("elq", levels, WEIGHTS, headline=True)
        assert (sum(long.epochs), long.levels) == (pytest.approx(72), levels)
        assert long != recipe("elq", levels, WEIGHTS, passes=72)[0]
        assert sum(recipe("elq", levels, WEIGHTS, headline=True, passes=5)[0].epochs) == pytest.approx(5)
        best, _ = recipe("elq", levels, WEIGHTS, preset="best")
        assert (best.levels, best.epochs) == (levels, pytest.approx((11, 0.25, 0.25, 0.25, 0.25)))  # of 12 passes
    with pytest.raises(ValueError, match=r"no headline plan for method 'bwn'; there are: elq ternary, elq binary$"):
        recipe("bwn", "binary", WEIGHTS, headline=True)


def test_a_run_measures_itself_on_training_images_and_its_packed_file_on_the_test_set(finished):
    config, result = (json.loads((finished / f"{name}.json").read_text()) for name in ("config", "result"))
    assert config["judge"] == "259 training images"
    assert result["total"] == 500
    train, test = datasets.digits()
    logits = Session(PackedNetwork.load(finished / "net.elq"))(test.images)
    assert result["correct"] == (logits.argmax(1) == test.labels).sum()
    assert RunRecord.read(finished).right.tolist() == (logits.argmax(1) == test.labels).tolist()
    assert result["seconds"] > 0
    assert {"numpy", "kernel", "threads"} <= set(result["environment"])
    batches, stages, passes = 21, lines(finished / "stages.jsonl"), lines(finished / "passes.jsonl")
    seen = {line["step"] for line in stages} | {line["step"] for line in passes}
    assert {batches, 2 * batches} <= seen  # the third pass ends with the last stage
    assert stages[-1]["top1"] == stages[-1]["top1_hat"]
    # the last record is that of the packed network on the same training images
    judge = datasets.hold_out(train, 259)[1]
    right = right_packed(PackedNetwork.load(finished / "net.elq"), judge)
    assert abs(100 * right.mean() - stages[-1]["top1_hat"]) < 100 * 1.5 / len(judge)  # a tie may fall differently


def test_nothing_before_the_packed_file_depends_on_the_test_set(trained, finished, tmp_path, monkeypatch):
    load = datasets.load

    def with_wrong_labels(*args):
        train, test = load(*args)
        return train, replace(test, labels=(test.labels + 1) % 10)

    monkeypatch.setattr(datasets, "load", with_wrong_labels)
    assert main(command(trained, tmp_path / "run")) == 0
    for name in MADE:
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes(), name
    assert json.loads((tmp_path / "run" / "result.json").read_text())["correct"] < 100


def test_where_a_part_is_held_out_it_is_judged_on_and_the_test_set_not_read(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(EXPERIMENTS, "digits", replace(EXPERIMENTS["digits"], hold_out=300))
    asked, load = [], datasets.load
    monkeypatch.setattr(datasets, "load", lambda *args: asked.append(args) or load(*args))
    assert main([*command(trained, tmp_path / "run", "--json"), "--method", "float"]) == 0
    assert json.loads(capsys.readouterr().out)["total"] == 300
    assert [split for *_, split in asked] == ["train"]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["judge"] == "300 held-out images"


def test_float_fine_tuning_quantizes_nothing(trained, tmp_path, capsys):
    assert main([*command(trained, tmp_path / "run", "--json"), "--method", "float"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["weight_bytes"] == result["float_bytes"]
    assert result["packed_as_float"] == []
    assert [line["layers"] for line in lines(tmp_path / "run" / "layers.jsonl")] == [{}, {}]


def test_a_finished_run_is_only_read(trained, finished, monkeypatch, capsys):
    def refuse(*_, **__):
        raise AssertionError("the test set is read once")

    monkeypatch.setattr(Run, "finish", refuse)
    before = (finished / "result.json").read_bytes()
    assert main([*command(trained, finished, "--resume"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert Path(result.pop("packed")) == finished / "net.elq"
    assert Path(result.pop("checkpoint")) == finished / "quantized.safetensors"
    assert result == json.loads(before)


def test_a_finished_run_without_its_state_is_read_too(trained, finished, tmp_path, capsys):
    """As the kept ones are."""
    out = shutil.copytree(finished, tmp_path / "run")
    (out / "state.safetensors").unlink()
    assert main(command(trained, out, "--resume")) == 0
    assert str(out / "net.elq") in capsys.readouterr().out
    for name in MADE:
        assert (out / name).read_bytes() == (finished / name).read_bytes()


def test_choices_add_up_and_keep_the_length(trained, tmp_path):
    more = ("--quick", "--set", "a1=0.5", "--set", "a2=1e-3", "epochs=4,1,1,1,1")
    assert main(["reproduce", "digits", str(trained), "-o", str(tmp_path / "run"), *more]) == 0
    plan = json.loads((tmp_path / "run" / "config.json").read_text())["plan"]
    assert (plan["a1"], plan["a2"]) == (0.5, 1e-3)
    assert plan["epochs"] == pytest.approx([0.5, 0.125, 0.125, 0.125, 0.125])


def test_evaluate_is_the_mean_over_pictures_whatever_the_batches():
    net = models.digits_cnn(seed=2)
    data = datasets.digits()[1].subset(slice(23))
    right, loss = 0, 0.0
    net.eval()
    with no_grad():
        for i, label in enumerate(data.labels):
            z = net(Tensor(data.normalized([i]))).data[0].astype(np.float64)
            loss += np.log(np.exp(z).sum()) - z[label]
            right += z.argmax() == label
    for size in (1, 7, 250):  # 23 = 3 * 7 + 2
        assert evaluate(net, data, size) == (right, pytest.approx(loss / 23, rel=1e-5))


def test_accuracies_are_those_of_w_and_of_w_hat():
    batches = datasets.Batches(datasets.digits()[0], 64)
    judge = datasets.digits()[1].subset(slice(100))
    net = models.digits_cnn(seed=2)
    state = State.start(net, Plan(), None, batches)
    seen = accuracies(state, batches, judge, 3)
    for end, weights in (("", {}), ("_hat", state.quantized())):
        other = models.digits_cnn(seed=2)
        for name, w in weights.items():
            dict(other.named_parameters())[name].data = w
        reestimate(other, batches, 3)
        right, loss = evaluate(other, judge)
        assert (seen[f"top1{end}"], seen[f"judge_loss{end}"]) == (right, loss)
    assert seen["judge_loss"] != seen["judge_loss_hat"]
    for weight in state.weights.values():
        weight.frozen[:] = True
    assert set(accuracies(state, batches, judge, 3)) == set(seen)


def test_layer_records_are_counts_of_the_weights():
    net = models.digits_cnn(seed=1)
    batches = datasets.Batches(datasets.digits()[0], 64)
    state = State.start(net, Plan(), None, batches)
    weight = state.weights["conv2.weight"]
    weight.frozen = np.random.default_rng(0).random(weight.w.shape) < 0.3
    record = layer_records(state)["conv2.weight"]
    free = [0] * BINS
    zeros = frozen_zeros = 0
    error = power = 0.0
    alpha = float(weight.alpha.squeeze())
    for w, frozen in zip(weight.w.ravel().tolist(), weight.frozen.ravel().tolist(), strict=True):
        w_hat = 0.0 if abs(w) <= alpha / 2 else alpha if w > 0 else -alpha
        zeros, frozen_zeros = zeros + (w_hat == 0), frozen_zeros + (frozen and w_hat == 0)
        error, power = error + (w - w_hat) ** 2, power + w**2
        if not frozen:
            free[min(max(int(w / alpha / WIDTH + BINS / 2 + 1000) - 1000, 0), BINS - 1)] += 1
    assert record["free"] == free
    assert record["levels"] == [-1, 0, 1]
    assert record["shares"][1] == pytest.approx(zeros / weight.w.size, abs=1e-6)
    assert record["frozen"][1] == pytest.approx(frozen_zeros / weight.w.size, abs=1e-6)
    assert sum(record["frozen"]) == pytest.approx(weight.frozen.mean(), abs=3e-6)
    assert record["error"] == pytest.approx(error / power, abs=1e-6)
    weight.frozen[:] = True
    assert layer_records(state)["conv2.weight"]["free"] == []


@pytest.mark.parametrize(("levels", "low", "high"), [("ternary", 0.4, 0.6), ("binary", 0.0, 0.2)])
def test_the_numbers_of_the_papers_figure_1_are_counts_of_the_weights(levels, low, high):
    net = models.digits_cnn(seed=1)
    state = State.start(net, Plan(levels), None, datasets.Batches(datasets.digits()[0], 64))
    rng = np.random.default_rng(2)
    band = beyond = total = 0
    for weight in state.weights.values():
        weight.w = (weight.alpha * rng.normal(0, 1, weight.w.shape)).astype(np.float32)
        weight.frozen = rng.random(weight.w.shape) < 0.3
        for w, frozen in zip((weight.w / weight.alpha).ravel().tolist(), weight.frozen.ravel().tolist(), strict=True):
            band += not frozen and low <= abs(w) < high
            beyond += not frozen and abs(w) >= 1.05
            total += 1
    assert shares_of_shape(layer_records(state), levels) == pytest.approx(
        {"band": band / total, "beyond": beyond / total}, abs=1e-9
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["imagenet"], ["imagenet", "cifar10-resnet20"]),
        (["digits"], ["digits_cnn", "name its file"]),
        (["digits", "{dir}/nothing.safetensors"], ["nothing.safetensors"]),
        (["digits", "{dir}/other.safetensors"], ["other.safetensors", "missing", "conv1.weight"]),
        (["digits", "{trained}", "--method", "dorefa"], ["dorefa", "elq binary, bwn binary"]),
        (["digits", "{trained}", "--method", "twn", "--levels", "binary"], ["binary", "twn", "ternary"]),
        (["digits", "{trained}", "--passes", "0"], ["--passes is 0"]),
        (["digits", "{trained}", "--passes", "inf"], ["finite"]),
        (["digits", "{trained}", "--set", "epochs=nan,1,1,1,1"], ["finite"]),
        (["digits", "{trained}", "--set", "levels=binary"], ["levels=binary", "a1"]),
        (["digits", "{trained}", "--method", "twn", "--headline"], ["twn", "elq ternary"]),
        (["digits", "{trained}", "--set", "a1=-1"], ["a1"]),
        (["digits", "{trained}", "--method", "bwn", "--set", "a1=2"], ["bwn has no choice of a1"]),
        (["digits", "{trained}", "--lr", "0"], ["lr"]),
        (["digits", "{trained}", "--resume"], ["no run to resume"]),
        (["cifar10-resnet20", "--data-dir", "{dir}"], ["test_batch.bin", "ELQ_DATA"]),
        (["digits", "{trained}", "--data-dir", "{dir}", "--resume", "--seed", "1"], ["no run to resume"]),
    ],
)
def test_wrong_input_is_one_line_and_makes_no_run(trained, tmp_path, arguments, words, capsys):
    from elq_ref import checkpoint

    checkpoint.write(tmp_path / "other.safetensors", models.resnet20().state_dict(), {})
    made = {"dir": tmp_path, "trained": trained}
    code = main(["reproduce", *(a.format(**made) for a in arguments), "-o", str(tmp_path / "run")])
    assert code == 2
    line = one_line(capsys.readouterr().err)
    assert all(word in line for word in words), line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", "{", "config.json is no JSON"),
        ("result.json", "{", "result.json is no JSON"),
        ("state.safetensors", "nonsense", "state.safetensors"),
    ],
)
def test_a_damaged_run_is_one_line(trained, finished, tmp_path, name, content, words, capsys):
    out = shutil.copytree(finished, tmp_path / "run")
    if name == "state.safetensors":
        (out / "result.json").unlink()  # of a finished run it is not read
    (out / name).write_text(content)
    assert main(command(trained, out, "--resume")) == 2
    assert words in one_line(capsys.readouterr().err)


def test_a_run_is_not_resumed_as_another(trained, finished, tmp_path, capsys):
    assert main(command(trained, finished, "--resume", "--seed", "1")) == 2
    assert "seed 0" in (line := one_line(capsys.readouterr().err))
    assert "not seed 1" in line
    assert main(command(trained, finished)) == 2
    assert "--resume" in one_line(capsys.readouterr().err)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_run_that_diverges_stops_there(trained, tmp_path, capsys):
    assert main(command(trained, tmp_path / "run", "--lr", "1e25")) == 2
    line = one_line(capsys.readouterr().err)
    assert "diverged" in line
    assert "after step" in line
    assert len(lines(tmp_path / "run" / "steps.jsonl")) < 10
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.data
def test_a_short_run_of_the_public_checkpoint(tmp_path, monkeypatch, capsys):
    folder = Path(os.environ.get("ELQ_DATA", ""))
    if not (folder / "weights" / "resnet20-12fca82f.th").is_file() or not (folder / "cifar-10-batches-bin").is_dir():
        pytest.skip("no checkpoint weights/resnet20-12fca82f.th, or no CIFAR-10, under ELQ_DATA")
    load = datasets.load
    monkeypatch.setattr(datasets, "load", lambda *args: (load(*args)[0], load(*args)[1].subset(slice(200))))
    monkeypatch.setattr("elq_ref.runs.run.REESTIMATION_BATCHES", 3)
    arguments = ["reproduce", "cifar10-resnet20", "--passes", "0.01", "-o", str(tmp_path / "run"), "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["total"] == 200
    assert result["weight_bytes"] < result["float_bytes"] / 15
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["checkpoint"]["sha256"].startswith("12fca82f")
