"""The arithmetic of exported C, proved by z3 for every input, on the sources that are exported.

On a core without 64-bit products the high word of a product is made of 16-bit pieces. That the pieces make the product
is an identity of integers; that each partial sum stays within its type, and that together they are the high word, is
z3's (tests/c_meaning.py reads the C).
"""

import shutil
from pathlib import Path

import pytest

import elq_ref
from elq_ref.export_c.text import HIGH_ENDS

z3 = pytest.importorskip("z3", reason="z3-solver is not installed: nothing is proved")
pytest.importorskip("pycparser", reason="pycparser is not installed: nothing is proved")
meaning, proof = pytest.importorskip("c_meaning"), pytest.importorskip("c_proof")

C = Path(elq_ref.__file__).parent / "export_c" / "c"
if shutil.which("cc") is None:
    pytest.skip("a preprocessor (cc) is not here: nothing is proved", allow_module_level=True)

TIMES, Int, Pointer, integer = meaning.TIMES, meaning.Int, meaning.Pointer, meaning.integer
FORMS = {"64 bits": (), "16-bit pieces": ("-D__ARM_ARCH_6M__",)}


def code(file, folder=C, *options):
    """The functions of an exported source."""
    return meaning.Meaning(meaning.parsed(f'#include "{file}"\n', folder, *options), {})


def one(bits=64):
    return z3.BitVecVal(1, bits)


def clamp(v, low, high):
    return z3.If(v < low, low, z3.If(v > high, high, v))


def pieces(a, q):
    """The product of two int32 terms as the sum of those of their halves, and what is known of each: nothing else."""
    a1, q1 = (z3.SignExt(32, v >> 16) for v in (a, q))
    a0, q0 = (z3.ZeroExt(32, v & 0xFFFF) for v in (a, q))
    return (TIMES(a1, q1) << 32) + (TIMES(a1, q0) << 16) + (TIMES(a0, q1) << 16) + TIMES(a0, q0)


def wrong(name, known, claims, duties):
    """Those of the claims (by name), and of the duties of C, that are not proved."""
    open_claims = [f"{name}: {what}" for what, claim in claims.items() if not known.proves(claim)]
    return open_claims + [f"{name}: {what} can overflow" for what in known.open_duties(duties)]


def high_word(form, folder=C):
    """high_word(a, q) of any int32 a and 0 <= q < 2^31 is floor(a q / 2^32), and nothing overflows."""
    c, known = code("tail.c", folder, *FORMS[form]), proof.Proof()
    a = known.unknown("a", 32, -(1 << 31), (1 << 31) - 1)
    q = known.unknown("q", 32, 0, (1 << 31) - 1)
    product = pieces(a.term(), q.term()) if FORMS[form] else TIMES(a.term(64), q.term(64))
    claim = c.run("high_word", a, q).term() == z3.Extract(63, 32, product)
    return wrong(f"high_word, {form}", known, {"floor(a q / 2^32)": claim}, c.duties)


def ends_of(known, bits, both):
    """lo and hi of a clamp as members of a struct, and as terms of 64 bits; without `both` hi is 127, and no member."""
    lo = known.unknown("lo", bits, -128, 127)
    if not both:
        return {"lo": lo}, lo.term(64), z3.BitVecVal(127, 64)
    hi = known.unknown("hi", bits, -128, 127)
    known.known.append(lo.term() <= hi.term())
    return {"lo": lo, "hi": hi}, lo.term(64), hi.term(64)


def requantization(folder=C, both=False):
    """requantize(sum, ...) within the headroom is clamp((((sum + b) << l) q + 2^(s - 1)) >> s), or b where q is 0.

    high_word is taken to be what `high_word` proves of either form.
    """
    c, known = code("tail.c", folder), proof.Proof()
    c.hooks["high_word"] = lambda a, q: Int(32, True, z3.Extract(63, 32, TIMES(a.term(64), q.term(64))))
    largest, total, b = (z3.BitVec(n, 64) for n in ("largest", "sum", "b"))  # largest: 128 sum|w|
    l = known.unknown("l", 16, 0, 29, signed=False)
    known.known += [largest >= 0, largest < 1 << 31, total <= largest, total >= -largest, b >= -(1 << 31), b < 1 << 31]
    known.known += [(largest + z3.If(b < 0, -b, b)) << l.term(64) < 1 << 31]
    q, s = known.unknown("q", 32, 0, (1 << 31) - 1), known.unknown("s", 8, 33, 62, signed=False)
    ends, lo, hi = ends_of(known, 8 if both else 16, both)
    known.known.append(z3.Implies(q.term() == 0, z3.And(b >= -128, b <= 127)))
    low = lambda v: Int(32, True, z3.Extract(31, 0, v))  # noqa: E731
    layer = {"shape": Pointer([{"l": l, **ends}]), "q": Pointer([q]), "b": Pointer([low(b)]), "s": Pointer([s])}
    y = c.ways(lambda: c.run("requantize", low(total), Pointer([layer]), integer(0)))
    product = TIMES((total + b) << l.term(64), q.term(64))
    exact = clamp((product + (one() << (s.term(64) - 1))) >> s.term(64), lo, hi)
    claims = {"the formula": z3.Implies(q.term() != 0, y.term(64) == exact)}
    claims["a constant channel"] = z3.Implies(q.term() == 0, y.term(64) == b)
    return wrong("requantize", known, claims, c.duties)


