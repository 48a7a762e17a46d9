"""tools/boards/trials.py: what is wrong with an exported network or its program is noticed, with the target's name."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from random_nets import random_network
from runtime_nets import network, random_pictures, weighted, with_int8

from elq_ref.runtime import Node

ROOT = Path(__file__).parents[2]
if not (ROOT / "tools" / "boards").is_dir():
    pytest.skip("tools/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from tools.boards import TARGETS  # noqa: E402
from tools.boards.trials import Trial, check  # noqa: E402

HOST = TARGETS["gcc-O2"]
if HOST.missing():
    pytest.skip("gcc is not installed", allow_module_level=True)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def exported(folder, seed, **options):
    """A random network as a trial on two pictures."""
    net = random_network(seed)
    pictures = random_pictures(np.random.default_rng(seed), net, 2)
    return Trial.export(net, pictures, f"n{seed}", f"seed {seed} (here)", folder, **options)


def change(trial, old, new, file=None):
    """Replace the first of what matches in NAME.c, or in another file; it must be there."""
    path = trial.folder / (file or f"{trial.prefix}.c")
    text, count = re.subn(old, new, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)


def faults(trials, tmp_path, pool, target=HOST, seconds=60):
    """What is said of trials in one program."""
    return check(target, trials, tmp_path / target.name, pool, seconds).faults


def test_networks_that_are_right_pass(tmp_path, pool):
    trials = [exported(tmp_path, seed, split_weights=seed == 1) for seed in range(3)]
    outcome = check(HOST, trials, tmp_path / "host", pool)
    assert (outcome.passed, outcome.faults, outcome.too_large) == ([f"seed {seed} (here)" for seed in range(3)], [], {})


@pytest.mark.parametrize("bit", [0, 9, 24])
def test_a_bit_of_a_weight_is_noticed_and_names_its_network(bit, tmp_path, pool):
    trials = [exported(tmp_path, seed) for seed in (0, 4)]
    flipped = r"(weights\d+\[\d+\] = \{\s+)(0x[0-9a-f]{8})"
    change(trials[1], flipped, lambda m: f"{m[1]}0x{int(m[2], 16) ^ 1 << bit:08x}")
    (said,) = faults(trials, tmp_path, pool)
    assert said.startswith("gcc-O2: seed 4 (here): the self-test gives ")


def before_the_end(trial, function, statement):
    """Put a statement before NAME_function's last return."""
    head = rf"(int {trial.prefix}_{function}\([^{{}}]*\{{(?:.|\n)*?)(return {trial.prefix.upper()}_OK;)"
    change(trial, head, rf"\1{statement} \2")


@pytest.mark.parametrize(
    ("function", "statement", "said"),
    [
        ("run", "raw[0] ^= 1;", r"picture 0 gives \[.*\], wanted \[.*; picture 1 gives "),
        ("run", "raw[N0_CLASSES] = 1;", "guards after run: 1, wanted 0"),
        ("run", "((uint8_t *)arena)[N0_ARENA_BYTES] = 1;", "guards after run: 1, wanted 0"),
        ("run", "((uint8_t *)arena)[-1] = 1;", "guards after run: 1, wanted 0"),
        ("hashes", "hashes[1] ^= 1;", "picture 0: layer '.+' has hash [0-9a-f]{8}, wanted [0-9a-f]{8}"),
        ("hashes", "hashes[N0_LAYERS - 1] ^= 1;", "picture 0: layer 'raw' has hash"),
        ("hashes", "hashes[N0_LAYERS] = 0;", "guards after hashes: 1, wanted 0"),
    ],
)
def test_a_wrong_result_and_a_stray_write_are_noticed(function, statement, said, tmp_path, pool):
    trial = exported(tmp_path, 0)
    before_the_end(trial, function, statement)
    (fault,) = faults([trial], tmp_path, pool)
    assert re.match(f"gcc-O2: seed 0 .here.: {said}", fault), fault


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (r"return N0_NULL;", "return N0_ARENA_SMALL;", "run without an arena: 2, wanted 1"),
        (r"bytes < N0_ARENA_BYTES", "bytes + 1 < N0_ARENA_BYTES", "run with a byte less: 0, wanted 2"),
        (r"% N0_ARENA_ALIGN", "% (N0_ARENA_ALIGN / 2)", "run beside the alignment: 0, wanted 3"),
        (r"raw\[i\] > raw\[best\]", "raw[i] < raw[best]", "picture 0 is class"),
    ],
)
def test_a_wrong_status_and_a_wrong_class_are_noticed(old, new, said, tmp_path, pool):
    trial = exported(tmp_path, 0)
    change(trial, old, new)
    (fault,) = faults([trial], tmp_path, pool)
    assert said in fault


