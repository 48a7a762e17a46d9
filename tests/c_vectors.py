"""What the vector instructions of the int8 kernels do to bits, after the manuals of Intel and Arm, for c_meaning.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3
from c_integers import TIMES, Int, Pointer, integer

Lanes = list[z3.BitVecRef]


def lanes(x: Int, bits: int) -> Lanes:
    """A register as lanes of so many bits, the lowest first."""
    whole = x.term()
    return [z3.simplify(z3.Extract(at + bits - 1, at, whole)) for at in range(0, x.bits, bits)]


def register(parts: Lanes) -> Int:
    joined = z3.Concat(*parts[::-1]) if len(parts) > 1 else parts[0]
    return Int(joined.size(), False, joined)


def each(bits: int, operation: Callable[..., z3.BitVecRef]) -> Callable[..., Int]:
    """An instruction that does the same to every lane, of one register or more."""
    return lambda *operands: register([operation(*x) for x in zip(*(lanes(r, bits) for r in operands), strict=True)])


def by_number(bits: int, operation: Callable[..., z3.BitVecRef]) -> Callable[..., Int]:
    """An instruction whose second operand, a number or the low 64 bits of a register, is the same for all lanes."""

    def run(x: Int, number: Int) -> Int:
        count = z3.simplify(z3.Extract(bits - 1, 0, number.term(max(bits, number.bits))))
        return register([operation(lane, count) for lane in lanes(x, bits)])

    return run


def broadcast(bits: int, width: int) -> Callable[[Int], Int]:
    return lambda x: register([z3.Extract(bits - 1, 0, x.term(max(bits, x.bits)))] * (width // bits))


def load(width: int) -> Callable[[Pointer], Int]:
    def run(at: Pointer) -> Int:
        cell = at.get(0)
        return register([at.get(k).term() for k in range(width // cell.bits)])

    return run


def saturated(x: z3.BitVecRef, bits: int) -> z3.BitVecRef:
    low, high = (z3.BitVecVal(v, x.size()) for v in (-(1 << bits - 1), (1 << bits - 1) - 1))
    return z3.Extract(bits - 1, 0, z3.If(x < low, low, z3.If(x > high, high, x)))


def wide(a: z3.BitVecRef, b: z3.BitVecRef) -> z3.BitVecRef:
    """The 64-bit product of two signed 32-bit lanes."""
    return TIMES(z3.SignExt(32, a), z3.SignExt(32, b))


def low_product(a: z3.BitVecRef, b: z3.BitVecRef) -> z3.BitVecRef:
    return z3.Extract(31, 0, wide(a, b))


def signed(a: z3.BitVecRef, b: z3.BitVecRef, bits: int) -> z3.BitVecRef:
    """The product of two small signed lanes, in `bits`."""
    return z3.SignExt(bits - a.size(), a) * z3.SignExt(bits - b.size(), b)


def least(a: z3.BitVecRef, b: z3.BitVecRef) -> z3.BitVecRef:
    return z3.If(a < b, a, b)


def most(a: z3.BitVecRef, b: z3.BitVecRef) -> z3.BitVecRef:
    return z3.If(a > b, a, b)


def maddubs(x: Int, w: Int) -> Int:
    """vpmaddubsw: x0 w0 + x1 w1 of uint8 x and int8 w, saturated to 16 bits."""
    xs, ws = lanes(x, 8), lanes(w, 8)
    products = [z3.ZeroExt(24, a) * z3.SignExt(24, b) for a, b in zip(xs, ws, strict=True)]
    return register([saturated(a + b, 16) for a, b in zip(products[::2], products[1::2], strict=True)])


def madd(x: Int, w: Int) -> Int:
    """vpmaddwd: x0 w0 + x1 w1 of int16, in 32 bits."""
    products = [signed(a, b, 32) for a, b in zip(lanes(x, 16), lanes(w, 16), strict=True)]
    return register([a + b for a, b in zip(products[::2], products[1::2], strict=True)])


def mul_even(a: Int, b: Int) -> Int:
    """vpmuldq: the even 32-bit lanes' products, of 64 bits."""
    return register([wide(x, y) for x, y in zip(lanes(a, 32)[::2], lanes(b, 32)[::2], strict=True)])