def addition(folder=C, both=False):
    """add: clamp((a q1 + b q2 + 2^(s - 1)) >> s, lo, 127), in int32 for every input."""
    c, known = code("add.c", folder), proof.Proof()
    q1, q2 = (known.unknown(n, 32, 0, (1 << 22) - 1) for n in ("q1", "q2"))
    s = known.unknown("s", 32, 1, 31)
    ends, lo, hi = ends_of(known, 32, both)
    a, b = (known.unknown(n, 8, -128, 127) for n in "ab")
    y = Pointer({}, kind=(8, True))
    c.run("add", Pointer([{"q1": q1, "q2": q2, "s": s, **ends}]), Pointer([a]), Pointer([b]), y, integer(1))
    total = TIMES(a.term(64), q1.term(64)) + TIMES(b.term(64), q2.term(64))
    exact = (total + (one() << (s.term(64) - 1))) >> s.term(64)
    claims = {"the formula": y.get(0).term(64) == clamp(exact, lo, hi)}
    return wrong("add", known, claims, c.duties)


def table(folder=C):
    """input: element `byte` of the channel's 256, for every byte and channel; the index is an int32."""
    c, found = code("input.c", folder), []
    channels, seen = 3, []
    places = Pointer(lambda at: seen.append(at) or integer(0, 8))
    pictures = [integer(v, 8, False) for v in range(256) for _ in range(channels)]
    y = Pointer({}, kind=(8, True))
    c.run("input", places, integer(channels), Pointer(pictures), y, integer(len(pictures)))
    found += [] if seen == [256 * k + v for v in range(256) for k in range(channels)] else ["input: another element"]
    at = proof.Proof()
    channel, value = at.unknown("channel", 32, 0, (1 << 16) - 2), at.unknown("value", 8, 0, 255, signed=False)
    c.duties.clear()
    where = c.binary("+", c.binary("*", channel, integer(256)), value)
    right = {"below the table's end": z3.And(where.term() >= 0, where.term(64) < 256 * (channel.term(64) + 1))}
    return found + wrong("input", at, right, c.duties)


def small_product(term):
    """TIMES as the product that it is: where the operands have few bits z3 can multiply."""
    return z3.substitute_funs(term, (TIMES, z3.Var(0, z3.BitVecSort(64)) * z3.Var(1, z3.BitVecSort(64))))


def field_sums(folder=C):
    """Sums of 16 bits in the high half of a word, without DSP: `cross` adds two products there, `crossed` reads it."""
    c, known = code("fields.c", folder), proof.Proof()
    fields = [known.unknown(n, 32, 0, 2) for n in ("c0", "c2")]
    x = [known.unknown(n, 32, -128, 127) for n in ("x0", "x2")]
    before = known.unknown("sum", 32, 0, (1 << 32) - 1, signed=False)
    codes = Int(32, False, (fields[0].term() << 16) + fields[1].term())
    lanes = Int(32, False, x[0].term() + (x[1].term() << 16))
    wanted = sum(f.term() * v.term() for f, v in zip(fields, x, strict=True))
    rubbish = fields[1].term() * x[0].term()
    added = small_product(c.run("cross", before, codes, lanes).term())
    claims = {"cross": added == before.term() + (wanted << 16) + rubbish}
    high, low = (
        known.unknown("high", 32, -(1 << 15), (1 << 15) - 1),
        known.unknown("low", 32, -(1 << 15), (1 << 15) - 1),
    )
    start = c.globals["START"].value
    found = c.run("crossed", Int(32, False, (high.term() << 16) + low.term() + start))
    claims["crossed"] = found.term() == high.term()
    result = wrong("fields.c", known, claims, [])
    # what the high half can hold: all that was seen of sum(w x), less the operands that were not yet (fields w + 1)
    segment, ones = c.globals["SEGMENT"].value, 8 * 32
    if segment * 128 >= 1 << 15 or segment // 2 * 2 * 128 >= 1 << 15:
        result.append(f"fields.c: {segment} fields w + 1 do not fit 16 bits")
    if ones * 128 > 1 << 15 or ones * 127 >= 1 << 15 or ones // 2 * 128 >= 1 << 15:
        result.append(f"fields.c: {ones} fields of one bit do not fit 16 bits")
    return result


