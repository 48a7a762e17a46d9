"""Exported C as an engineer meets it: the interface, what the object file holds, options, refusals, elq export-c."""

import itertools
import json
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
from exported import STRICT, Library, build, compiler, outputs
from random_nets import random_network
from runtime_nets import (
    content_of,
    decoded,
    encoded,
    network,
    random_pictures,
    random_weight,
    small,
    weighted,
    with_int8,
)

from elq_ref.cli import main
from elq_ref.export_c import export_c
from elq_ref.runtime import Node, Session

OK, NULL, SMALL, UNALIGNED = range(4)
HELPERS = {"memcpy", "memset"}  # that a compiler calls by itself
COMPILER_HELPERS = r"__\w+|_GLOBAL_OFFSET_TABLE_"


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(11)
    return with_int8(small(rng), rng)


@pytest.fixture(scope="module")
def library(net, tmp_path_factory):
    compiler()
    return Library(tmp_path_factory.mktemp("kws"), net)


def test_status_codes(library, net):
    arena, raw = library.arena(), np.zeros(3, np.int32)
    picture, hashes = np.zeros(84, np.uint8), np.zeros(library.layers, np.uint32)
    size, inside = arena.nbytes, arena.view(np.uint8)
    assert library.call("run", arena, size, picture, raw) == OK
    assert library.call("run", arena, size + 400, picture, raw) == OK
    for gap in range(3):
        given = [arena, size, picture, raw]
        given[(0, 2, 3)[gap]] = None
        assert library.call("run", *given) == NULL
    for gap in range(4):
        given = [arena, size, picture, hashes, raw]
        given[(0, 2, 3, 4)[gap]] = None
        assert library.call("hashes", *given) == NULL
    for function, rest in (("run", (picture, raw)), ("hashes", (picture, hashes, raw)), ("selftest", ())):
        sign = -1 if function == "selftest" else 1
        assert library.call(function, None, size, *rest) == sign * NULL
        assert library.call(function, arena, size - 1, *rest) == sign * SMALL
        assert library.call(function, arena, 0, *rest) == sign * SMALL
        assert library.call(function, inside[1:], size, *rest) == sign * UNALIGNED
        assert library.call(function, inside[2:], size, *rest) == sign * UNALIGNED
    raw[:] = 7
    assert library.call("run", arena, size - 1, picture, raw) == SMALL
    assert raw.tolist() == [7, 7, 7]
    assert library.selftest() == 0


def test_names_of_layers(library):
    names = [library.layer_name(i) for i in range(-1, library.layers + 1)]
    assert names[0] == names[-1] == ""
    assert names[1:3] == ["input", "conv1"]
    assert names[-2] == "fc2"


def test_two_threads_with_two_arenas(library, net):
    """ctypes lets go of the interpreter during a call, so both are inside at the same time."""
    pictures = random_pictures(np.random.default_rng(0), net, 2)
    raw, hashes, _ = outputs(library.export, net, pictures)
    wrong = []

    def work(k):
        arena = library.arena()
        for _ in range(500):
            found, seen, status = library.hashes(pictures[k], arena)
            if status or (found != raw[k]).any() or (seen != hashes[k]).any():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("seed", [0, 3])
def test_classes_are_those_of_a_session(seed, tmp_path):
    """Factors of their own, and one for all; the logits too."""
    rng = np.random.default_rng(seed)
    nodes = [
        Node("flatten", "flat", ("input",)),
        weighted(rng, "linear", "fc", "flat", "ternary", (9, 24), per_channel=seed == 0),
    ]
    if seed:
        node = nodes[1]
        scale, bias = np.ones(9, np.float32), np.zeros(9, np.float32)
        nodes[1] = Node("linear", "fc", ("flat",), {}, node.weight, scale, bias)
    net = with_int8(network(nodes, (1, 4, 6), 9), rng)
    library = Library(tmp_path, net)
    assert ("double" in (tmp_path / "kws.c").read_text()) == (seed == 0)
    pictures = random_pictures(rng, net, 100) // 64 * 64  # few values, so that there are equal results
    session = Session(net, activations="int8")
    logits = session(pictures)
    raw, _, _ = outputs(library.export, net, pictures)
    equal = 0
    for one, scores in zip(raw, logits, strict=True):
        assert library.call("argmax", one) == scores.argmax()
        equal += (scores == scores.max()).sum() > 1
    if seed:
        assert equal > 0
    np.testing.assert_array_equal((net.int8.factor.astype(np.float64) * raw).astype(np.float32), logits)