def pack(bits: int) -> Callable[[Int, Int], Int]:
    """vpackssdw, vpacksswb: in every 128 bits, those of a, then those of b, in half the size."""

    def run(a: Int, b: Int) -> Int:
        x, y, n = lanes(a, bits), lanes(b, bits), 128 // bits
        order = [part for k in range(0, len(x), n) for part in (*x[k : k + n], *y[k : k + n])]
        return register([saturated(v, bits // 2) for v in order])

    return run


def permute(x: Int, order: Int) -> Int:
    parts, count = lanes(x, 32), x.bits // 32
    return register([parts[z3.simplify(o).as_long() % count] for o in lanes(order, 32)])


def blend(a: Int, b: Int, mask: Int) -> Int:
    pairs = zip(lanes(a, 32), lanes(b, 32), strict=True)
    return register([y if mask.value >> k & 1 else x for k, (x, y) in enumerate(pairs)])


def mask_shuffle(source: Int, mask: Int, a: Int, order: Int) -> Int:
    """vpshufd under a mask: within 128 bits lane k is a's lane `order` bits 2k, 2k + 1, else the source's."""
    parts = lanes(a, 32)
    pick = [parts[k // 4 * 4 + (order.value >> 2 * (k % 4) & 3)] for k in range(len(parts))]
    pairs = zip(lanes(source, 32), pick, strict=True)
    return register([y if mask.value >> k & 1 else x for k, (x, y) in enumerate(pairs)])


def x86(width: int) -> dict[str, Any]:
    """The instructions of AVX2 (256) or AVX-512 (512)."""
    p, w = f"_mm{width}_", f"si{width}"
    low = lambda a, n: a << n  # noqa: E731
    return {
        "_mm_cvtsi32_si128": lambda x: Int(128, False, z3.ZeroExt(96, x.term())),
        f"{p}setzero_{w}": lambda: register([z3.BitVecVal(0, width)]),
        f"{p}loadu_{w}": load(width),
        f"{p}and_{w}": each(32, lambda a, b: a & b),
        **{f"{p}set1_epi{b}": broadcast(b, width) for b in (8, 16, 32)},
        f"{p}setr_epi32": lambda *v: register([x.term() for x in v]),
        **{f"{p}add_epi{b}": each(b, lambda a, b: a + b) for b in (16, 32)},
        f"{p}sub_epi32": each(32, lambda a, b: a - b),
        **{f"{p}min_epi{b}": each(b, least) for b in (8, 32)},
        **{f"{p}max_epi{b}": each(b, most) for b in (8, 32)},
        f"{p}mullo_epi32": each(32, low_product),
        f"{p}mul_epi32": mul_even,
        f"{p}maddubs_epi16": maddubs,
        f"{p}madd_epi16": madd,
        f"{p}sll_epi32": by_number(32, low),
        f"{p}sra_epi32": by_number(32, lambda a, n: a >> n),
        f"{p}slli_epi16": by_number(16, low),
        f"{p}srli_epi16": by_number(16, z3.LShR),
        f"{p}srai_epi16": by_number(16, lambda a, n: a >> n),
        f"{p}srli_epi64": by_number(64, z3.LShR),
        f"{p}srav_epi32": each(32, lambda a, n: a >> n),
        f"{p}packs_epi32": pack(32),
        f"{p}packs_epi16": pack(16),
        f"{p}permutevar8x32_epi32": permute,
        f"{p}permutexvar_epi32": lambda order, x: permute(x, order),
        f"{p}blend_epi32": blend,
        f"{p}mask_shuffle_epi32": mask_shuffle,
    }


def shift_by_lane(a: z3.BitVecRef, n: z3.BitVecRef) -> z3.BitVecRef:
    """sshl: by the lowest byte of n, to the right where it is negative."""
    by = z3.SignExt(24, z3.Extract(7, 0, n))
    return z3.If(by < 0, a >> -by, a << by)


def half(x: Int, which: int) -> Int:
    return register(lanes(x, x.bits // 2)[which : which + 1])


def long_products(bits: int) -> Callable[[Int, Int], Int]:
    return each(bits, lambda a, b: wide(a, b) if bits == 32 else signed(a, b, 2 * bits))


def zipped(operation: Callable[..., z3.BitVecRef], x: Lanes, y: Lanes) -> Int:
    return register([operation(a, b) for a, b in zip(x, y, strict=True)])


def pairs(x: Int, bits: int) -> Int:
    """saddlp: neighbours added, in twice the bits."""
    v = [z3.SignExt(bits, part) for part in lanes(x, bits)]
    return zipped(lambda a, b: a + b, v[::2], v[1::2])


def neon() -> dict[str, Any]:
    """The instructions of AArch64."""
    add = {b: each(b, lambda a, b: a + b) for b in (16, 32)}
    mul = {b: long_products(b) for b in (8, 32)}
    same = lambda x: x  # noqa: E731
    kinds = [f"{k}{b}" for k in "su" for b in (8, 16, 32, 64)]
    return {
        **{f"vreinterpretq_{to}_{of}": same for to in kinds for of in kinds},
        "vld1q_s32": load(128),
        "vdupq_n_s32": broadcast(32, 128),
        "vnegq_s32": each(32, lambda a: -a),
        "vaddq_s32": add[32],
        "vsubq_s32": each(32, lambda a, b: a - b),
        "vminq_s32": each(32, least),
        "vmaxq_s32": each(32, most),
        "vminq_s8": each(8, least),
        "vmaxq_s8": each(8, most),
        "vshlq_s32": each(32, shift_by_lane),
        "vmlaq_s32": lambda to, a, b: add[32](to, each(32, low_product)(a, b)),
        "vget_low_s32": lambda x: half(x, 0),
        "vget_low_s8": lambda x: half(x, 0),
        "vmull_s32": mul[32],
        "vmull_high_s32": lambda a, b: mul[32](half(a, 1), half(b, 1)),
        "vmull_s8": mul[8],
        "vmull_high_s8": lambda a, b: mul[8](half(a, 1), half(b, 1)),
        "vmlal_s8": lambda to, a, b: add[16](to, mul[8](a, b)),
        "vmlal_high_s8": lambda to, a, b: add[16](to, mul[8](half(a, 1), half(b, 1))),
        "vuzp2q_s32": lambda a, b: register([*lanes(a, 32)[1::2], *lanes(b, 32)[1::2]]),
        "vpaddlq_s16": lambda x: pairs(x, 16),
        "vpadalq_s16": lambda to, x: add[32](to, pairs(x, 16)),
        "vpaddq_s32": lambda a, b: zipped(
            lambda x, y: x + y,
            [*lanes(a, 32)[::2], *lanes(b, 32)[::2]],
            [*lanes(a, 32)[1::2], *lanes(b, 32)[1::2]],
        ),
        "vqmovn_s32": each(32, lambda a: saturated(a, 16)),
        "vqmovn_s16": each(16, lambda a: saturated(a, 8)),
        "vcombine_s16": lambda a, b: register([a.term(), b.term()]),
        "vcombine_s8": lambda a, b: register([a.term(), b.term()]),
    }


CONSTANTS = {"_MM_PERM_DDBB": integer(0xF5)}
