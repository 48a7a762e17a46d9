"""A Run from Python: started, stopped, resumed, read."""

import numpy as np
import pytest
from small_runs import batches, small_net

from elq_ref import SGD, PackedNetwork, Plan, Run, Session, checkpoint
from elq_ref.graph import NetworkInfo
from elq_ref.runs.config import changes
from elq_ref.runs.folder import RunFolder

PLAN = Plan(sigma2=(0.3, 0.0), epochs=(2.0, 1.0, 1.0))
SAME = ("net.elq", "quantized.safetensors", "steps.jsonl", "stages.jsonl", "layers.jsonl", "passes.jsonl")


def run_in(path, seed=0, **more) -> Run:
    data = batches(seed=seed)
    return Run(path, small_net(), data, PLAN, SGD(0.05), test=data.dataset, every_pass=True, **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(run, its stages) of a run that nothing disturbed."""
    run = run_in(tmp_path_factory.mktemp("run") / "a" / "b")
    return run, list(run.start())


def test_every_stage_and_the_result_are_told(whole):
    run, stages = whole
    assert [(s["stage"], s["stages"]) for s in stages] == [(0, 3), (1, 3), (2, 3)]
    assert stages[0]["frozen"] == 0 < stages[1]["frozen"] < stages[2]["frozen"] == 1
    assert [(s["band"] + s["beyond"] > 0) for s in stages] == [True, True, False]  # at the end nothing is free
    assert run.left == 0
    result = run.result()
    assert {what: result[what] for what in run.files} == run.files
    pictures = batches().dataset
    right = Session(run.files["packed"])(pictures.images).argmax(1) == pictures.labels
    assert (result["correct"], result["total"]) == (right.sum(), 60)
    assert result["difference"] < 1e-5


def test_both_networks_say_what_they_are(whole):
    run, _ = whole
    file = checkpoint.read(run.files["checkpoint"])
    assert file.info == NetworkInfo.of(batches().dataset)
    assert file.plan == {"levels": "ternary", "method": "elq", "sigma2": [0.3, 0.0], "epochs": [2.0, 1.0, 1.0]}
    packed = PackedNetwork.load(run.files["packed"])
    assert packed.metadata.method == {"plan": file.plan}
    assert packed.metadata.classes == ("a", "b", "c")
    for name, (codes, alpha) in file.codes.items():
        w_hat = dict(run.net.named_parameters())[name].data
        np.testing.assert_array_equal(codes * alpha, w_hat)
        np.testing.assert_array_equal(packed.codes(name.removesuffix(".weight")), codes)


def test_left_in_the_middle_it_goes_on_to_the_same_bits(whole, tmp_path):
    first = run_in(tmp_path / "run")
    stages = first.start()
    told = [next(stages), next(stages)]
    stages.close()
    with pytest.raises(ValueError, match=r"run is not finished: go on with resume\(\)"):
        first.result()
    with pytest.raises(ValueError, match="steps left"):
        first.finish()
    second = run_in(tmp_path / "run")
    told += [stage for stage in second.resume() if stage["stage"] > 1]
    assert told == whole[1]
    for name in SAME:
        assert (tmp_path / "run" / name).read_bytes() == (whole[0].folder.path / name).read_bytes(), name


def test_a_finished_run_has_no_stages_left(whole):
    run = run_in(whole[0].folder.path)
    assert list(run.resume()) == []
    assert run.result() == whole[0].result()


def test_it_is_started_once_and_resumed_as_what_it_was(whole, tmp_path):
    with pytest.raises(ValueError, match="holds a run already"):
        run_in(whole[0].folder.path).start()
    with pytest.raises(ValueError, match="was started with seed 0, not seed 1"):
        run_in(whole[0].folder.path, seed=1).resume()
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        run_in(tmp_path / "nothing").resume()


def test_a_plan_that_does_not_fit_makes_no_folder(tmp_path):
    data = batches()
    run = Run(tmp_path / "run", small_net(), data, Plan(keep_float=("conv9.weight",)), SGD(), test=data.dataset)
    with pytest.raises(ValueError, match=r"conv9\.weight"):
        run.start()
    assert not (tmp_path / "run").exists()


def test_the_judge_measures_stages_and_the_test_set_the_file(tmp_path):
    data = batches()
    judge = data.dataset.subset(slice(20))
    run = Run(tmp_path / "run", small_net(), data, PLAN, SGD(0.05), test=data.dataset, judge=judge)
    shares = {stage["top1_hat"] * 20 / 100 for stage in run.start()}
    assert all(share == pytest.approx(round(share)) for share in shares)
    assert run.result()["total"] == 60


def test_progress_sees_every_step(tmp_path):
    seen = []

    def watch(steps):
        seen.append(run.left)
        for step in steps:
            seen.append(step.step)
            yield step

    run = run_in(tmp_path / "run")
    list(run.start(watch))
    assert seen == [16, *range(1, 17)]


def test_what_differs_is_named_option_by_option_and_in_short(tmp_path):
    one, other = ({"sgd": {"lr": lr, "schedule": {"shape": "cosine"}}, "seed": 1} for lr in (0.1, 0.2))
    assert changes(one, other) == {"sgd lr": (0.1, 0.2)}
    RunFolder(tmp_path / "run").start({f"option {k}": "long " * 100 for k in range(9)})
    with pytest.raises(ValueError, match=r"\(6 more differ\)$") as caught:
        RunFolder(tmp_path / "run").check({})
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