def test_equal_logits_of_unequal_sums(tmp_path):
    """Factors of 1 to 2: the first of equal logits counts, whatever its sum is; and large sums may share a float32."""
    rng = np.random.default_rng(0)
    weight = random_weight(rng, "ternary", (3, 4))
    scale, bias = np.array([1, 2, 2], np.float32), np.zeros(3, np.float32)
    nodes = [Node("flatten", "flat", ("input",)), Node("linear", "fc", ("flat",), {}, weight, scale, bias)]
    net = with_int8(network(nodes, (1, 2, 2), 3), rng)
    library = Library(tmp_path, net)
    factor = net.int8.factor.astype(np.float64)
    assert factor[1] == factor[2] == 2 * factor[0]
    sums = [(2, 1, 1), (2, 1, 2), (1, 1, 1), (-2, -1, -1), (0, 0, 0), (-3, -2, -1)]
    sums += [(0, low, low + step) for low in (2**24, 2**28, 2**30) for step in (-1, 1)]
    ties = 0
    for raw in sums:
        logits = (factor * raw).astype(np.float32)
        assert library.call("argmax", np.array(raw, np.int32)) == logits.argmax(), raw
        ties += (logits == logits.max()).sum() > 1
    assert ties >= 6


def objects(folder, export, *flags):
    """The sources compiled, and what nm says of them: {kind: names}."""
    found = {}
    for path in export.save(folder):
        if path.suffix != ".c" or "_main" in path.name:
            continue
        made = path.with_suffix(".o")
        subprocess.run([compiler(), *STRICT, *flags, "-c", str(path), "-o", str(made)], check=True)
        for line in subprocess.run(["nm", str(made)], capture_output=True, text=True, check=True).stdout.splitlines():
            kind, name = line.split()[-2:]
            found.setdefault(kind, set()).add(name)
    return found


@pytest.mark.parametrize(
    ("flags", "split"), [*itertools.product([("-O0",), ("-O3",), ("-Os", "-fno-pie")], [False, True])]
)
def test_the_object_file_asks_for_nothing_and_writes_nowhere(flags, split, tmp_path):
    if shutil.which("nm") is None:
        pytest.skip("there is no nm here")
    found = {}
    for seed in (0, 5, 12, 17, 18):
        export = export_c(random_network(seed), "kws", split_weights=split)
        for kind, names in objects(tmp_path, export, *flags).items():
            found.setdefault(kind, set()).update(names)
    assert set(found) <= {"T", "t", "R", "r", "U"}  # no data, no bss, nothing common
    own = r"kws_(run|hashes|selftest|argmax|layer_name|factor)" + (r"|kws_weights\d+" if split else "")
    assert all(re.fullmatch(own, name) for name in found["T"] | found["R"])
    asked = {name for name in found.get("U", set()) if not re.fullmatch(COMPILER_HELPERS, name)}
    assert asked <= HELPERS | {name for name in found["R"] if split}


def test_two_networks_in_one_program(net, tmp_path):
    other = random_network(6)
    for name, network_ in (("one", net), ("another", other)):
        export_c(network_, name, split_weights=True).save(tmp_path)
    program = tmp_path / "both.c"
    program.write_text(
        '#include "one.h"\n#include "another.h"\n'
        "static uint32_t arena[(ONE_ARENA_BYTES + ANOTHER_ARENA_BYTES) / 4];\n"
        "int main(void) { return one_selftest(arena, sizeof arena) + another_selftest(arena, sizeof arena); }\n"
    )
    build(tmp_path / "both", [program, *tmp_path.glob("one*.c"), *tmp_path.glob("another*.c")], "-O1")
    assert subprocess.run([tmp_path / "both"]).returncode == 0


def test_a_header_for_cpp(net, tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ here")
    export_c(net, "kws").save(tmp_path)
    (tmp_path / "main.cpp").write_text(
        '#include "kws.h"\nstatic uint32_t arena[KWS_ARENA_BYTES / 4];\n'
        "int main() { return kws_selftest(arena, sizeof arena); }\n"
    )
    subprocess.run([compiler(), "-c", "-O1", str(tmp_path / "kws.c"), "-o", str(tmp_path / "kws.o")], check=True)
    command = ["g++", "-Wall", "-Wextra", "-pedantic", "-Werror", str(tmp_path / "main.cpp"), str(tmp_path / "kws.o")]
    subprocess.run([*command, "-o", str(tmp_path / "main")], check=True)
    assert subprocess.run([tmp_path / "main"]).returncode == 0


def test_the_testbench(net, tmp_path):
    export = export_c(net, "kws", testbench_main=True)
    program = build(tmp_path / "kws", [path for path in export.save(tmp_path) if path.suffix == ".c"], "-O1")
    pictures = random_pictures(np.random.default_rng(1), net, 3)
    given = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1)).tobytes()
    said = subprocess.run([program], input=given, capture_output=True, check=True).stdout.decode()
    raw, hashes, classes = outputs(export, net, pictures)
    wanted = "".join(
        f"class {classes[i]}\nraw {' '.join(map(str, raw[i]))}\nhashes {' '.join(f'{h:08x}' for h in hashes[i])}\n"
        for i in range(3)
    )
    assert said == wanted
    cut = subprocess.run([program], input=given[:-1], capture_output=True)
    assert cut.returncode == 1
    assert cut.stdout.decode() == "".join(f"{line}\n" for line in wanted.splitlines()[:6])


