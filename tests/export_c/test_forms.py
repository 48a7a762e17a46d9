"""The forms of weights of exported C: what lies in flash is read back by loops here, and what C computes from it is
compared with loops over integers, on this machine and in emulation.
"""

import functools
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from one_layer import computed, layer_of

from elq_ref.export_c.choice import FORMS

ROOT = Path(__file__).parents[2]
if not (ROOT / "tools" / "boards").is_dir():
    pytest.skip("tools/ is not here (tests run from a copy)", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: an elq_ref that is installed goes before the checkout's

from tools.boards import TARGETS, BuildFailed, Crash, build, run  # noqa: E402
from tools.boards.one_layer import Case, program  # noqa: E402
from tools.boards.trials import STRICT  # noqa: E402

FORM = {form.name: form for form in FORMS}
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 254, 255, 256, 257, 509, 510, 511, 765, 766)


def words_of(name, rows, groups=1):
    """What a form makes of rows int8 (O, K), as Python's integers."""
    levels = "int8" if name == "int8" else "ternary" if (rows == 0).any() else "binary"
    layer = layer_of(np.random.default_rng(0), levels, rows.shape[1] * groups, len(rows), groups=groups, rows=rows)
    words = FORM[name].encode(layer)
    assert words.dtype == np.uint32
    return words.tolist()


