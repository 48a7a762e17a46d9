"""Pictures from files and folders: elq run, image folders as data, and what the deployment entry imports."""

import json
from pathlib import Path

import numpy as np
import pytest
from children import run_python
from picture_nets import NAMES, run, telling_apart
from PIL import Image

from elq_ref import models, pack
from elq_ref.cli import picture_files
from elq_ref.datasets import bundled, digits, image_folder
from elq_ref.errors import FormatError
from elq_ref.pictures import find_pictures
from elq_ref.runtime import Session, interpret


@pytest.fixture(scope="module")
def packed():
    return telling_apart()


@pytest.fixture(scope="module")
def file(packed, tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.elq"
    packed.save(path)
    return str(path)


@pytest.fixture(scope="module")
def test_set():
    return digits()[1].subset(np.arange(40))


@pytest.fixture(scope="module")
def tree(test_set, tmp_path_factory):
    """tree/NAME/sub/picture-K.png, and what is no picture of it."""
    root = tmp_path_factory.mktemp("tree")
    for k, (image, label) in enumerate(zip(test_set.images, test_set.labels, strict=True)):
        folder = root / NAMES[label] / ("sub" if k % 2 else "")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(folder / f"picture-{k:02}.png")
    (root / "README.txt").write_text("about these pictures")
    (root / NAMES[0] / "notes.txt").write_text("no picture")
    (root / NAMES[0] / ".hidden.png").write_text("no picture")
    (root / ".cache").mkdir()
    Image.new("L", (8, 8)).save(root / "beside.png")
    return root


def test_an_image_folder_is_the_pictures_that_were_put_there(test_set, tree):
    dataset = image_folder(tree, (1, 8, 8), "exact")
    classes = tuple(sorted({NAMES[label] for label in test_set.labels}))
    assert dataset.classes == classes
    order = [int(path.stem.rpartition("-")[2]) for path, _ in find_pictures(tree, classes)]
    assert sorted(order) == list(range(40))
    np.testing.assert_array_equal(dataset.images, test_set.images[order])
    assert [dataset.classes[k] for k in dataset.labels] == [NAMES[k] for k in test_set.labels[order]]


def test_classes_of_a_network_give_the_labels(test_set, tree):
    backwards = NAMES[::-1]
    dataset = image_folder(tree, (1, 8, 8), classes=backwards)
    assert dataset.classes == backwards
    order = [int(path.stem.rpartition("-")[2]) for path, _ in find_pictures(tree, backwards)]
    np.testing.assert_array_equal(dataset.labels, 9 - test_set.labels[order])


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_run_on_a_folder_gives_every_answer_and_the_accuracy(packed, file, test_set, tree, batch, capsys):
    code, result, _ = run(capsys, "run", file, tree, "--batch", batch, "--top", 10, "--json")
    assert code == 0
    oracle = interpret(packed.graph, (test_set.images / np.float32(255) - np.float32(0.3)) / np.float32(0.4))
    shares = np.exp(oracle) / np.exp(oracle).sum(1, keepdims=True)
    assert len(result["pictures"]) == 40
    for answer in result["pictures"]:
        k = int(answer["picture"].rpartition("-")[2].removesuffix(".png"))
        assert answer["label"] == NAMES[test_set.labels[k]]
        found = {t["class"]: t["probability"] for t in answer["top"]}
        np.testing.assert_allclose([found[name] for name in NAMES], shares[k], rtol=1e-3)
    correct = int((oracle.argmax(1) == test_set.labels).sum())
    assert (result["correct"], result["total"], result["top1"]) == (correct, 40, 2.5 * correct)
    assert result["peak_memory_bytes"] is None or result["peak_memory_bytes"] > 1e7
    code, text, _ = run(capsys, "run", file, tree)
    assert f"{correct} of 40 right" in text
    assert text.count("  (is digit ") == 40 - correct  # only a mistake says what it should have been


def test_a_batch_is_cut_to_memory(packed, tree, test_set, monkeypatch):
    wanted = {str(path): label for path, label in find_pictures(tree, NAMES)}
    monkeypatch.setattr(picture_files, "BATCH_BYTES", 3 * 64 + 1)  # pictures of 64 bytes
    batches = list(picture_files.read_in_batches(packed, list(wanted.items()), 32, None))
    assert [len(pixels) for _, pixels in batches] == [3] * 13 + [1]
    assert dict(found for listed, _ in batches for found in listed) == wanted
    order = [int(Path(path).stem.rpartition("-")[2]) for path in wanted]
    np.testing.assert_array_equal(np.concatenate([pixels for _, pixels in batches]), test_set.images[order])


def test_run_on_pictures_without_classes(file, test_set, tmp_path, capsys):
    """Odd sizes, grey and transparent, palettes, an animation, in one folder; no accuracy is claimed."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (13, 7, 4), dtype=np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(rng.integers(0, 256, (1, 300), dtype=np.uint8)).save(tmp_path / "b.jpg")
    frames = [Image.fromarray(image[0]) for image in test_set.images[:3]]
    frames[0].save(tmp_path / "c.GIF", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "d.bmp")
    Image.new("LA", (5, 5), (3, 100)).save(tmp_path / "e.png")
    code, result, _ = run(capsys, "run", file, tmp_path, "--json")
    assert code == 0
    answers = {a["picture"].rpartition("/")[2]: a for a in result["pictures"]}
    assert list(answers) == ["a.png", "b.jpg", "c.GIF", "d.bmp", "e.png"]
    assert answers["c.GIF"]["top"] == answers["d.bmp"]["top"]  # the first picture of the animation
    assert "correct" not in result
    assert "label" not in answers["a.png"]


def test_eval_reads_the_folder_too(file, packed, test_set, tree, capsys):
    code, seen, _ = run(capsys, "eval", file, "--data", tree, "--json")
    oracle = interpret(packed.graph, (test_set.images / np.float32(255) - np.float32(0.3)) / np.float32(0.4))
    assert (code, seen["total"], seen["correct"]) == (0, 40, int((oracle.argmax(1) == test_set.labels).sum()))


def test_eval_takes_the_part_of_the_folder_that_is_for_tests(file, tmp_path, capsys):
    for split, count in (("train", 3), ("test", 2)):
        (tmp_path / split / NAMES[3]).mkdir(parents=True)
        for k in range(count):
            Image.new("L", (9, 9), k).save(tmp_path / split / NAMES[3] / f"{k}.png")
    code, seen, _ = run(capsys, "eval", file, "--data", tmp_path, "--json")
    assert (code, seen["total"]) == (0, 2)


def test_a_checkpoint_reads_the_folder_by_what_it_says(tmp_path, tree, capsys):
    from elq_ref import checkpoint

    net = models.digits_cnn(seed=4)
    about = {
        "model": "digits_cnn",
        "input_shape": [1, 8, 8],
        "classes": list(NAMES),
        "normalization": {"mean": [0.3], "std": [0.4]},
    }
    checkpoint.write(tmp_path / "net.safetensors", net.state_dict(), about)
    code, seen, _ = run(capsys, "eval", tmp_path / "net.safetensors", "--data", tree, "--json")
    assert (code, seen["total"]) == (0, 40)


def test_int8_activations_on_request(packed, file, test_set, tree, tmp_path, capsys):
    """Expected from the definition, interpret_int8; a network that is not calibrated, or a checkpoint, says so."""
    from elq_ref import checkpoint
    from elq_ref.deploy import calibrate
    from elq_ref.runtime import interpret_int8

    calibrated = calibrate(packed, test_set.images)
    calibrated.save(tmp_path / "int8.elq")
    answers = interpret_int8(calibrated.int8, test_set.images).logits
    correct = int((answers.argmax(1) == test_set.labels).sum())
    assert (
        answers.argmax(1) != interpret(packed.graph, test_set.normalized()).argmax(1)
    ).any()  # else it proves nothing
    for command in (["run", tmp_path / "int8.elq", tree], ["eval", tmp_path / "int8.elq", "--data", tree]):
        code, seen, _ = run(capsys, *command, "--activations", "int8", "--json")
        assert (code, seen["correct"], seen["total"]) == (0, correct, 40)
        code, _, error = run(capsys, command[0], file, *command[2:], "--activations", "int8")
        assert code == 2
        assert "calibrate" in error
    checkpoint.write(tmp_path / "net.safetensors", models.digits_cnn(seed=4).state_dict(), {"model": "digits_cnn"})
    code, _, error = run(capsys, "eval", tmp_path / "net.safetensors", "--data", "digits", "--activations", "int8")
    assert code == 2
    assert "no packed network" in error


def test_unreadable_pictures_are_named(file, tmp_path, capsys):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "empty.png").touch()
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    code, out, error = run(capsys, "run", file, tmp_path)
    assert (code, out) == (2, "")
    assert error == f"elq: {tmp_path / 'empty.png'} is empty, wanted a picture\n"
    code, result, error = run(capsys, "run", file, tmp_path, "--keep-going", "--json")
    assert code == 1
    assert [a["picture"] for a in result["pictures"]] == [str(tmp_path / "a.png")]
    assert len(result["unreadable"]) == 2
    assert "empty.png" in error
    assert "half.png" in error
    (tmp_path / NAMES[0]).mkdir()
    (tmp_path / "empty.png").rename(tmp_path / NAMES[0] / "empty.png")
    with pytest.raises(FormatError, match=r"empty\.png is empty"):
        image_folder(tmp_path, (1, 8, 8))


def test_when_nothing_can_be_read(file, tmp_path, capsys):
    (tmp_path / "empty.png").touch()
    code, result, _ = run(capsys, "run", file, tmp_path, "--keep-going", "--json")
    assert (code, result["pictures"]) == (1, [])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ([], ["has no picture", ".png"]),
        (["digit 1"], ["has no picture", ".png"]),
        (["digit 1", "cat", "dog", "eel", "fox"], ["no class: cat, dog, eel and 1 more", "digit 0, digit 1"]),
    ],
)
def test_folders_that_are_none_of_this_network(file, make, words, tmp_path, capsys):
    for name in make:
        (tmp_path / name).mkdir()
    for command in (["run", file, tmp_path], ["eval", file, "--data", tmp_path]):
        code, _, error = run(capsys, *command)
        assert code == 2
        assert len(error.splitlines()) == 1
        assert str(tmp_path) in error
        assert all(word in error for word in words), error


def test_a_folder_without_classes_is_no_data_set(file, tmp_path, capsys):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    code, _, error = run(capsys, "eval", file, "--data", tmp_path)
    assert code == 2
    assert "has no sub-folders" in error
    with pytest.raises(ValueError, match="no sub-folders"):
        image_folder(tmp_path, (1, 8, 8))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        image_folder(tmp_path / "nowhere", (1, 8, 8))


def test_other_data_than_the_network_reads(file, tmp_path, capsys):
    net = models.digits_cnn((1, 8, 8), 3, seed=4)
    pack(net, {}, input_shape=(1, 8, 8), normalization=([0.3], [0.4]), classes="abc").save(tmp_path / "three.elq")
    code, _, error = run(capsys, "eval", tmp_path / "three.elq", "--data", "digits")
    assert code == 2
    assert "3 classes, digits has 10" in error


def test_wrong_numbers(file, capsys):
    for option in ("--top", "--batch"):
        code, _, error = run(capsys, "run", file, bundled("digit-3.png"), option, 0)
        assert code == 2
        assert f"{option} is 0" in error


ROOMS = """
import json, sys, time
for absent in ("tqdm", "scipy"):
    sys.modules[absent] = None
import numpy
start = time.process_time()
{}
rooms = sorted(m.split(".")[1] for m in sys.modules if m.startswith("elq_ref."))
print(json.dumps([time.process_time() - start, rooms, "PIL" in sys.modules]), file=sys.stderr)
"""


def test_run_needs_numpy_safetensors_and_pillow_alone(file):
    code = ROOMS.format("from elq_ref.cli import main; assert main(sys.argv[1:]) == 0")
    done = run_python(code, "run", file, str(bundled("digit-3.png")), str(bundled("digit-5.png")))
    assert done.returncode == 0, done.stderr
    _, rooms, _ = json.loads(done.stderr)
    allowed = {"runtime", "graph", "preprocessing", "cli", "pictures", "errors", "files", "machine"}
    allowed |= {"parallel", "extensions", "_common", "_infer"}
    assert set(rooms) <= allowed


def test_importing_the_runtime_is_quick_and_imports_nothing_else():
    """At most 0.1 s of the processor above NumPy's own; the best of three processes, for caches may be cold."""
    answers = [json.loads(run_python(ROOMS.format("import elq_ref.runtime")).stderr) for _ in range(3)]
    assert min(seconds for seconds, _, _ in answers) < 0.1
    assert set(answers[0][1]) <= {
        *("runtime", "graph", "preprocessing", "errors", "files"),
        *("extensions", "_common", "_infer"),
    }
    assert not answers[0][2]


def test_without_onnx_one_line_says_what_to_install(file, tmp_path):
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "from elq_ref.cli import main; raise SystemExit(main(['export-onnx', sys.argv[1], '-o', sys.argv[2]]))"
    )
    done = run_python(code, file, str(tmp_path / "net.onnx"))
    assert done.returncode == 2
    assert done.stderr == "elq: ONNX files need the package onnx: pip install 'elq_ref[onnx]'\n"
    assert not (tmp_path / "net.onnx").exists()


