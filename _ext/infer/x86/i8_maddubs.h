/* Sums of byte products on x86 without VNNI, for infer/i8_conv.inc.h. HALVES(name) is the intrinsic of the vector length.
 *
 * Codes: vpmaddubsw gives x0 w0 + x1 w1 in 16 bits, at most 2 * 255; 64 of those stay below 2^15, so most additions are
 * of 16 bits, twice as many an instruction as of 32. Int8 weights would saturate there: even and odd bytes are
 * extended to 16 bits and multiplied by vpmaddwd. */
#define SUMS VEC
#define WIDE_WEIGHTS 1
#define MOST_STEPS(weights) ((weights) == ELQ_FULL ? 0 : 64)
#define sums_zero HALVES_ZERO

INLINE SUMS sums_step(SUMS sums, BYTES x, BYTES w, const int weights) {
    if (weights != ELQ_FULL) return HALVES(add_epi16)(sums, HALVES(maddubs_epi16)(x, w));
    const BYTES x_even = HALVES_AND(x, HALVES(set1_epi16)(0xFF)), x_odd = HALVES(srli_epi16)(x, 8);
    const BYTES w_even = HALVES(srai_epi16)(HALVES(slli_epi16)(w, 8), 8), w_odd = HALVES(srai_epi16)(w, 8);
    sums = HALVES(add_epi32)(sums, HALVES(madd_epi16)(x_even, w_even));
    return HALVES(add_epi32)(sums, HALVES(madd_epi16)(x_odd, w_odd));
}

INLINE VEC sums_widen(SUMS sums, const int weights) {
    return weights == ELQ_FULL ? sums : HALVES(madd_epi16)(sums, HALVES(set1_epi16)(1));
}

/* One pixel, weights as they lie packed, as avx512vnni.c does it, but with sums of 16 bits: two scales only,
 * the other steps by a shift. A group of steps adds at most `per group` to the sums of the larger scale:
 *   T2  2 steps * 2 * (4 * 2) * 128 = 2^12, so 7 groups stay below 2^15;  B1  4 steps * 2 * 2 * 128 = 2^11, 15 groups */
enum { VECTOR_PIXELS = 4, MOST_VECTOR = 1 << 19 };

#define FOUR_BYTES(i) broadcast((const uint8_t *)x + 4 * (i))
#define MASKED(sum, w, mask, four) sum = HALVES(add_epi16)(sum, HALVES(maddubs_epi16)(HALVES_AND(w, mask), four))

INLINE void vector_sums_of(const uint8_t *packed, ptrdiff_t steps, const int V, const int weights, const int8_t *x,
                           int32_t total, int32_t *sums) {
    const int t2 = weights == ELQ_T2, shared = t2 ? 4 : 8, bits = t2 ? 2 : 1, most = t2 ? 7 : 15;
    const BYTES low = bytes_set(t2 ? 3 : 1), high = bytes_set(t2 ? 12 : 2), ones = HALVES(set1_epi16)(1);
    const VEC all = HALVES(set1_epi32)(total);
    VEC low0 = HALVES_ZERO(), high0 = low0, low1 = low0, high1 = low0;
    while (steps > 0) {
        BYTES a0 = HALVES_ZERO(), a1 = a0, b0 = a0, b1 = a0;
        for (int k = 0; k < most && steps > 0; k++, steps -= shared, x += 4 * shared, packed += V * sizeof(BYTES)) {
            BYTES w0 = bytes_load((const int8_t *)packed);
            BYTES w1 = bytes_load((const int8_t *)packed + (V - 1) * sizeof(BYTES));
#define TWO_STEPS(i)                                                                                                   \
    if (i < shared) {                                                                                                  \
        const BYTES x0 = FOUR_BYTES(i), x1 = FOUR_BYTES(i + 1);                                                        \
        MASKED(a0, w0, low, x0), MASKED(a1, w0, high, x1);                                                             \
        if (V > 1) MASKED(b0, w1, low, x0), MASKED(b1, w1, high, x1);                                                  \
        if (i + 2 < shared) w0 = HALVES(srli_epi16)(w0, 2 * bits), w1 = HALVES(srli_epi16)(w1, 2 * bits);              \
    }
            TWO_STEPS(0) TWO_STEPS(2) TWO_STEPS(4) TWO_STEPS(6)
#undef TWO_STEPS
        }
        low0 = vec_add(low0, HALVES(madd_epi16)(a0, ones)), high0 = vec_add(high0, HALVES(madd_epi16)(a1, ones));
        low1 = vec_add(low1, HALVES(madd_epi16)(b0, ones)), high1 = vec_add(high1, HALVES(madd_epi16)(b1, ones));
    }
    for (int v = 0; v < V; v++) {
        const VEC sum = vec_add(v ? low1 : low0, HALVES(srai_epi32)(v ? high1 : high0, bits));
        vec_store(sums + v * LANES, t2 ? vec_sub(sum, all) : vec_sub(all, vec_add(sum, sum)));
    }
}

INLINE void vector_sums(const uint8_t *packed, const uint8_t *next, ptrdiff_t steps, ptrdiff_t vectors,
                        const int weights, const int8_t *x, int32_t total, int32_t *sums) {
    if (vectors == 1) vector_sums_of(packed, steps, 1, weights, x, total, sums);
    else vector_sums_of(packed, steps, 2, weights, x, total, sums);
    if (vectors > 2) vector_sums_of(next, steps, 2, weights, x, total, sums + 2 * LANES);
}

#undef FOUR_BYTES
#undef MASKED