def of_pair(words, row, rows, count):
    """The words of a row: two rows beside each other, `rows` in a group, `count` words each."""
    group, own = divmod(row, rows)
    start = (group * ((rows + 1) // 2) + own // 2) * 2 * count + own % 2
    return words[start : start + 2 * count : 2]


def field_of(words, k, bits):
    """Of four weights the first two in the high half: the field of weight k."""
    per_word = 32 // bits
    four, inside = divmod(k % per_word, 4)
    return words[k // per_word] >> ((0 if inside >= 2 else 16) + bits * (2 * four + inside % 2)) & ((1 << bits) - 1)


def read_back(name, words, outputs, k, groups):
    """Rows from words, by loops."""
    rows = [[0] * k for _ in range(outputs)]
    if name == "lists":
        stream = [word >> shift & 255 for word in words for shift in (0, 8, 16, 24)]
        at = 0
        for row in rows:
            for first in range(0, k, 255):
                size, (plus, minus) = min(255, k - first), stream[at : at + 2]
                places = stream[at + 2 : at + 2 + 4 * (plus + minus)]
                for n, place in enumerate(places):
                    if place != size:  # the place behind the window fills up
                        assert row[first + place] == 0
                        row[first + place] = 1 if n < 4 * plus else -1
                at += 2 + len(places)
        assert len(stream) - at < 4
        assert not any(stream[at:])
        return rows
    bits = {"2-bit": 2, "sign": 1, "int8": 8}[name.split(" ")[0]]
    for o, row in enumerate(rows):
        if name.endswith("by channel"):
            count = -(-k * bits // 32)
            own = words[o * count : (o + 1) * count]
            fields = [own[i * bits // 32] >> i * bits % 32 & ((1 << bits) - 1) for i in range(k)]
        else:
            own = of_pair(words, o, outputs // groups, -(-k * bits // 32))
            plain = [own[i // 4] >> 8 * (i % 4) & 255 for i in range(k)] if bits == 8 else None
            fields = plain or [field_of(own, i, bits) for i in range(k)]
        for i, f in enumerate(fields):
            row[i] = f - 1 if bits == 2 else 1 - 2 * f if bits == 1 else f - 256 * (f > 127)
    return rows


@pytest.mark.parametrize("name", FORM)
def test_what_lies_in_flash_can_be_read_back(name):
    rng = np.random.default_rng(1)
    for k, (outputs, groups) in itertools.product(LENGTHS, ((1, 1), (2, 1), (5, 1), (6, 2), (6, 6))):
        rows = rng.choice([-1, 1], (outputs, k)).astype(np.int8)
        if name in ("int8", "int8 by channel"):
            rows = rng.integers(-127, 128, (outputs, k)).astype(np.int8)
        elif not name.startswith("sign"):
            rows *= rng.random((outputs, k)) < rng.choice([0, 0.1, 0.5, 1])
        assert read_back(name, words_of(name, rows, groups), outputs, k, groups) == rows.tolist(), (k, outputs, groups)


def test_every_four_codes_are_two_bits_each():
    for codes in itertools.product((-1, 0, 1), repeat=4):
        a, b, c, d = (w + 1 for w in codes)
        rows = np.array([codes], np.int8)
        assert words_of("2-bit", rows) == [(a | b << 2) << 16 | c | d << 2, 0], codes


def test_every_gap_between_two_weights():
    """Up to the length of two windows, from every kind of beginning."""
    for gap, first in itertools.product(range(1, 520), (0, 1, 254)):
        row = np.zeros((1, first + gap + 1), np.int8)
        row[0, first], row[0, first + gap] = 1, -1
        assert read_back("lists", words_of("lists", row), 1, row.shape[1], 1) == row.tolist(), (gap, first)


def test_a_window_without_weights_is_two_bytes():
    row = np.zeros((1, 255 * 3), np.int8)
    row[0, [0, 255 * 2]] = 1
    content = np.array(words_of("lists", row), "<u4").tobytes()
    assert content[:14] == bytes([1, 0, 0, 255, 255, 255, 0, 0, 1, 0, 0, 255, 255, 255])


def shapes():
    """(options of layer_of, levels): every kind of layer."""
    sizes = {
        "3x3": {"c": 4, "o": 3, "kernel": (3, 3), "size": (4, 5), "padding": (1, 1)},
        "aligned rows": {"c": 8, "o": 4, "kernel": (3, 3), "size": (5, 6), "padding": (1, 1)},
        "odd channels": {"c": 3, "o": 5, "kernel": (3, 3), "size": (5, 4), "stride": (2, 1), "padding": (2, 0)},
        "even rows": {"c": 2, "o": 2, "kernel": (2, 4), "size": (5, 6), "padding": (0, 1)},
        "1x1": {"c": 5, "o": 7, "size": (3, 3)},
        "1x1, steps": {"c": 8, "o": 2, "size": (7, 5), "stride": (3, 2)},
        "wide border": {"c": 1, "o": 2, "kernel": (2, 3), "size": (2, 2), "padding": (4, 3), "stride": (2, 3)},
        "dilation": {"c": 2, "o": 3, "kernel": (3, 2), "size": (7, 6), "dilation": (2, 3), "padding": (2, 1)},
        "groups": {"c": 6, "o": 9, "kernel": (3, 3), "size": (4, 4), "groups": 3, "padding": (1, 1)},
        "depthwise": {
            "c": 5,
            "o": 5,
            "kernel": (3, 3),
            "size": (5, 5),
            "groups": 5,
            "padding": (1, 1),
            "stride": (2, 1),
        },
        "two by channel": {
            "c": 3,
            "o": 6,
            "kernel": (5, 4),
            "size": (5, 6),
            "groups": 3,
            "padding": (3, 1),
            "dilation": (2, 1),
        },
        "by channel, far out": {"c": 2, "o": 2, "kernel": (1, 1), "size": (2, 2), "groups": 2, "padding": (3, 4)},
        "linear": {"c": 37, "o": 4},
        "linear, many": {"c": 600, "o": 3},
        "linear, one": {"c": 1, "o": 1},
        "two pixels": {"c": 20, "o": 3, "size": (1, 2)},
        "three pixels": {"c": 16, "o": 2, "size": (3, 1)},
        "five pixels": {"c": 9, "o": 2, "size": (5, 1), "kernel": (1, 1)},
        "long": {"c": 61, "o": 3, "kernel": (3, 3), "size": (3, 2), "padding": (1, 1)},
        "window": {"c": 255, "o": 2, "size": (2, 2)},
        "window and one": {"c": 256, "o": 3, "size": (2, 3)},
        "segment": {"c": 240, "o": 2, "size": (2, 2)},
        "segment and eight": {"c": 248, "o": 2, "size": (2, 2)},
    }
    for name, size in sizes.items():
        for levels in ("ternary", "binary", "int8"):
            yield name, size, levels
        for density in (0, 0.05):
            yield f"{name}, {density}", size | {"density": density}, "ternary"
    for name in ("3x3", "linear", "depthwise"):
        for raw in (False, True):
            yield f"{name}, lo 0, {raw}", sizes[name] | {"lo": 0, "raw": raw}, "ternary"
        yield f"{name}, raw", sizes[name] | {"raw": True}, "binary"
    for c, sign in itertools.product((239, 240, 241, 255, 256, 512, 1024), (-1, 1)):
        rows = np.full((2, c), sign, np.int8)
        yield f"extreme {c} {sign}", {"c": c, "o": 2, "size": (2, 3), "rows": rows}, "ternary"


@functools.cache
def cases():
    """Every shape in every form that can hold it."""
    return list(_cases())


def _cases():
    rng = np.random.default_rng(2)
    for name, size, levels in shapes():
        layer = layer_of(rng, levels, **size)
        x = rng.integers(-128, 128, (layer.h, layer.w, layer.c)).astype(np.int8)
        if name.startswith("extreme"):  # the largest sums that there are, of both signs
            x[:] = -128
            x[0] = 127
        wanted = computed(layer, x)
        for form in FORMS:
            if form.fits(layer):
                yield Case(f"{name}, {levels}, {form.name}", layer, form, x, wanted)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("forms") / "forms.c"
    made = cases()
    assert {case.form.name for case in made} == set(FORM)
    path.write_text(program(made))
    return path


EMULATED = ("aarch64", "aarch64-a72", "armv7", "m0", "m3", "m4", "rv32")


@pytest.mark.parametrize("name", ["gcc-sanitized", "gcc-O3", "clang-O2", *EMULATED])
def test_c_computes_what_loops_compute(name, source, tmp_path):
    target = TARGETS[name]
    if target.missing():
        pytest.skip(f"{', '.join(target.missing())} not installed")
    said = run(target, build(target, [source], tmp_path / "program", STRICT), 300)
    assert "wrong" not in said
    assert said.count("count ") == len(cases()) + 1


def test_a_wrong_result_is_said(tmp_path):
    target = TARGETS["gcc-O2"]
    if target.missing():
        pytest.skip("gcc is not installed")
    case = cases()[0]
    wanted = case.wanted.copy()
    wanted.flat[-1] ^= 1
    path = tmp_path / "wrong.c"
    path.write_text(program([case._replace(wanted=wanted)]))
    with pytest.raises(Crash, match="exit code 1"):
        run(target, build(target, [path], tmp_path / "program"))


@pytest.mark.parametrize("name", FORM)
def test_memory_that_is_too_small_is_noticed(name, tmp_path):
    """Half of `scratch_bytes` is not what the C function takes."""
    target = TARGETS["gcc-O2"]
    if target.missing():
        pytest.skip("gcc is not installed")
    own = [case for case in cases() if case.form.name == name]
    less = own[0].form._replace(scratch_bytes=lambda layer: own[0].form.scratch_bytes(layer) // 8 * 4)
    path = tmp_path / "less.c"
    path.write_text(program([case._replace(form=less) for case in own]))
    with pytest.raises(Crash, match="exit code 1"):
        run(target, build(target, [path], tmp_path / "program"))


def test_big_endian_is_refused(tmp_path):
    target = TARGETS["gcc-O2"]
    if target.missing():
        pytest.skip("gcc is not installed")
    path = tmp_path / "big.c"
    path.write_text(f"#undef __BYTE_ORDER__\n#define __BYTE_ORDER__ __ORDER_BIG_ENDIAN__\n{program([cases()[0]])}")
    with pytest.raises(BuildFailed, match="little-endian"):
        build(target, [path], tmp_path / "program")