def test_summary_of_a_packed_network_says_what_it_reads_and_computes(file, packed, capsys):
    code, result, _ = run(capsys, "summary", file, "--json")
    assert code == 0
    assert result["input_shape"] == [1, 8, 8]
    assert result["classes"] == list(NAMES)
    assert (result["mean"], result["std"], result["resize"]) == ([0.3], [0.4], "stretch")
    assert result["macs"] == 8 * 8 * 32 * 9 + 8 * 8 * 64 * 32 * 9 + 4 * 4 * 64 * 64 * 9 + 640
    assert [layer["name"] for layer in result["layers"]] == ["conv1", "conv2", "conv3", "fc"]
    assert result["int8"] is None
    code, text, _ = run(capsys, "summary", file)
    assert "1x8x8" in text
    assert "digit 9" in text


def test_info_lists_the_inference_kernels(capsys):
    code, result, _ = run(capsys, "info", "--json")
    assert code == 0
    found = result["inference"]
    if found["kernel"] == "NumPy":
        assert found["kernels"] == []
        assert found["reason"]
    else:
        assert any(name.endswith("__generic") for name in found["kernels"])
        assert all(name.startswith("elq_") for name in found["kernels"])
    lines = run(capsys, "info")[1].splitlines()
    for name in found["kernels"]:  # a line for what a kernel computes: its ways and instruction sets
        what, isa = name.split("__")
        operation, way = "_".join(what.split("_")[:4]), " ".join(what.split("_")[4:])
        line = next(line for line in lines if line.split()[0] == operation)
        assert f"{way} {isa}".strip() in line.split(maxsplit=1)[1].split(", ")