def test_without_the_selftest(net, tmp_path):
    export = export_c(net, "kws", selftest=False, testbench_main=True)
    assert "selftest" not in export.files["kws.h"].lower()
    assert "selftest" not in export.files["kws.c"].lower()
    program = build(tmp_path / "kws", [path for path in export.save(tmp_path) if path.suffix == ".c"], "-O1")
    assert subprocess.run([program], input=b"", capture_output=True).stdout == b""
    assert export.contents.constant_bytes < export_c(net, "kws").contents.constant_bytes


@pytest.mark.parametrize("split", [False, True])
def test_weights_in_a_section(split, net, tmp_path):
    if shutil.which("objdump") is None:
        pytest.skip("there is no objdump here")
    macro = '-DKWS_SECTION=__attribute__((section(".flash2")))'
    objects(tmp_path, export_c(net, "kws", split_weights=split), macro)
    made = tmp_path / ("kws_weights.o" if split else "kws.o")
    said = subprocess.run(["objdump", "-t", str(made)], capture_output=True, text=True, check=True).stdout
    weights = [line for line in said.splitlines() if re.search(r"\b(kws_)?weights\d+$", line)]
    assert len(weights) == len([words for words in export_c(net, "kws").contents.words if len(words)])
    assert all(".flash2" in line for line in weights)
    assert sum(".flash2" in line for line in said.splitlines()) <= len(weights) + 1  # and the section itself


def test_the_same_network_gives_the_same_text(net):
    assert export_c(net, "kws").files == export_c(net, "kws").files


def test_macros_and_the_table_of_layers(net):
    export = export_c(net, "kws")
    header, contents = export.files["kws.h"], export.contents
    macros = dict(re.findall(r"^#define KWS_(\w+) (\S+)", header, re.M))
    assert int(macros["ARENA_BYTES"]) == contents.plan.bytes
    assert int(macros["ARENA_BOUND"]) == contents.plan.bound
    assert int(macros["WEIGHT_BYTES"]) == sum(4 * len(words) for words in contents.words)
    assert int(macros["MACS"]) == sum(net.macs.values())
    assert (macros["INPUT_BYTES"], macros["CLASSES"], macros["LAYERS"]) == ("84", "3", "12")
    assert (macros["ARENA_ALIGN"], macros["ARITHMETIC_VERSION"], macros["ABI"]) == ("4", "1", "1")
    for layer in contents.plan.layers:
        line = next(line for line in header.splitlines() if re.match(rf" \* +{layer.index}  ", line))
        assert layer.name in line
        assert f"{layer.p}x{layer.q}x{layer.o}" in line


def test_names_that_c_must_not_see(tmp_path):
    """Names of values are any text; C has them in comments and strings."""
    rng = np.random.default_rng(0)
    awkward = ["*/ int x; /*", '"\\', "Größe ??/", "// \\", "%s"]
    nodes = [Node("relu", awkward[0], ("input",)), Node("relu", awkward[1], (awkward[0],))]
    nodes += [Node("flatten", awkward[2], (awkward[1],))]
    nodes += [weighted(rng, "linear", awkward[3], awkward[2], "ternary", (4, 6))]
    nodes += [Node("relu", awkward[4], (awkward[3],))]
    library = Library(tmp_path, with_int8(network(nodes, (1, 2, 3), 4), rng))
    names = [library.layer_name(i) for i in range(library.layers)]
    assert names == ["input", awkward[0], awkward[1], awkward[4]]
    assert library.selftest() == 0


@pytest.mark.parametrize(
    "name", ["", "1st", "a-b", "a b", "größe", "_kws", "a" * 41, "../x", "a\n", "int", "while", "restrict"]
)
def test_a_name_that_c_cannot_have(name, net):
    with pytest.raises(ValueError, match=r"^the name .* (is no prefix for C: wanted .*|is a keyword of C)$"):
        export_c(net, name)


