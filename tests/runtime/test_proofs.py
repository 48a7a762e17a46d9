"""int8 arithmetic, proved by z3 for every input: the C that is compiled computes docs/arithmetic.md, in its types.

The functions are read from _ext; a claim is broken by a change of the C (`MISTAKES`), and is then no longer proved.
"""

import functools
import shutil

import pytest

z3 = pytest.importorskip("z3", reason="z3-solver is not installed: nothing is proved")
pytest.importorskip("pycparser", reason="pycparser is not installed: nothing is proved")
meaning, vectors = pytest.importorskip("c_meaning"), pytest.importorskip("c_vectors")
proof = pytest.importorskip("c_proof")

EXT = meaning.EXT
if not EXT.is_dir() or shutil.which("cc") is None:
    pytest.skip("the C sources or a preprocessor (cc) are not here: nothing is proved", allow_module_level=True)

TIMES, Int, Pointer, integer = meaning.TIMES, meaning.Int, meaning.Pointer, meaning.integer
# file, instructions, 32-bit lanes of a register; avx512vnni and dotprod have the tails of avx512 and neon
VECTORS = {
    "avx2": ("infer/x86/avx2.c", lambda: vectors.x86(256), 8),
    "avx512": ("infer/x86/avx512.c", lambda: vectors.x86(512), 16),
    "neon": ("infer/arm/neon.c", vectors.neon, 4),
}
CHANNEL = {  # what a channel's numbers can be: bits, least, greatest (docs/arithmetic.md)
    "b": (32, -(1 << 31), (1 << 31) - 1),
    "q": (32, 0, (1 << 31) - 1),
    "s": (8, 33, 62),
    "lo": (8, -128, 127),
    "hi": (8, -128, 127),
}


def one(bits=64):
    return z3.BitVecVal(1, bits)


def clamp(v, low, high):
    return z3.If(v < low, low, z3.If(v > high, high, v))


def shifted(a, l):
    """acc << l in 64 bits."""
    return a.term(64) << l.term(64)


def requantized(a, l, q, s):
    """The page's formula, before the clamp, in 64 bits, which `headroom` shows to be enough."""
    product = TIMES(shifted(a, l), q.term(64))
    return (product + (one() << (s.term(64) - 1))) >> s.term(64)


def known_of(at="", headroom=True):
    """(Proof, the unknown numbers of an accumulator, its channel and its layer by name)."""
    known = proof.Proof()
    of = {n: known.unknown(f"{n}{at}", bits, low, high, n != "s") for n, (bits, low, high) in CHANNEL.items()}
    of["a"] = known.unknown(f"a{at}", 32, -(1 << 31), (1 << 31) - 1)
    of["l"] = known.unknown("l", 32, 0, 29)
    known.known.append(of["lo"].term() <= of["hi"].term())
    if headroom:
        known.known += [shifted(of["a"], of["l"]) > -(1 << 31), shifted(of["a"], of["l"]) < 1 << 31]
    return known, of


@functools.cache
def functions(file, ext=EXT):
    return meaning.Meaning(meaning.parsed(meaning.before_the_table(file, ext), ext), {})


@functools.cache
def vector_functions(word, ext=EXT):
    file, instructions, _ = VECTORS[word]
    code = meaning.Meaning(meaning.parsed(meaning.before_the_table(file, ext), ext), instructions())
    code.globals |= vectors.CONSTANTS
    return code


def sound(name, known, claims, duties=()):
    """Those of the claims (by name), and of the duties of C, that are not proved."""
    wrong = [f"{name}: {what}" for what, claim in claims.items() if not known.proves(claim)]
    return wrong + [f"{name}: {what} can overflow" for what in known.open_duties(duties)]


def plain_requantization(ext=EXT):
    """elq_requantize: its product of 64 bits is the formula; nothing overflows, whatever the sum."""
    code, (known, of) = functions("infer/rows_i8.c", ext), known_of()
    code.duties.clear()
    y = code.run("elq_requantize", *(of[n] for n in ("a", "l", "q", "s", "lo", "hi")))
    exact = requantized(*(of[n] for n in ("a", "l", "q", "s")))
    claims = {"the formula": y.term(64) == clamp(exact, of["lo"].term(64), of["hi"].term(64))}
    wrong = sound("elq_requantize", known, claims)
    anything, _ = known_of(headroom=False)  # of a constant channel, lo = hi, the sum may be anything
    constant = z3.Implies(of["lo"].term() == of["hi"].term(), y.term(64) == of["lo"].term(64))
    return wrong + sound("elq_requantize", anything, {"a constant channel": constant}, code.duties)