def test_batches_are_cut_to_memory(file, test_set, tree, monkeypatch, capsys):
    """Pictures of 64 bytes in batches of 192: three at a time, and a single one where even that is too much."""
    found = []
    call = Session.__call__
    monkeypatch.setattr(Session, "__call__", lambda self, x: found.append(len(x)) or call(self, x))
    code, whole, _ = run(capsys, "run", file, tree, "--json")
    assert (code, found) == (0, [32, 8])
    for most, sizes in ((3 * 64, [3] * 13 + [1]), (63, [1] * 40)):
        found.clear()
        monkeypatch.setattr(picture_files, "BATCH_BYTES", most)
        code, cut, _ = run(capsys, "run", file, tree, "--json")
        assert (code, found, cut["pictures"]) == (0, sizes, whole["pictures"])


def test_work_above_the_limit_must_be_asked_for(packed, file, tree, tmp_path, capsys):
    code, about, _ = run(capsys, "summary", file, "--json")
    assert code == 0
    assert about["operations"] == packed.operations > about["macs"]
    assert about["activation_bytes"] == packed.activation_bytes
    _, text, _ = run(capsys, "summary", file)
    assert f"{packed.operations / 1e6:,.1f} million operations in all, {packed.activation_bytes:,} bytes" in text
    code, _, error = run(capsys, "run", file, tree, "--most-operations", packed.operations - 1)
    assert code == 2
    assert f"takes {packed.operations:,} operations a picture" in error
    assert run(capsys, "run", file, tree, "--most-operations", packed.operations)[0] == 0
    out = tmp_path / "out.elq"
    for command in (["eval", file, "--data", tree], ["calibrate", file, "--pictures", tree, "-o", out]):
        code, _, error = run(capsys, *command, "--most-operations", packed.operations - 1)
        assert code == 2
        assert f"takes {packed.operations:,} operations a picture" in error
        assert not out.exists()
        assert run(capsys, *command, "--most-operations", packed.operations)[0] == 0
