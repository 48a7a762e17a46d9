"""Sums of 16 and 32 bits in the int8 kernels: no lane can overflow within the block lengths that the C has.

Lengths and instructions are read from _ext. That a step adds exactly its products to lanes which have taken fewer steps
than that is proved by z3; that the loops take no more is seen by running them, as c_meaning.py reads them, on counters.
"""

import functools
import itertools
import shutil

import numpy as np
import pytest

z3 = pytest.importorskip("z3", reason="z3-solver is not installed: nothing is proved")
pytest.importorskip("pycparser", reason="pycparser is not installed: nothing is proved")
meaning, vectors = pytest.importorskip("c_meaning"), pytest.importorskip("c_vectors")
proof = pytest.importorskip("c_proof")

EXT = meaning.EXT
if not EXT.is_dir() or shutil.which("cc") is None:
    pytest.skip("the C sources or a preprocessor (cc) are not here: nothing is proved", allow_module_level=True)

Pointer, integer = meaning.Pointer, meaning.integer
VECTORS = {
    "avx2": ("infer/x86/avx2.c", lambda: vectors.x86(256)),
    "avx512": ("infer/x86/avx512.c", lambda: vectors.x86(512)),
    "neon": ("infer/arm/neon.c", vectors.neon),
}
T2, B1, FULL = range(3)  # enum elq_weights
ASKED = """
int most_steps(int weights) { return MOST_STEPS(weights); }
VEC widened(SUMS sums, int weights) { return sums_widen(sums, weights); }
SUMS stepped(SUMS sums, BYTES x, BYTES w, int weights) { return sums_step(sums, x, w, weights); }
"""


@functools.cache
def tree(word, ext=EXT):
    return meaning.parsed(meaning.before_the_table(VECTORS[word][0], ext) + ASKED, ext)


def code(word, ext=EXT, **hooks):
    return meaning.Meaning(tree(word, ext), VECTORS[word][1]() | hooks)


def most_steps(word, weights, ext=EXT):
    return code(word, ext).run("most_steps", integer(weights)).value