def vector_tail(word, ext=EXT):
    """copy_tail, tail_of and tail_vec: every lane is the formula before its clamp, by high words."""
    code, count = vector_functions(word, ext), VECTORS[word][2]
    of = [known_of(str(k))[1] for k in range(count)]
    tail = {n: Pointer(lambda k, n=n: of[k][n]) for n in CHANNEL} | {"l": of[0]["l"]}
    block = {n: Pointer({}, kind=(32, True)) for n in ("start", "q", "round", "shift", "low", "high")}
    block |= {n: Pointer({}, kind=(8, True)) for n in ("low_bytes", "high_bytes")}
    code.run("copy_tail", Pointer([tail]), integer(0, 64), integer(count, 64), Pointer([block]))
    numbers = code.run("tail_of", *(block[n] for n in ("q", "round", "shift", "low", "high")), of[0]["l"])
    sums = code.run("vec_load", Pointer(lambda k: of[k]["a"]))
    return same_lanes(f"{word} tail_vec", code.run("tail_vec", sums, numbers), count, requantized, "alqs")


def vector_addition(word, ext=EXT):
    """tail_add: every lane is clamp(v) q_v + r q_r + 2^(s - 1), exact, shifted by s."""
    code, count = vector_functions(word, ext), VECTORS[word][2]
    known, add = known_of_add()
    lane = lambda n, k: Int(32, True, z3.BitVec(f"{n}{k}", 32))  # noqa: E731
    numbers = code.run("tail_of", *(Pointer(lambda k, n=n: lane(n, k)) for n in "qtuxy"), integer(0))
    addition = code.run("addition_of", Pointer([add]))
    v, r = (code.run("vec_load", Pointer(lambda k, n=n: lane(n, k))) for n in "vr")
    result = code.run("tail_add", v, numbers, r, addition)

    def exact(v, r, x, y):
        return added(clamp(v.term(64), x.term(64), y.term(64)), r.term(64), add)

    def of_lane(k):
        here = proof.Proof(*known.known)
        of = {"v": here.unknown(f"v{k}", 32, -(1 << 31), (1 << 31) - 1)}
        of |= {n: here.unknown(f"{n}{k}", 32, -128, 127) for n in "rxy"}
        here.known.append(of["x"].term() <= of["y"].term())
        return here, of

    return same_lanes(f"{word} tail_add", result, count, exact, "vrxy", of_lane)


def same_lanes(name, result, count, exact, names, of_lane=None):
    """Whether the first two lanes of a register are what `exact` says, and all others these by other names."""
    of_lane = of_lane or (lambda k: known_of(str(k)))
    lanes, wrong = vectors.lanes(result, 32), []
    for k in range(count):
        known, of = of_lane(k)
        if k < 2:
            claim = z3.SignExt(32, lanes[k]) == exact(*(of[n] for n in names))
            wrong += sound(name, known, {f"lane {k}": claim})
        else:
            first = of_lane(k % 2)[1]
            same = same_but_for_names(lanes[k], lanes[k % 2], *([of[n].value for n in of] for of in (of, first)))
            wrong += [] if same else [f"{name}: lane {k}"]
    return wrong


