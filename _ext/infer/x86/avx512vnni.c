/* Convolution with int8 activations, AVX-512 VNNI: vpdpbusd adds four products of a uint8 and an int8 to an int32. */
#include "infer/x86/i8_avx512.h"

#define SUMS __m512i
#define WIDE_WEIGHTS 0
#define MOST_STEPS(weights) ((void)(weights), 0)
#define sums_zero() _mm512_setzero_si512()
#define sums_step(sums, x, w, weights) _mm512_dpbusd_epi32(sums, x, w)
#define sums_widen(sums, weights) (sums)

/* One pixel, weights as they lie packed: fields masked and not shifted are 1, 4, 16 and 64 times code + 1, bits 1 to 128
 * times theirs. Each has a sum of its own, divided exactly at the end. The sum of x is taken off for the 1 added to a
 * code; a bit is 1 where the code is -1, so binary ones are the sum of x less twice those. Four vectors at a time of T2,
 * since loading x to all lanes takes its share of the units that mask and multiply. */
enum { VECTOR_PIXELS = 4, MOST_VECTOR = 1 << 19 }; /* 64 * 2 * 128 * MOST_VECTOR / 4 = 2^31 */

/* clang-format off */
#define FOUR_BYTES(i) const __m512i x##i = broadcast((const uint8_t *)x + 4 * i);
/* In assembly: gcc 12 copies sums from register to register and spills them in these loops. */
#define MASKED(sum, w, i)                                                                                              \
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum##i) : "v"(_mm512_and_si512(w, m##i)), "v"(x##i));
#define DIVIDED(sum, i, bits) vec_add(sum, _mm512_srai_epi32(i, bits))