def command(capsys, *args):
    code = main(["export-c", *map(str, args)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command(net, tmp_path, capsys):
    net.save(tmp_path / "net.elq")
    code, out, err = command(
        capsys, tmp_path / "net.elq", "-o", tmp_path / "new" / "out", "--name", "kws", "--testbench"
    )
    assert (code, err) == (0, "")
    assert "padded" in out
    export = export_c(net, "kws", testbench_main=True)
    assert f"arena: {export.contents.plan.bytes:,} bytes" in out
    digest = subprocess.run(["sha256sum", str(tmp_path / "net.elq")], capture_output=True, text=True).stdout[:64]
    for name, text in export.files.items():
        assert (tmp_path / "new" / "out" / name).read_text() == text
        assert out.count(name) == 1
    assert f'"{digest}"' in export.files["kws.h"]
    before = {path.name: path.read_bytes() for path in (tmp_path / "new" / "out").iterdir()}
    code, out, _ = command(
        capsys, tmp_path / "net.elq", "-o", tmp_path / "new" / "out", "--name", "kws", "--testbench", "--json"
    )
    assert {path.name: path.read_bytes() for path in (tmp_path / "new" / "out").iterdir()} == before
    said = json.loads(out)
    assert said["arena_bytes"] == export.contents.plan.bytes
    assert said["arena_bound_is_exact"] is True
    assert sum(layer["weight_bytes"] for layer in said["layers"]) == said["weight_bytes"]


def test_refusals_write_nothing(net, tmp_path, capsys):
    net.save(tmp_path / "net.elq")
    rng = np.random.default_rng(0)
    small(rng).save(tmp_path / "float.elq")
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "kws.c").mkdir(parents=True)
    folder = tmp_path / "out"
    refused = [
        ((tmp_path / "float.elq", "-o", folder, "--name", "kws"), "elq calibrate"),
        ((tmp_path / "net.elq", "-o", folder, "--name", "2kws"), "'2kws'"),
        ((tmp_path / "net.elq", "-o", folder, "--name", "for"), "keyword"),
        ((tmp_path / "no.elq", "-o", folder, "--name", "kws"), "no.elq"),
        ((tmp_path / "net.elq", "-o", tmp_path / "file", "--name", "kws"), "file"),
        ((tmp_path / "net.elq", "-o", tmp_path / "file" / "below", "--name", "kws"), "file"),
        ((tmp_path / "net.elq", "-o", tmp_path / "taken", "--name", "kws"), "kws.c is a folder"),
        ((tmp_path / "net.elq", "-o", "/proc/none", "--name", "kws"), "/proc/none"),
    ]
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    for args, words in refused:
        code, out, err = command(capsys, *args)
        assert (code, out) == (2, ""), args
        assert words in err
        assert err.count("\n") == 1
        assert sorted(str(path) for path in tmp_path.rglob("*")) == before, args


def test_refusals_name_the_layer(net, tmp_path, capsys):
    tensors, text = decoded(content_of(net))
    tensors["b"] = tensors["b"].copy()
    tensors["b"][0] = (1 << 31) - 1
    (tmp_path / "net.elq").write_bytes(encoded(tensors, text))
    code, _, err = command(capsys, tmp_path / "net.elq", "-o", tmp_path / "out", "--name", "kws")
    assert code == 2
    assert re.search(r"node 'conv1' in int8: sums of up to \d+, shifted by l = \d+, do not fit 32 bits", err)
    rng = np.random.default_rng(0)
    nodes = [Node("flatten", "flat", ("input",)), weighted(rng, "linear", "wide", "flat", "ternary", (2, 65792))]
    with_int8(network(nodes, (1, 256, 257), 2), rng).save(tmp_path / "net.elq")
    code, _, err = command(capsys, tmp_path / "net.elq", "-o", tmp_path / "out", "--name", "kws")
    assert (code, err.count("\n")) == (2, 1)
    assert "layer 'wide' has a size of 65,792" in err
    assert [path.name for path in tmp_path.iterdir()] == ["net.elq"]


def test_when_the_disk_is_full_no_file_is_there(net, tmp_path, monkeypatch):
    """The files are there together or not at all: the second one fails while it is written."""
    from pathlib import Path

    written = []
    write_text = Path.write_text

    def failing(self, *args, **options):
        written.append(self)
        if len(written) == 2:
            raise OSError(28, "No space left on device", str(self))
        return write_text(self, *args, **options)

    monkeypatch.setattr(Path, "write_text", failing)
    with pytest.raises(OSError, match="No space left"):
        export_c(net, "kws").save(tmp_path)
    assert list(tmp_path.iterdir()) == []