def lane_sums(word, ext=EXT):
    """To sums of MOST_STEPS - 1 steps of codes, each of at most `step`, another one adds its products exactly."""
    c, most = code(word, ext), most_steps(word, T2, ext)
    bytes_of = {"avx2": 32, "avx512": 64, "neon": 16}[word]
    x = [z3.BitVec(f"x{k}", 8) for k in range(bytes_of)]
    w = [z3.BitVec(f"w{k}", 8) for k in range(bytes_of)]
    old = [z3.BitVec(f"s{k}", 16) for k in range(bytes_of // (1 if word == "neon" else 2))]
    before, half = vectors.register(old), len(old) // 2
    if word == "neon":
        before = {"first": vectors.register(old[:half]), "second": vectors.register(old[half:])}
    after = c.run("stepped", before, vectors.register(x), vectors.register(w), integer(T2))
    halves = [after["first"], after["second"]] if word == "neon" else [after]
    new = [lane for part in halves for lane in vectors.lanes(part, 16)]
    extend = z3.SignExt if word == "neon" else z3.ZeroExt  # x + 128 on x86
    each = 1 if word == "neon" else 2  # products of a lane
    step = each * (128 if word == "neon" else 255)
    sum_before = z3.SignExt(16, old[0])
    known = proof.Proof(sum_before <= (most - 1) * step, sum_before >= -(most - 1) * step)
    known.known += [z3.Or(v == 1, v == 0, v == -1) for v in w[:each]]
    added = sum(extend(24, a) * z3.SignExt(24, b) for a, b in zip(x[:each], w[:each], strict=True))
    claim = z3.And(z3.SignExt(16, new[0]) == sum_before + added, added <= step, added >= -step)
    wrong = [] if known.proves(claim) else [f"{word}: 16 bits within {most} steps"]
    for k in range(1, len(old)):  # the other lanes are this one, by other names
        there = [(old[k], old[0])] + [(v[each * k + i], v[i]) for v in (x, w) for i in range(each)]
        lane = z3.substitute(new[k], there + [(b, a) for a, b in there])
        wrong += [] if z3.simplify(lane).eq(z3.simplify(new[0])) else [f"{word}: lane {k}"]
    return wrong


def widening(word, ext=EXT):
    """sums_widen adds every 16-bit lane to the 32-bit lane of its output, whatever is in it."""
    c = code(word, ext)
    count = {"avx2": 16, "avx512": 32, "neon": 16}[word]
    s = [z3.BitVec(f"s{k}", 16) for k in range(count)]
    sums = vectors.register(s)
    if word == "neon":
        sums = {"first": vectors.register(s[:8]), "second": vectors.register(s[8:])}
    lanes = vectors.lanes(c.run("widened", sums, integer(T2)), 32)
    each = count // len(lanes)
    exact = [sum(z3.SignExt(16, v) for v in s[each * k : each * (k + 1)]) for k in range(len(lanes))]
    right = [proof.Proof().proves(a == b) for a, b in zip(lanes, exact, strict=True)]
    return [f"{word}: 32-bit lane {k}" for k, proved in enumerate(right) if not proved]


class Counters:
    """Hooks that count the steps of an accumulator in its place, and note one that takes more than it can."""

    def __init__(self, most):
        self.most, self.wrong = most, []
        zero = lambda: integer(0)  # noqa: E731
        keep = lambda at: at.get(0)  # noqa: E731
        self.hooks = dict.fromkeys(("sums_zero", "vec_zero", "_mm256_setzero_si256", "_mm512_setzero_si512"), zero)
        self.hooks |= {"sums_step": self.step, "sums_widen": lambda sums, _: sums, "vec_load": keep}
        self.hooks |= {
            "vec_store": lambda to, v: to.put(0, v),
            "broadcast": lambda _: None,
            "bytes_load": lambda _: None,
        }
        self.hooks |= {name: self.combined(sign) for name, sign in (("vec_add", 1), ("vec_sub", -1))}

    @staticmethod
    def combined(sign):
        return lambda a, b: integer(a.value + sign * b.value)

    def step(self, sums, *_):
        if self.most and sums.value >= self.most:
            self.wrong.append(f"a sum takes more than {self.most} steps")
        return integer(sums.value + 1)


def geometries(most):
    """(kernel rows, runs of a row, steps of a run), shorter and longer than what a sum takes."""
    yield from itertools.product((1, 3), (1, 2), (1, most // 12))
    yield from ((1, 1, most), (1, 1, most + 1), (1, 1, 2 * most + 1), (2, 1, most - 1), (1, 2, most // 2 + 1))


def loops(word, ext=EXT):
    """`tile` and `take_off` take every step once, and widen in time."""
    most, wrong, nowhere = most_steps(word, T2, ext), [], Pointer(lambda k: None)
    for rows, taps, run_steps in geometries(most):
        steps = rows * taps * run_steps
        sizes = {"rows": rows, "taps": taps, "run_steps": run_steps, "steps": steps}
        plan = dict.fromkeys(("row_step", "tap_step", "pixel_step"), 0) | sizes
        plan = Pointer([{name: integer(value, 64) for name, value in plan.items()}])
        for v, t in ((1, 2), (2, 1)):
            counters = Counters(most)
            c = code(word, ext, **counters.hooks)
            start, sums = Pointer({k: integer(0) for k in range(99)}), Pointer({})
            c.run("tile", *map(integer, (v, t, T2)), plan, nowhere, nowhere, start, sums)
            lanes = c.globals["PANEL_STEP"].value // 4
            seen = [sums.get(k * lanes).value for k in range(v * t)]
            wrong += [f"{word} tile: {w}" for w in counters.wrong[:1]]
            wrong += [] if seen == [steps] * (v * t) else [f"{word} tile: {seen} steps, wanted {steps}"]
    for steps in (1, 3, 4 * most, 4 * most + 5):
        counters = Counters(most)
        c, start = code(word, ext, **counters.hooks), Pointer({0: integer(0)})
        c.run("take_off", nowhere, integer(steps, 64), integer(1, 64), integer(T2), start)
        wrong += [f"{word} take_off: {w}" for w in counters.wrong[:1]]
        wrong += [] if start.get(0).value == -steps else [f"{word} take_off: {-start.get(0).value} of {steps} steps"]
    return wrong


class Ranges:
    """Hooks that compute with (least, greatest) of a lane, for vector_sums_of: packed codes times signed bytes."""

    def __init__(self, weights):
        fields, bits = ((0, 1, 2), 2) if weights == T2 else ((0, 1), 1)  # code + 1; 1 where the code is -1
        whole = [sum(f << bits * k for k, f in enumerate(fs)) for fs in itertools.product(fields, repeat=8 // bits)]
        self.codes = np.add.outer(np.array(whole, np.uint16) << 8, np.array(whole, np.uint16)).ravel()  # of 16 bits
        self.wrong, self.greatest = [], 0
        hooks = {
            "broadcast": lambda at: None,
            "bytes_load": lambda at: self.codes,
            "bytes_set": lambda value: value.value,
            "vec_add": self.wide_sum,
            "vec_sub": lambda a, b: self.wide_sum(a, (-b[1], -b[0])),
            "vec_store": lambda to, v: None,
            "setzero": lambda: (0, 0),
            "set1_epi16": lambda value: None,
            "set1_epi32": lambda value: (0, 0),
            "and": lambda codes, mask: np.maximum(codes & mask & 0xFF, codes >> 8 & mask).max(),
            "srli_epi16": lambda codes, n: codes >> n.value,
            "maddubs_epi16": lambda most, x: (2 * int(most) * -128, 2 * int(most) * 127),
            "add_epi16": self.narrow_sum,
            "madd_epi16": lambda sums, ones: (2 * sums[0], 2 * sums[1]),
            "srai_epi32": lambda v, n: (v[0] >> n.value, v[1] >> n.value),
        }
        self.hooks = {
            f"_mm{bits}_{name}{suffix}": hook
            for name, hook in hooks.items()
            for bits, suffix in (
                (256, "_si256" if name in ("setzero", "and") else ""),
                (512, "_si512" if name in ("setzero", "and") else ""),
            )
        }
        self.hooks |= hooks

    def narrow_sum(self, a, b):
        low, high = a[0] + b[0], a[1] + b[1]
        self.greatest = max(self.greatest, -low, high)
        if low < -(1 << 15) or high >= 1 << 15:
            self.wrong.append(f"a sum of 16 bits reaches {low} .. {high}")
        return low, high

    def wide_sum(self, a, b):
        low, high = a[0] + b[0], a[1] + b[1]
        if low < -(1 << 31) or high >= 1 << 31:
            self.wrong.append(f"a sum of 32 bits reaches {low} .. {high}")
        return low, high


def packed_codes(word, ext=EXT):
    """vector_sums_of on MOST_VECTOR channels' worth of the largest codes: 16 bits within a block, 32 over all."""
    wrong = []
    for weights, shared in ((T2, 4), (B1, 8)):
        ranges = Ranges(weights)
        c = code(word, ext, **ranges.hooks)
        steps = 64 * shared  # several blocks
        some = Pointer(lambda k: None)
        c.run("vector_sums_of", some, integer(steps, 64), integer(2), integer(weights), some, integer(0), some)
        wrong += [f"{word} vector_sums_of: {w}" for w in ranges.wrong[:1]]
        wrong += [] if ranges.greatest > 1 << 14 else [f"{word}: blocks of half the length that fits"]
        # a 32-bit lane adds four products of a step's masked codes, the largest with the field of the larger scale
        largest = (8 if weights == T2 else 2) * 128
        if c.globals["MOST_VECTOR"].value // 2 * largest >= 1 << 31:
            wrong.append(f"{word}: {c.globals['MOST_VECTOR'].value} channels do not fit 32 bits")
    return wrong


def generic_sums(ext=EXT):
    """The sums of generic C: int32 for DEPTH products of an int8 and an int8 weight, without overflow."""
    c = meaning.Meaning(meaning.parsed(meaning.before_the_table("infer/generic/conv_i8.c", ext), ext), {})
    known, wrong = proof.Proof(), []
    step, depth = 127 * 128, c.globals["DEPTH"].value
    x, w = known.unknown("x", 16, -128, 127), known.unknown("w", 16, -127, 127)
    for name in ("one_sum", "eight_sums"):
        loop = next(item for item in c.functions[name].body.block_items if type(item).__name__ == "For")
        scope = {"k": integer(0, 64)}
        scope |= {f"x{k}": Pointer(lambda _: x) for k in ("", 1, 2, 3)}
        scope |= {f"w{k}": Pointer(lambda _: w) for k in ("", 1)}
        names = ["sum"] if name == "one_sum" else [f"{a}{k}" for a in "ab" for k in range(4)]
        here, most = proof.Proof(*known.known), min((depth - 1) * step, (1 << 31) - 1)
        before = {n: here.unknown(n, 32, -most, most) for n in names}
        scope |= before
        c.duties.clear()
        c.execute(loop.stmt, scope)
        wrong += [f"{name}: {what} overflows within DEPTH" for what in here.open_duties(c.duties)]
        added = [scope[n].term(64) - before[n].term(64) for n in names]
        small = here.proves(z3.And(*(z3.And(v <= step, v >= -step) for v in added)))
        wrong += [] if small else [f"{name}: a step adds more than {step}"]
    return wrong


def vnni(ext=EXT):
    """avx512vnni.c: MOST_VECTOR channels of masked codes, unshifted, fit 32 bits."""
    c = meaning.Meaning(meaning.parsed(meaning.before_the_table("infer/x86/avx512vnni.c", ext), ext), {})
    channels, wrong = c.globals["MOST_VECTOR"].value, []
    for name, field, codes in (("T2", 2 << 6, 16), ("B1", 1 << 7, 32)):  # the largest field; channels of a register
        products = channels // codes * 4  # of one sum
        if products * field * 128 > 1 << 31 or products * field * 127 >= 1 << 31:
            wrong.append(f"avx512vnni {name}: {channels} channels of {field} times an int8 do not fit 32 bits")
    return wrong


CLAIMS = {"generic": generic_sums, "vnni": vnni}
for _word in VECTORS:
    for _claim in (lane_sums, widening, loops) + ((packed_codes,) if _word != "neon" else ()):
        CLAIMS[f"{_claim.__name__}-{_word}"] = functools.partial(_claim, _word)


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_lane_overflows(claim):
    assert CLAIMS[claim]() == []


def test_int8_weights_have_wide_sums():
    assert [most_steps(word, FULL) for word in VECTORS] == [0] * len(VECTORS)


MISTAKES = [
    ("lane_sums-avx2", "infer/x86/i8_maddubs.h", "== ELQ_FULL ? 0 : 64)", "== ELQ_FULL ? 0 : 65)"),
    ("lane_sums-neon", "infer/arm/neon.c", "? 0 : 255)", "? 0 : 256)"),
    ("packed_codes-avx512", "infer/x86/i8_maddubs.h", "most = t2 ? 7 : 15", "most = t2 ? 9 : 15"),
    ("packed_codes-avx2", "infer/x86/i8_maddubs.h", "most = t2 ? 7 : 15", "most = t2 ? 7 : 17"),
    ("packed_codes-avx2", "infer/x86/i8_maddubs.h", "MOST_VECTOR = 1 << 19", "MOST_VECTOR = 1 << 22"),
    ("vnni", "infer/x86/avx512vnni.c", "MOST_VECTOR = 1 << 19", "MOST_VECTOR = 1 << 20"),
    ("loops-avx2", "infer/i8_conv.inc.h", "ptrdiff_t room = most;", "ptrdiff_t room = most + 1;"),
    ("loops-avx2", "infer/i8_conv.inc.h", "left > 0; left -= 4 * most)", "left > 0; left -= 8 * most)"),
    ("loops-avx2", "infer/i8_conv.inc.h", "k = elq_least(left, 4 * most)", "k = elq_least(left, 4 * most + 4)"),
    ("generic", "infer/conv.inc.h", "DEPTH = 256,", "DEPTH = 1 << 18,"),
    (
        "widening-avx2",
        "infer/x86/i8_maddubs.h",
        "madd_epi16)(sums, HALVES(set1_epi16)(1))",
        "madd_epi16)(sums, HALVES(set1_epi32)(1))",
    ),
]


@pytest.mark.parametrize(("claim", "file", "right", "wrong"), MISTAKES)
def test_a_mistake_in_the_c_is_noticed(tmp_path, claim, file, right, wrong):
    changed = tmp_path / "_ext"
    shutil.copytree(EXT, changed)
    source = (changed / file).read_text()
    assert source.count(right) == 1
    (changed / file).write_text(source.replace(right, wrong))
    assert CLAIMS[claim](ext=changed)
