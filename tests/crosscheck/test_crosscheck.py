"""Traces read and written, differences found where they were planted, and the documented PyTorch scripts."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from golden_traces import FOLDER, GivenBatches, network, part
from safetensors.numpy import load_file, save_file

from elq_ref import SGD, Plan
from elq_ref.crosscheck import Trace, compare, load, record, schema
from elq_ref.crosscheck.differences import RELATIVE
from elq_ref.crosscheck.trace import KINDS
from elq_ref.errors import FormatError

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tools" / "golden"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
GOLDEN = load(FOLDER / "run-float64")


def changed(name: str, place: tuple, by: float, trace: Trace = GOLDEN) -> Trace:
    """The trace with one element of one tensor changed."""
    tensor = trace.tensors[name].copy()
    tensor[place] = ~tensor[place] if tensor.dtype == bool else tensor[place] + tensor.dtype.type(by)
    return Trace(trace.path, {**trace.tensors, name: tensor}, {})


def test_a_trace_agrees_with_itself() -> None:
    found = compare(GOLDEN, FOLDER / "run-float64.json")
    assert found.ok
    assert len(found.findings) == len(GOLDEN.tensors)
    assert str(found).startswith(f"AGREES  {len(GOLDEN.tensors)} tensors")
    assert len(found.table().splitlines()) == len(GOLDEN.tensors)


@pytest.mark.parametrize("kind", [k for k in KINDS if not k.endswith("_one") and not k.startswith("slack")])
def test_a_planted_difference_is_found_in_every_kind(kind: str) -> None:
    name = next(n for n in GOLDEN.tensors if n.startswith(f"7/{kind}/") or n == f"7/{kind}")
    place = (-1,) * GOLDEN.tensors[name].ndim
    found = compare(GOLDEN, changed(name, place, 1e-6 if kind not in ("labels", "codes") else 1))
    assert not found.ok
    assert [f"{f.step}/{f.name}" for f in found.findings if not f.ok] == [name]
    assert found.first.place == tuple(n - 1 for n in GOLDEN.tensors[name].shape)
    assert str(found).splitlines()[0].startswith(f"DIFFERS  step 7  {name[2:]}: first differs at")


def test_the_first_in_order_of_computation_is_reported_first() -> None:
    """Step 9 comes before step 10, the gradient at W_hat before the weights after, whatever their names."""
    several = changed("10/w/conv1.weight", (0, 0, 0, 0), 1)
    several = changed("9/w_after/conv1.weight", (0, 0, 0, 0), 1, several)
    several = changed("9/grad_hat/fc.weight", (2, 3), 1, several)
    several = changed("9/grad_hat/fc.weight", (1, 20), 1, several)
    found = compare(GOLDEN, several)
    assert (found.first.step, found.first.name, found.first.place) == ("9", "grad_hat/fc.weight", (1, 20))
    assert found.first.largest == pytest.approx(1)
    assert [f.step for f in found.findings if not f.ok] == ["9", "9", "10"]


@pytest.mark.parametrize("frozen", [True, False])
def test_the_report_says_whether_the_weight_is_frozen(frozen: bool) -> None:
    sets = GOLDEN.tensors["7/frozen/fc.weight"]
    place = tuple(np.argwhere(sets == frozen)[0])
    found = compare(GOLDEN, changed("7/w_after/fc.weight", place, 0.1))
    assert ("(a frozen weight)" if frozen else "(a free weight)") in str(found).splitlines()[0]


def test_differences_within_the_bound_pass_and_just_beyond_fail() -> None:
    largest = np.abs(GOLDEN.tensors["3/w/fc.weight"]).max()
    for share, ok in ((0.9, True), (1.1, False)):
        assert compare(GOLDEN, changed("3/w/fc.weight", (0, 0), share * RELATIVE["float64"] * largest)).ok is ok


def test_stated_bounds_apply_only_from_the_same_state() -> None:
    trace = load(FOLDER / "run-float32")
    name = "4/grad/conv2.weight"
    between = 0.5 * RELATIVE["float32"] * float(np.abs(trace.tensors[name]).max())
    assert between > 3 * trace.meta["bounds"][name]
    same_state = changed(name, (0, 0, 0, 0), between, trace)
    assert compare(trace, same_state).first.name == "grad/conv2.weight"
    free_run = changed("4/w/fc.bias", (0,), 1e-6, same_state)
    assert compare(trace, free_run).ok


def test_the_rule_for_free_runs_is_as_wide_as_every_stated_bound() -> None:
    trace = load(FOLDER / "run-float32")
    used = [v / np.abs(trace.tensors[k]).max() for k, v in trace.meta["bounds"].items() if v > 0]
    assert 0.5 * RELATIVE["float32"] < max(used) < RELATIVE["float32"]


def test_not_a_number_and_other_shapes_and_types_differ() -> None:
    name = "2/grad/fc.bias"
    for value, text in (
        (np.full(4, np.nan), "theirs nan"),
        (np.zeros(5), "ours has shape (4,), theirs (5,)"),
        (np.zeros(4, np.int64), "ours is float64, theirs int64"),
    ):
        found = compare(GOLDEN, Trace(Path(), {**GOLDEN.tensors, name: value}, {}))
        assert found.first.name == "grad/fc.bias"
        assert text in str(found).splitlines()[0]


def test_what_one_side_lacks_is_listed_and_not_judged() -> None:
    theirs = {k: v for k, v in GOLDEN.tensors.items() if "/codes/" not in k} | {"15/loss": np.zeros(())}
    found = compare(GOLDEN, Trace(Path(), theirs, {}))
    assert found.ok
    assert "only in ours: codes (45)" in str(found)
    assert "only in theirs: loss (1)" in str(found)
    nothing = compare(GOLDEN, Trace(Path(), {"99/loss": np.zeros(())}, {}))
    assert not nothing.ok
    assert str(nothing).startswith("NOTHING TO COMPARE")


def test_a_scale_may_be_a_scalar() -> None:
    theirs = {k: v.reshape(()) if "/alpha/" in k else v for k, v in GOLDEN.tensors.items()}
    assert compare(GOLDEN, Trace(Path(), theirs, {})).ok


@pytest.mark.skipif(
    not (FOLDER / "operations-float64.safetensors").is_file(), reason="the source distribution leaves the trace out"
)
def test_operations_are_compared_case_by_case() -> None:
    trace = load(FOLDER / "operations-float64")
    assert len(compare(trace, trace).findings) == len(trace.tensors)
    found = compare(trace, changed("conv2d-groups/dw", (0, 1, 2, 1), 1e-3, trace))
    assert (found.first.step, found.first.name, found.first.place) == ("conv2d-groups", "dw", (0, 1, 2, 1))


def test_schema_names_every_kind() -> None:
    lines = [line.strip() for line in schema().splitlines()]
    assert all(any(line.startswith((f"{kind} ", f"{kind}/")) for line in lines) for kind in KINDS)


def test_bad_traces_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no trace at"):
        load(tmp_path / "absent")
    path = tmp_path / "t.safetensors"
    for content in (b"", b"not a trace", (FOLDER / "run-float64.safetensors").read_bytes()[:-8]):
        path.write_bytes(content)
        with pytest.raises(FormatError, match="not a safetensors file"):
            load(path)
    for name in ("0/weights/fc.weight", "0/loss/fc.weight", "0/grad", "loss", "/loss"):
        save_file({name: np.zeros(2)}, path)
        with pytest.raises(FormatError, match="is not STEP/KIND"):
            load(path)
    save_file({"0/" + "weights" * 1000: np.zeros(2)}, path)
    with pytest.raises(FormatError, match="is not STEP/KIND") as caught:
        load(path)
    assert len(str(caught.value)) < len(str(path)) + 200
    save_file({"0/loss": np.zeros(())}, path)
    good = {"format": "elq-trace", "version": 1}
    for meta, text in (
        ("{", "not JSON"),
        ("[]", "wanted"),
        (json.dumps({**good, "version": 2}), '"version": 1'),
        (json.dumps({**good, "tensors": {"sha256": "0" * 64}}), "sha256 is not"),
        (json.dumps({**good, "tensors": 3}), '"tensors"'),
        (json.dumps({**good, "tensors": {"sha256": 3}}), '"tensors"'),
        (json.dumps({**good, "groups": [3]}), '"groups"'),
        (json.dumps({**good, "groups": [{"name": "0"}, {"name": "0"}]}), '"groups"'),
        (json.dumps({**good, "groups": [{"name": "1"}]}), "'0/loss' is in none of the groups that t.json lists"),
        (json.dumps({**good, "bounds": {"0/loss": "wide"}}), '"bounds"'),
        (json.dumps({**good, "parameters": "all"}), '"parameters"'),
        ("[" * 20_000, "not JSON"),
        (json.dumps({**good, "plan": 3}), '"plan" is 3, wanted an object'),
        (json.dumps({**good, "plan": {"sigma2": 0.4}}), '"plan"'),
        (json.dumps({**good, "plan": {"sigma2": ["0.4"]}}), '"plan"'),
        (json.dumps({**good, "kind": "operations", "groups": [{"name": "a"}]}), '"inputs"'),
        (
            json.dumps({**good, "kind": "operations", "groups": [{"name": "a", "inputs": ["x"], "outputs": []}]}),
            "a/x",
        ),
    ):
        path.with_suffix(".json").write_text(meta)
        with pytest.raises(FormatError, match=text):
            load(path)


def test_record_writes_what_load_reads(tmp_path: Path) -> None:
    first = GOLDEN.group("0")
    batches = GivenBatches([(first["images"], first["labels"])] * 3, 1)
    plan = Plan(sigma2=(0.3, 0.0), epochs=(1.0, 1.0, 1.0), scope="layer", sign="computed")
    traces = []
    for name in ("a", "b"):
        net = network(part(first, "w"), part(first, "buffer"))
        traces.append(record(net, batches, plan, SGD(lr=0.1), path=tmp_path / name))
    read = load(tmp_path / "a")
    assert read.meta == json.loads(json.dumps(traces[0].meta))
    kinds = {k.split("/")[1] for k in read.tensors}
    assert {k for k in kinds if not k.startswith("slack")} == {k for k in KINDS if not k.startswith("slack")}
    assert [g["stage"] for g in read.meta["groups"]] == [0, 1, 2]
    assert read.meta["groups"][2]["frozen"] == 1
    assert all(np.array_equal(traces[0].tensors[k], v) for k, v in read.tensors.items())
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert compare(tmp_path / "a", tmp_path / "b.json").ok


def test_recording_changes_nothing() -> None:
    first = GOLDEN.group("0")
    batches = GivenBatches([(first["images"], first["labels"])] * 3, 1)
    plan = Plan(sigma2=(0.3, 0.0), epochs=(1.0, 1.0, 1.0))
    watched, alone = (network(part(first, "w"), part(first, "buffer")) for _ in range(2))
    record(watched, batches, plan, SGD(lr=0.1))
    from elq_ref import quantize

    for _ in quantize(alone, batches, plan, SGD(lr=0.1)):
        pass
    for name, value in alone.state_dict().items():
        np.testing.assert_array_equal(watched.state_dict()[name], value)


def test_golden_traces_are_those_of_the_committed_scripts() -> None:
    for path in sorted(FOLDER.glob("*.json")):
        made_by = json.loads(path.read_text())["made_by"]
        scripts = b"".join((TOOLS / name).read_bytes() for name in made_by["scripts"])
        assert hashlib.sha256(scripts).hexdigest() == made_by["scripts_sha256"], (
            f"{path.name}: run tools/golden/make.py"
        )
        assert {"torch", "python", "safetensors"} <= set(made_by)
        assert not re.search(r"^\s*(import|from) elq_ref", scripts.decode(), re.MULTILINE)
    assert len(list(FOLDER.glob("*.safetensors"))) == len(list(FOLDER.glob("*.json"))) == 5


def test_the_documented_script_is_the_file() -> None:
    page = (ROOT / "docs" / "crosscheck.md").read_text()
    assert f"```python\n{(TOOLS / 'example.py').read_text().rstrip()}\n```" in page


@pytest.fixture(scope="module")
def run_script(tmp_path_factory: pytest.TempPathFactory):
    pytest.importorskip("torch", reason="PyTorch is not installed")

    def run(name: str, given: str) -> Path:
        target = tmp_path_factory.mktemp("scripts") / "theirs.safetensors"
        command = [sys.executable, TOOLS / name, FOLDER / f"{given}.safetensors", target]
        subprocess.run(command, check=True, timeout=120, env=ONE_THREAD)
        return target

    return run


@pytest.mark.torch
@pytest.mark.parametrize("given", ["run-float64", "run-float32"])
def test_the_documented_script_passes(run_script, given: str) -> None:
    found = compare(FOLDER / given, run_script("example.py", given))
    assert found.ok, str(found)
    assert len(found.findings) == 1140
    assert str(found).splitlines()[0] in (ROOT / "docs" / "crosscheck.md").read_text()


@pytest.mark.torch
def test_the_planted_mistake_is_the_first_line(run_script) -> None:
    found = compare(FOLDER / "run-float64", run_script("example_mistake.py", "run-float64"))
    first = str(found).splitlines()[0]
    assert first in (ROOT / "docs" / "crosscheck.md").read_text()
    assert first.startswith("DIFFERS  step 3  velocity/conv1.weight: first differs at")
    assert "(a frozen weight): ours 0, theirs" in first
    assert all(int(f.step) >= 3 for f in found.findings if not f.ok)


@pytest.mark.torch
def test_the_scripts_make_the_committed_traces(tmp_path: Path) -> None:
    """The run again, without its bounds: equal to rounding (another machine may sum in another order)."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    seed = GOLDEN.meta["seed"]
    code = (
        "import sys, pathlib, run, torch, traces\n"
        f"tensors, groups, _ = run.course({seed}, torch.float64)\n"
        "traces.write(pathlib.Path(sys.argv[1]), 'again', 'run', tensors, groups)\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, timeout=120, cwd=TOOLS, env=ONE_THREAD)
    again = load_file(tmp_path / "again.safetensors")
    assert set(again) == set(GOLDEN.tensors)
    assert compare(GOLDEN, tmp_path / "again").ok