def test_a_smaller_arena_than_is_used_is_noticed(tmp_path, pool):
    trial = exported(tmp_path, 0)
    bytes_used = trial.macro("ARENA_BOUND")  # without what rounds it up
    change(trial, r"ARENA_BYTES \d+", f"ARENA_BYTES {bytes_used - 1}", "n0.h")
    del trial.__dict__["header"]
    (fault,) = faults([trial], tmp_path, pool)
    assert re.search("guards after run: [1-9][0-9]*, wanted 0", fault)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("__builtin_trap();", "ended with signal 4"),
        ("for (volatile int i = 1; i;) {}", "did not end within 2 s"),
        (
            'extern int puts(const char *); puts("oops");',
            "printed 'oops', which is no line of trial.c",
        ),
        ("extern void exit(int); exit(0);", "printed '.*' at its end, wanted 'end'"),
        ("undeclared();", ".*undeclared"),
    ],
)
def test_what_a_program_does_instead_of_printing_names_its_target(statement, said, tmp_path, pool):
    trial = exported(tmp_path, 0)
    before_the_end(trial, "run", statement)
    (fault,) = faults([trial], tmp_path, pool, seconds=2)
    assert re.search(f"gcc-O2: {said}", fault, re.S), fault
    assert "seed 0 (here)" in fault


def test_of_a_program_that_fails_each_network_runs_alone(tmp_path, pool):
    trials = [exported(tmp_path, seed) for seed in range(3)]
    before_the_end(trials[1], "run", "__builtin_trap();")
    outcome = check(HOST, trials, tmp_path / "host", pool)
    assert outcome.passed == ["seed 0 (here)", "seed 2 (here)"]
    whole, alone = outcome.faults
    assert re.fullmatch(r"gcc-O2: ended with signal 4: .* \(a program of 3 networks\)", whole)
    assert re.fullmatch(r"gcc-O2: ended with signal 4: .* \(seed 1 \(here\)\)", alone)


def test_a_network_larger_than_a_board_is_said_with_its_bytes_and_the_others_run(tmp_path, pool):
    target = TARGETS["microbit"]
    if target.missing():
        pytest.skip(f"microbit: {', '.join(target.missing())} not installed")
    rng = np.random.default_rng(0)
    nodes = [
        weighted(rng, "conv", "conv", "input", "ternary", (20, 1, 3, 3), padding=(1, 1)),
        Node("global_avg_pool", "mean", ("conv",)),
    ]
    net = with_int8(network(nodes, (1, 30, 30), 20), rng)
    large = Trial.export(net, random_pictures(rng, net, 1), "large", "large", tmp_path)
    outcome = check(target, [exported(tmp_path, 0), large, exported(tmp_path, 1)], tmp_path / "boards", pool)
    assert (sorted(outcome.passed), outcome.faults) == (["seed 0 (here)", "seed 1 (here)"], [])
    needed = int(
        re.fullmatch(r"microbit: does not fit: (\d+) bytes of RAM, the board has 16384", outcome.too_large["large"])[1]
    )
    assert (
        large.macro("ARENA_BYTES") + target.board.stack
        < needed
        < large.macro("ARENA_BYTES") + target.board.stack + 1000
    )


def test_as_many_networks_as_fit_share_a_program(tmp_path, pool):
    trials = [exported(tmp_path, seed) for seed in range(4)]
    outcome = check(HOST, trials, tmp_path / "host", pool, most=3)
    assert len(outcome.passed) == 4
    assert sorted(path.name for path in (tmp_path / "host").glob("*.c")) == ["group0.c", "group1.c"]
    assert (tmp_path / "host" / "group0.c").read_text().count("_run, ") == 3


def test_code_for_sdot_ends_where_there_is_none_and_the_other_build_runs(tmp_path, pool):
    sdot, plain = TARGETS["aarch64"], TARGETS["aarch64-a72"]
    if sdot.missing():
        pytest.skip(f"aarch64: {', '.join(sdot.missing())} not installed")
    trial = exported(tmp_path, 1, target="neon")
    for target in (sdot, plain):
        outcome = check(target, [trial], tmp_path / target.name, pool)
        assert (len(outcome.passed), outcome.faults) == (1, [])
    (fault,) = faults([trial], tmp_path, pool, sdot._replace(emulator=plain.emulator))
    assert fault.startswith("aarch64: ended with signal 4")