def vector_saturation(word, ext=EXT):
    """tail_pack, bytes_clamp: four registers of any int32 become bytes, in their order, clamped to bounds of a byte."""
    code, count = vector_functions(word, ext), VECTORS[word][2]
    names = [[f"v{r}_{k}" for k in range(count)] for r in range(4)]
    v = [vectors.register([z3.BitVec(n, 32) for n in row]) for row in names]
    bounds = [vectors.register([z3.BitVec(f"{n}{k}", 8) for k in range(4 * count)]) for n in ("lo", "hi")]
    result = vectors.lanes(code.run("bytes_clamp", code.run("tail_pack", *v), *bounds), 8)
    wrong, first = [], [z3.BitVec(names[0][0], 32), z3.BitVec("lo0", 8), z3.BitVec("hi0", 8)]
    for k, byte in enumerate(result):
        x = z3.BitVec(names[k // count][k % count], 32)
        here = [x, z3.BitVec(f"lo{k}", 8), z3.BitVec(f"hi{k}", 8)]
        if k == 0:
            low, high = (z3.SignExt(24, bound) for bound in here[1:])
            claim = z3.Implies(low <= high, z3.SignExt(24, byte) == clamp(x, low, high))
            wrong += sound(f"{word} tail_pack", proof.Proof(), {"the first byte": claim})
        else:
            wrong += [] if same_but_for_names(byte, result[0], here, first) else [f"{word} tail_pack: byte {k}"]
    return wrong


def same_but_for_names(term, other, names, others):
    """Whether `term` is `other` with `names` in the place of `others`, and has no other unknowns."""
    there = [(a, b) for a, b in zip(names, others, strict=True) if not a.eq(b)]
    return z3.simplify(z3.substitute(term, there + [(b, a) for a, b in there])).eq(z3.simplify(other))


def known_of_add():
    known = proof.Proof()
    add = {n: known.unknown(n, 32, 0, (1 << 22) - 1) for n in ("q_v", "q_r")}
    add["s_add"] = known.unknown("s_add", 32, 1, 31)
    add |= {n: known.unknown(n, 32, -128, 127) for n in ("lo_add", "hi_add")}
    known.known.append(add["lo_add"].term() <= add["hi_add"].term())
    return known, add


def added(v, r, add):
    """(v q_v + r q_r + 2^(s - 1)) >> s in 64 bits, before the clamp."""
    s = add["s_add"].term(64)
    return (TIMES(v, add["q_v"].term(64)) + TIMES(r, add["q_r"].term(64)) + (one() << (s - 1))) >> s


def plain_addition(ext=EXT):
    """elq_add_i8 in 64 bits and elq_rows_add_i8 in 32: the formula; no int32 overflows."""
    code = functions("infer/rows_i8.c", ext)
    known, add = known_of_add()
    v, r = (known.unknown(n, 8, -128, 127) for n in "vr")
    exact = clamp(added(v.term(64), r.term(64), add), add["lo_add"].term(64), add["hi_add"].term(64))
    code.duties.clear()
    alone = code.run("elq_add_i8", v, r, Pointer([add]))
    y = Pointer({}, kind=(8, True))
    instruction = {"shape": {"q": integer(1, 64), "o": integer(1, 64)}, "i8": add}
    code.run("elq_rows_add_i8", Pointer([instruction]), Pointer([v]), Pointer([r]), y, integer(0), integer(1))
    claims = {"alone": alone.term(64) == exact, "rows": y.get(0).term(64) == exact}
    return sound("add", known, claims, code.duties)


CLAIMS = {"requantize": plain_requantization, "add": plain_addition}
for _word in VECTORS:
    for _claim in (vector_tail, vector_addition, vector_saturation):
        CLAIMS[f"{_claim.__name__}-{_word}"] = functools.partial(_claim, _word)


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_c_that_is_compiled_is_proved(claim):
    assert CLAIMS[claim]() == []


MISTAKES = [
    ("requantize", "infer/kernels.h", "((uint64_t)1 << (s - 1))", "((uint64_t)1 << s)"),
    ("requantize", "infer/kernels.h", "(uint64_t)(int64_t)a << l", "(uint64_t)(uint32_t)a << l"),
    ("requantize", "infer/kernels.h", "v > hi ? hi : v", "v >= hi ? hi - 1 : v"),
    ("add", "infer/rows_i8.c", "b[i] * q_b + half", "b[i] * q_b + 2 * half"),  # leaves int32 at s = 31 alone
    ("add", "infer/kernels.h", "<< (of->s_add - 1)", "<< (of->s_add - 2)"),
    ("vector_tail-avx2", "infer/i8_conv.inc.h", "s[first + k] - 33", "s[first + k] - 32"),
    ("vector_tail-avx2", "infer/x86/i8_avx2.h", "odd, 0xAA)", "odd, 0x2A)"),
    ("vector_tail-avx512", "infer/x86/i8_avx512.h", "odd, 0x5555, even", "even, 0x5555, odd"),
    (
        "vector_tail-neon",
        "infer/arm/i8_neon.h",
        "vmull_high_s32(a, t.q)",
        "vmull_s32(vget_low_s32(a), vget_low_s32(t.q))",
    ),
    ("vector_addition-avx2", "infer/x86/i8_avx2.h", "max_epi32(v, t.low)", "max_epi32(v, t.high)"),
    ("vector_addition-neon", "infer/arm/i8_neon.h", "vdupq_n_s32(-tail->s_add)", "vdupq_n_s32(tail->s_add)"),
    ("vector_saturation-avx2", "infer/x86/i8_avx2.h", "0, 4, 1, 5, 2, 6, 3, 7", "0, 4, 1, 5, 2, 6, 7, 3"),
    ("vector_saturation-avx512", "infer/x86/i8_avx512.h", "packs_epi32(c, d)", "packs_epi32(d, c)"),
]


@pytest.mark.parametrize(("claim", "file", "right", "wrong"), MISTAKES)
def test_a_mistake_in_the_c_is_not_proved(tmp_path, claim, file, right, wrong):
    changed = tmp_path / "_ext"
    shutil.copytree(EXT, changed)
    source = (changed / file).read_text()
    assert source.count(right) == 1
    (changed / file).write_text(source.replace(right, wrong))
    assert CLAIMS[claim](ext=changed)
