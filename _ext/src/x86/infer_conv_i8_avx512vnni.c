/* Convolution with int8 activations, AVX-512 VNNI: vpdpbusd adds four products of a uint8 and an int8 to an int32. */
#include "infer_i8_avx512.h"

#define SUMS __m512i
#define WIDE_WEIGHTS 0
#define MOST_STEPS(weights) ((void)(weights), 0)
#define sums_zero() _mm512_setzero_si512()
#define sums_step(sums, x, w, weights) _mm512_dpbusd_epi32(sums, x, w)
#define sums_widen(sums, weights) (sums)

/* One pixel, weights as they lie packed: fields of two bits, masked and not shifted, are 1, 4, 16 and 64 times code + 1;
 * the sums of each are divided exactly at the end, and the sum of x is taken off for the 1. Bits choose an x or 0: the
 * sum of x less twice those whose code is -1. */
enum { VECTOR_PIXELS = 4, MOST_VECTOR = 1 << 19 }; /* 64 * 2 * 128 * MOST_VECTOR / 4 = 2^31 */

static inline __attribute__((always_inline)) void vector_sums_of(const uint8_t *packed, ptrdiff_t steps, const int V,
                                                                 const int weights, const int8_t *x, int32_t total,
                                                                 int32_t *sums) {
    const __m512i all = _mm512_set1_epi32(total);
    __m512i a0 = vec_zero(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    if (weights == ELQ_T2) {
        const __m512i m0 = bytes_set(3), m1 = bytes_set(12), m2 = bytes_set(48), m3 = bytes_set((char)192);
        for (; steps > 0; steps -= 4, x += 16, packed += V * 64) {
            const __m512i w0 = _mm512_loadu_si512(packed), w1 = _mm512_loadu_si512(packed + (V - 1) * 64);
            const __m512i x0 = broadcast((const uint8_t *)x), x1 = broadcast((const uint8_t *)x + 4);
            const __m512i x2 = broadcast((const uint8_t *)x + 8), x3 = broadcast((const uint8_t *)x + 12);
            a0 = _mm512_dpbusd_epi32(a0, _mm512_and_si512(w0, m0), x0);
            a1 = _mm512_dpbusd_epi32(a1, _mm512_and_si512(w0, m1), x1);
            a2 = _mm512_dpbusd_epi32(a2, _mm512_and_si512(w0, m2), x2);
            a3 = _mm512_dpbusd_epi32(a3, _mm512_and_si512(w0, m3), x3);
            if (V < 2) continue;
            b0 = _mm512_dpbusd_epi32(b0, _mm512_and_si512(w1, m0), x0);
            b1 = _mm512_dpbusd_epi32(b1, _mm512_and_si512(w1, m1), x1);
            b2 = _mm512_dpbusd_epi32(b2, _mm512_and_si512(w1, m2), x2);
            b3 = _mm512_dpbusd_epi32(b3, _mm512_and_si512(w1, m3), x3);
        }
        a0 = vec_add(vec_add(a0, _mm512_srai_epi32(a1, 2)), vec_add(_mm512_srai_epi32(a2, 4), _mm512_srai_epi32(a3, 6)));
        b0 = vec_add(vec_add(b0, _mm512_srai_epi32(b1, 2)), vec_add(_mm512_srai_epi32(b2, 4), _mm512_srai_epi32(b3, 6)));
        vec_store(sums, vec_sub(a0, all));
        if (V > 1) vec_store(sums + LANES, vec_sub(b0, all));
    } else {
        const __m512i one = bytes_set(1);
#define CHOOSE(i) _mm512_maskz_mov_epi8(bits[i], one)
        for (; steps >= 4; steps -= 4, x += 16, packed += V * 32) {
            uint64_t bits[4 * V];
            __builtin_memcpy(bits, packed, sizeof bits);
            const __m512i x0 = broadcast((const uint8_t *)x), x1 = broadcast((const uint8_t *)x + 4);
            const __m512i x2 = broadcast((const uint8_t *)x + 8), x3 = broadcast((const uint8_t *)x + 12);
            a0 = _mm512_dpbusd_epi32(a0, CHOOSE(0), x0), a1 = _mm512_dpbusd_epi32(a1, CHOOSE(V), x1);
            a2 = _mm512_dpbusd_epi32(a2, CHOOSE(2 * V), x2), a3 = _mm512_dpbusd_epi32(a3, CHOOSE(3 * V), x3);
            if (V < 2) continue;
            b0 = _mm512_dpbusd_epi32(b0, CHOOSE(1), x0), b1 = _mm512_dpbusd_epi32(b1, CHOOSE(3), x1);
            b2 = _mm512_dpbusd_epi32(b2, CHOOSE(5), x2), b3 = _mm512_dpbusd_epi32(b3, CHOOSE(7), x3);
        }
        for (; steps > 0; steps--, x += 4, packed += V * 8) {
            uint64_t bits[V];
            __builtin_memcpy(bits, packed, sizeof bits);
            a0 = _mm512_dpbusd_epi32(a0, CHOOSE(0), broadcast((const uint8_t *)x));
            if (V > 1) b0 = _mm512_dpbusd_epi32(b0, CHOOSE(V - 1), broadcast((const uint8_t *)x));
        }
#undef CHOOSE
        a0 = vec_add(vec_add(a0, a1), vec_add(a2, a3)), b0 = vec_add(vec_add(b0, b1), vec_add(b2, b3));
        vec_store(sums, vec_sub(all, vec_add(a0, a0)));
        if (V > 1) vec_store(sums + LANES, vec_sub(all, vec_add(b0, b0)));
    }
}

static inline __attribute__((always_inline)) void vector_sums(const uint8_t *packed, ptrdiff_t steps, ptrdiff_t vectors,
                                                              const int weights, const int8_t *x, int32_t total,
                                                              int32_t *sums) {
    if (vectors > 1) vector_sums_of(packed, steps, 2, weights, x, total, sums);
    else vector_sums_of(packed, steps, 1, weights, x, total, sums);
}

#include "infer_i8_conv.inc.h"

KERNEL(t2, avx512vnni, ELQ_AVX512VNNI, ELQ_T2)
KERNEL(b1, avx512vnni, ELQ_AVX512VNNI, ELQ_B1)
KERNEL(i8, avx512vnni, ELQ_AVX512VNNI, ELQ_FULL)