def list_sums(folder=C):
    """conv_lists.c: 16 bits for the WINDOW operands of a window, each added or subtracted; both halves are read."""
    c, known = code("conv_lists.c", folder), proof.Proof()
    window = c.globals["WINDOW"].value
    first, second = (known.unknown(n, 32, -128 * window, 128 * window) for n in ("first", "second"))
    sums = Pointer({0: integer(0), 1: integer(0)}, kind=(32, True))
    c.run("add_halves", sums, Int(32, False, first.term() + (second.term() << 16)))
    claims = {"the low half": sums.get(0).term() == first.term(), "the high half": sums.get(1).term() == second.term()}
    return wrong("conv_lists.c", known, claims, [])


CLAIMS = {"requantize": requantization, "add": addition, "table": table, "fields": field_sums, "lists": list_sums}
for _form in FORMS:
    CLAIMS[f"high word, {_form}"] = lambda folder=C, form=_form: high_word(form, folder)


@pytest.mark.parametrize("claim", CLAIMS)
def test_exported_c_is_proved(claim):
    assert CLAIMS[claim]() == []


@pytest.mark.parametrize("claim", [requantization, addition])
def test_both_ends_of_a_clamp(claim, tmp_path):
    """The same of what a network with an end below 127 has; and not with the other text."""
    for path in C.iterdir():
        text = path.read_text()
        for plain, other in HIGH_ENDS.items():
            text = text.replace(plain, other)
        (tmp_path / path.name).write_text(text)
    assert claim(tmp_path, both=True) == []
    assert claim(C, both=True)


def test_a_product_is_the_sum_of_its_pieces():
    """(a1 2^16 + a0)(q1 2^16 + q0) as polynomials; and a 32-bit number is its halves."""
    a1, a0, q1, q0 = z3.Ints("a1 a0 q1 q0")
    whole = (a1 * 65536 + a0) * (q1 * 65536 + q0)
    parts = a1 * q1 * 2**32 + (a1 * q0 + a0 * q1) * 65536 + a0 * q0
    assert z3.simplify(whole - parts, som=True).eq(z3.IntVal(0))
    a = z3.BitVec("a", 32)
    halves = z3.SignExt(32, a >> 16) * 65536 + z3.ZeroExt(32, a & 0xFFFF)
    assert proof.Proof().proves(halves == z3.SignExt(32, a))


MISTAKES = [
    ("high word, 16-bit pieces", "tail.c", "(uint32_t)middle & 0xFFFFU", "(uint32_t)middle & 0x7FFFU"),
    (
        "high word, 16-bit pieces",
        "tail.c",
        "q1 = q >> 16, middle = a1 * (int32_t)q0 +",
        "q1 = q >> 16, middle = a1 * q1 +",
    ),
    ("high word, 16-bit pieces", "tail.c", "(int32_t)(a0 * q0 >> 16)", "(int32_t)((a0 * q0 + 0x8000U) >> 16)"),
    ("high word, 64 bits", "tail.c", "* q) >> 32)", "* q) >> 31)"),
    ("requantize", "tail.c", "(layer->s[o] - 33)) + 1) >> 1", "(layer->s[o] - 33)) + 2) >> 1"),
    ("requantize", "tail.c", "(uint32_t)(sum + b) << layer", "(uint32_t)(sum - b) << layer"),
    ("add", "add.c", "1U << (g->s - 1)", "1U << g->s"),
    ("table", "input.c", "channel * 256", "channel * 255"),
    ("fields", "spread.c", "SEGMENT = 240, START = 0x8000", "SEGMENT = 256, START = 0x8000"),
    ("fields", "spread.c", "SEGMENT = 240, START = 0x8000", "SEGMENT = 240, START = 0"),
    ("lists", "conv_lists.c", "WINDOW = 255", "WINDOW = 256"),
]


@pytest.mark.parametrize(("claim", "file", "right", "changed_to"), MISTAKES)
def test_a_mistake_in_exported_c_is_not_proved(tmp_path, claim, file, right, changed_to):
    changed = tmp_path / "c"
    shutil.copytree(C, changed)
    source = (changed / file).read_text()
    assert source.count(right) == 1
    (changed / file).write_text(source.replace(right, changed_to))
    assert CLAIMS[claim](folder=changed)
