"""Standard output that is full, closed or cannot show a name; standard error that is; what progress looks like."""

import io
import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import children
import numpy as np
import pytest
from PIL import Image

from elq_ref import datasets, models
from elq_ref.cli import main, output
from elq_ref.deploy import pack
from elq_ref.errors import FormatError, shown
from elq_ref.runtime import PackedNetwork

ELQ = f"{shlex.quote(sys.executable)} -m elq_ref"
BYTES = os.fsdecode(b"gr\xfc\xdfe.png")  # Latin-1, no UTF-8


def shell(command: str, **changes: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        cwd=children.FOLDER,
        env=children.environment(**changes),
        check=False,
    )


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("network") / "net.elq"
    pack(models.digits_cnn(seed=1), datasets.digits()[0], quantized={}).save(path)
    return path


@pytest.fixture
def full() -> str:
    if not Path("/dev/full").exists() or shutil.which("bash") is None:
        pytest.skip("no /dev/full or no bash")
    return "/dev/full"


WORDS = [["info"], ["info", "--json"], ["--help"], ["run", "--help"], ["--version"]]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_an_answer_that_cannot_be_written_is_one_line_and_exit_code_2(full, words):
    command = f"{ELQ} {shlex.join(words)}"
    for place, said in (
        (f">{full}", "elq: No space left on device: standard output\n"),
        (">&-", "elq: There is nowhere to write the answer: standard output\n"),
        (f">{full} 2>&-", ""),
        (f">{full} 2>{full}", ""),
        (">&- 2>&-", ""),
    ):
        done = shell(f"{command} {place}")
        assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", said), place


@pytest.mark.parametrize("words", [*WORDS, ["demo", "--seed", "none"], []], ids=" ".join)
def test_where_only_the_words_for_people_are_lost_the_answer_comes(full, words):
    command = f"{ELQ} {shlex.join(words)}"
    usual = shell(command)
    for place in ("2>&-", f"2>{full}"):
        done = shell(f"{command} {place}")
        assert (done.returncode, done.stdout, done.stderr) == (usual.returncode, usual.stdout, b""), place


def test_training_goes_on_without_standard_error(full, tmp_path):
    command = f"{ELQ} train --model digits_cnn --data digits --epochs 0.2 --json -o"
    answers = []
    for k, place in enumerate(("", "2>&-", f"2>{full}")):
        done = shell(f"{command} {shlex.quote(str(tmp_path / str(k)))} {place}")
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout)["loss"])
    assert answers[0] == answers[1] == answers[2]


def test_a_reader_who_has_seen_enough_is_no_error():
    done = shell(f"set -o pipefail; {ELQ} --help | head -c 1; exit $?")
    assert (done.returncode, done.stderr) == (0, b"")


def test_closed_streams_of_the_process_itself(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    sys.stdout.close()
    assert main(["info"]) == 2
    assert capsys.readouterr().err == "elq: There is nowhere to write the answer: standard output\n"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    for lost in (None, io.StringIO()):
        monkeypatch.setattr(sys, "stderr", lost)
        if lost is not None:
            lost.close()
        assert main(["info", "--json"]) == 0
        assert list(output.progress("ab", 2, "x")) == ["a", "b"]
    assert sys.stdout.getvalue().count("\n") == 2


@pytest.mark.parametrize("name", ["ä語\U0001f600.png", BYTES, "a\x1b[31mred\nelq: forged.png", "\u202egnp.gpj"])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8:strict"])
def test_any_file_name_can_be_shown(network, tmp_path, name, encoding):
    path = tmp_path / name
    try:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "plain.png")
        (tmp_path / "plain.png").rename(path)
    except OSError as error:
        pytest.skip(f"this file system has no such name: {error.strerror}")
    command = f"{ELQ} run {network} {shlex.quote(str(path))}"
    done = shell(command, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    line = done.stdout.decode(encoding.partition(":")[0])
    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    found = json.loads(shell(f"{command} --json", PYTHONIOENCODING=encoding).stdout)
    assert found["pictures"][0]["picture"] == str(path)


@pytest.mark.parametrize("words", [["run", "{net}"], ["summary"], ["eval", "--data", "digits"], ["pack"], ["train"]])
@pytest.mark.parametrize("name", [BYTES, "a\x1b[31m\nb", "語"])
def test_any_name_can_be_complained_about(network, tmp_path, words, name):
    words = [word.format(net=network) for word in words]
    path = f"{tmp_path}/{name}"
    if words == ["pack"]:
        words, path = ["pack", path, "-o"], f"{tmp_path}/out.elq"
    if words == ["train"]:
        words, path = ["train", "--model", name, "--data", "digits", "-o"], f"{tmp_path}/x"
    for encoding in ("ascii", "utf-8:strict"):
        done = shell(f"{ELQ} {shlex.join([*words, path])}", PYTHONIOENCODING=encoding)
        line = done.stderr.decode(encoding.partition(":")[0])
        assert (done.returncode, done.stdout, line.count("\n")) == (2, b"", 1), line
        assert line[:-1].isprintable()
        assert line.startswith("elq: ")


def test_outputs_of_any_name_are_written(network, tmp_path):
    for name in (BYTES, "語", "a\x1bb\n"):
        try:
            (tmp_path / name).touch()
        except OSError as error:
            pytest.skip(f"this file system has no such name: {error.strerror}")
        command = [*shlex.split(ELQ), "calibrate", str(network), "--data", "digits", "--count", "4", "-o"]
        done = shell(shlex.join([*command, str(tmp_path / name)]), PYTHONIOENCODING="ascii")
        assert (done.returncode, done.stderr) == (0, b"")
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain ä 語\u3000\u00a0", "plain ä 語\u3000\u00a0"),
        ("\x1b[2J\r\n\t\x07\x7f\x9b", r"\x1b[2J\r\n\t\x07\x7f\x9b"),
        ("a\u2028b\u202ec\ufeff", r"a\u2028b\u202ec\ufeff"),
        (os.fsdecode(b"\xff\x80") if sys.platform != "win32" else "\udcff\udc80", r"\xff\x80"),
        ("\ud800\U000e0001", r"\ud800\U000e0001"),
    ],
)
def test_what_is_shown_cannot_steer_a_terminal(text, wanted):
    assert shown(text) == wanted
    assert str(FormatError(text)) == wanted
    assert output.table([[text, "1"]]) == f"{wanted}  1"