INLINE void vector_t2(const uint8_t *packed, const uint8_t *next, ptrdiff_t steps, const int V, const int8_t *x,
                      int32_t total, int32_t *sums) {
    const __m512i m0 = bytes_set(3), m1 = bytes_set(12), m2 = bytes_set(48), m3 = bytes_set((char)192);
    const __m512i all = _mm512_set1_epi32(total);
    __m512i a0 = vec_zero(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    __m512i c0 = a0, c1 = a0, c2 = a0, c3 = a0, d0 = a0, d1 = a0, d2 = a0, d3 = a0;
    const ptrdiff_t size = V > 1 ? 128 : 64;
    do {
        FOUR_BYTES(0) FOUR_BYTES(1) FOUR_BYTES(2) FOUR_BYTES(3)
        const __m512i w0 = _mm512_loadu_si512(packed);
        MASKED(a, w0, 0) MASKED(a, w0, 1) MASKED(a, w0, 2) MASKED(a, w0, 3)
        if (V > 1) {
            const __m512i w1 = _mm512_loadu_si512(packed + 64);
            MASKED(b, w1, 0) MASKED(b, w1, 1) MASKED(b, w1, 2) MASKED(b, w1, 3)
        }
        if (V > 2) {
            const __m512i w2 = _mm512_loadu_si512(next), w3 = _mm512_loadu_si512(next + 64);
            MASKED(c, w2, 0) MASKED(c, w2, 1) MASKED(c, w2, 2) MASKED(c, w2, 3)
            MASKED(d, w3, 0) MASKED(d, w3, 1) MASKED(d, w3, 2) MASKED(d, w3, 3)
        }
        x += 16, packed += size, next += size;
    } while ((steps -= 4) > 0);
#define TOTAL_T2(s) vec_sub(DIVIDED(DIVIDED(DIVIDED(s##0, s##1, 2), s##2, 4), s##3, 6), all)
    vec_store(sums, TOTAL_T2(a));
    if (V > 1) vec_store(sums + LANES, TOTAL_T2(b));
    if (V > 2) vec_store(sums + 2 * LANES, TOTAL_T2(c)), vec_store(sums + 3 * LANES, TOTAL_T2(d));
}

INLINE void vector_b1(const uint8_t *packed, ptrdiff_t steps, const int V, const int8_t *x, int32_t total,
                      int32_t *sums) {
    const __m512i m0 = bytes_set(1), m1 = bytes_set(2), m2 = bytes_set(4), m3 = bytes_set(8), m4 = bytes_set(16);
    const __m512i m5 = bytes_set(32), m6 = bytes_set(64), m7 = bytes_set((char)128), all = _mm512_set1_epi32(total);
    __m512i a0 = vec_zero(), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
    __m512i b0 = a0, b1 = a0, b2 = a0, b3 = a0, b4 = a0, b5 = a0, b6 = a0, b7 = a0;
    do {
        FOUR_BYTES(0) FOUR_BYTES(1) FOUR_BYTES(2) FOUR_BYTES(3) FOUR_BYTES(4) FOUR_BYTES(5) FOUR_BYTES(6) FOUR_BYTES(7)
        const __m512i w0 = _mm512_loadu_si512(packed), w1 = _mm512_loadu_si512(packed + (V - 1) * 64);
        MASKED(a, w0, 0) MASKED(a, w0, 1) MASKED(a, w0, 2) MASKED(a, w0, 3)
        MASKED(a, w0, 4) MASKED(a, w0, 5) MASKED(a, w0, 6) MASKED(a, w0, 7)
        if (V > 1) {
            MASKED(b, w1, 0) MASKED(b, w1, 1) MASKED(b, w1, 2) MASKED(b, w1, 3)
            MASKED(b, w1, 4) MASKED(b, w1, 5) MASKED(b, w1, 6) MASKED(b, w1, 7)
        }
        x += 32, packed += V * 64;
    } while ((steps -= 8) > 0);
#define LOW_B1(s) DIVIDED(DIVIDED(DIVIDED(s##0, s##1, 1), s##2, 2), s##3, 3)
#define BOTH_B1(s) DIVIDED(DIVIDED(DIVIDED(DIVIDED(LOW_B1(s), s##4, 4), s##5, 5), s##6, 6), s##7, 7)
    vec_store(sums, vec_sub(all, _mm512_slli_epi32(BOTH_B1(a), 1)));
    if (V > 1) vec_store(sums + LANES, vec_sub(all, _mm512_slli_epi32(BOTH_B1(b), 1)));
}
/* clang-format on */

/* Functions of their own, so that gcc keeps nothing else in registers and the sums out of memory. */
typedef void vector_function(const uint8_t *packed, const uint8_t *next, ptrdiff_t steps, const int8_t *x,
                             int32_t total, int32_t *sums);
#define VECTOR_FUNCTION(name, call)                                                                                    \
    static __attribute__((noinline)) void name(const uint8_t *packed, const uint8_t *next, ptrdiff_t steps,            \
                                               const int8_t *x, int32_t total, int32_t *sums) {                        \
        (void)next;                                                                                                    \
        call;                                                                                                          \
    }
VECTOR_FUNCTION(t2_1, vector_t2(packed, next, steps, 1, x, total, sums))
VECTOR_FUNCTION(t2_2, vector_t2(packed, next, steps, 2, x, total, sums))
VECTOR_FUNCTION(t2_4, vector_t2(packed, next, steps, 4, x, total, sums))
VECTOR_FUNCTION(b1_1, vector_b1(packed, steps, 1, x, total, sums))
VECTOR_FUNCTION(b1_2, vector_b1(packed, steps, 2, x, total, sums))
VECTOR_FUNCTION(b1_4, (b1_2(packed, next, steps, x, total, sums), b1_2(next, next, steps, x, total, sums + 2 * LANES)))

static void vector_sums(const uint8_t *packed, const uint8_t *next, ptrdiff_t steps, ptrdiff_t vectors, int weights,
                        const int8_t *x, int32_t total, int32_t *sums) {
    static vector_function *const T2[] = {NULL, t2_1, t2_2, NULL, t2_4}, *const B1[] = {NULL, b1_1, b1_2, NULL, b1_4};
    (weights == ELQ_T2 ? T2 : B1)[vectors](packed, next, steps, x, total, sums);
}

#include "infer/i8_conv.inc.h"

const elq_kernel elq_conv_i8_t2__avx512vnni = {
    .name = "elq_conv_i8_t2__avx512vnni", .isa = ELQ_AVX512VNNI, .weights = ELQ_T2, I8_CONV(t2)};
const elq_kernel elq_conv_i8_b1__avx512vnni = {
    .name = "elq_conv_i8_b1__avx512vnni", .isa = ELQ_AVX512VNNI, .weights = ELQ_B1, I8_CONV(b1)};
const elq_kernel elq_conv_i8_i8__avx512vnni = {
    .name = "elq_conv_i8_i8__avx512vnni", .isa = ELQ_AVX512VNNI, .weights = ELQ_FULL, I8_CONV(i8)};
const elq_kernel elq_conv_i8i32_t2__avx512vnni = {
    .name = "elq_conv_i8i32_t2__avx512vnni", .isa = ELQ_AVX512VNNI, .weights = ELQ_T2, I8_SUMS(t2)};
const elq_kernel elq_conv_i8i32_b1__avx512vnni = {
    .name = "elq_conv_i8i32_b1__avx512vnni", .isa = ELQ_AVX512VNNI, .weights = ELQ_B1, I8_SUMS(b1)};
const elq_kernel elq_conv_i8i32_i8__avx512vnni = {
    .name = "elq_conv_i8i32_i8__avx512vnni", .isa = ELQ_AVX512VNNI, .weights = ELQ_FULL, I8_SUMS(i8)};

/* The limit: 64 products, summed by four into 32 bits. */
#include "infer/limit.h"

#define BYTES_STEP(sum) __asm__ volatile("vpdpbusd %2, %2, %0" : "+v"(sum), "=v"(t) : "v"(x));

ELQ_LIMIT(elq_limit_i8__avx512vnni, "vpdpbusd, 512 bits", ELQ_AVX512VNNI, ELQ_I8, __m512i, BYTES_STEP, 64)
