/* Sums of byte products on x86 without VNNI, for infer_i8_conv.inc.h. HALVES(name) is the intrinsic of the vector length.
 *
 * Codes: vpmaddubsw gives x0 w0 + x1 w1 in 16 bits, at most 2 * 255; 64 of those stay below 2^15, so most additions are
 * of 16 bits, twice as many an instruction as of 32. Int8 weights would saturate there: even and odd bytes are
 * extended to 16 bits and multiplied by vpmaddwd. */
#define SUMS VEC
#define WIDE_WEIGHTS 1
#define MOST_STEPS(weights) ((weights) == ELQ_FULL ? 0 : 64)
#define sums_zero HALVES_ZERO

static inline __attribute__((always_inline)) SUMS sums_step(SUMS sums, BYTES x, BYTES w, const int weights) {
    if (weights != ELQ_FULL) return HALVES(add_epi16)(sums, HALVES(maddubs_epi16)(x, w));
    const BYTES x_even = HALVES_AND(x, HALVES(set1_epi16)(0xFF)), x_odd = HALVES(srli_epi16)(x, 8);
    const BYTES w_even = HALVES(srai_epi16)(HALVES(slli_epi16)(w, 8), 8), w_odd = HALVES(srai_epi16)(w, 8);
    sums = HALVES(add_epi32)(sums, HALVES(madd_epi16)(x_even, w_even));
    return HALVES(add_epi32)(sums, HALVES(madd_epi16)(x_odd, w_odd));
}

static inline __attribute__((always_inline)) VEC sums_widen(SUMS sums, const int weights) {
    return weights == ELQ_FULL ? sums : HALVES(madd_epi16)(sums, HALVES(set1_epi16)(1));
}