def test_progress_that_is_no_terminal_is_a_line_now_and_then(monkeypatch, capsys):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(output.time, "monotonic", lambda: next(clock))
    assert list(output.progress(range(10), 10, "training")) == list(range(10))
    error = capsys.readouterr().err
    assert error.splitlines() == [
        "training: 3 of 10, 0:00:28 left",
        "training: 6 of 10, 0:00:16 left",
        "training: 9 of 10, 0:00:04 left",
    ]


def test_short_work_says_nothing(capsys):
    assert list(output.progress(range(10), 10, "training")) == list(range(10))
    assert capsys.readouterr().err == ""


BAR = """
import os, sys, time
from elq_ref.cli import output
for k in output.progress(range(30), 30, "work"):
    time.sleep(0.05)
    if k == 20 and len(sys.argv) > 1:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 2)  # the terminal is gone
print("answer")
"""


@pytest.mark.parametrize("gone", [False, True])
def test_a_terminal_gets_a_bar_and_its_end_stops_nothing(full, gone):
    pytest.importorskip("tqdm")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", BAR, *(["gone"] if gone else [])]
    with subprocess.Popen(
        command, cwd=children.FOLDER, env=children.environment(), stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        out, _ = process.communicate(timeout=60)
        seen, end = b"", time.monotonic() + 10
        while b"work" not in seen and time.monotonic() < end:
            seen += os.read(ours, 4096)
    os.close(theirs)
    os.close(ours)
    assert (process.returncode, out) == (0, b"answer\n")
    assert re.search(rb"work: +\d+%", seen)


def test_texts_of_a_packed_file_cannot_steer_the_terminal(network, tmp_path, capsys):
    """In all its texts that are free: how it was calibrated, and what an error quotes."""
    path, evil = tmp_path / "net.elq", "\x1b]0;owned\x07\x1b[2J\r\nin float32: 1 byte"
    assert main(["calibrate", str(network), "--data", "digits", "--count", "4", "-o", str(path)]) == 0
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    text = json.loads(header["__metadata__"]["elq"])
    lines = {}
    for place in ("usual", "calibration", "method", "library", "class", "node", "member"):
        changed = json.loads(json.dumps(text))
        if place == "calibration":
            changed["int8"]["calibration"] = {evil: evil}
        elif place == "method":
            changed["method"] = {"model": evil, evil: [evil]}
        elif place == "library":
            changed["library"] = evil
        elif place == "class":
            changed["classes"][0] = evil
        elif place == "node":
            changed["nodes"][0]["name"] = evil
        elif place == "member":
            changed[evil] = 1
        header["__metadata__"]["elq"] = json.dumps(changed)
        head = json.dumps(header).encode()
        path.write_bytes(len(head).to_bytes(8, "little") + head + content[8 + length :])
        capsys.readouterr()
        code = main(["summary", str(path)])
        seen = capsys.readouterr()
        assert code == (0 if place in ("usual", "calibration", "method") else 2)
        said = seen.out if code == 0 else seen.err
        assert said.replace("\n", "").isprintable(), place
        lines[place] = said.count("\n")
        if code:
            with pytest.raises(FormatError) as caught:
                PackedNetwork.load(path)
            assert str(caught.value).isprintable()
        else:
            assert PackedNetwork.load(path).summary().replace("\n", "").isprintable()
    assert lines["usual"] == lines["calibration"] == lines["method"]
    assert {lines[place] for place in ("library", "class", "node", "member")} == {1}
