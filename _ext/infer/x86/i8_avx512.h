/* What the int8 convolutions of AVX-512 share, with and without VNNI: see infer/i8_conv.inc.h for the names. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "infer/i8_plan.h"

#define LANES 16
#define VEC __m512i
#define BYTES __m512i
#define FLIP 0x80
#define TILE1 16
#define TILE2 14

static inline VEC vec_zero(void) { return _mm512_setzero_si512(); }
static inline VEC vec_load(const int32_t *from) { return _mm512_loadu_si512(from); }
static inline void vec_store(int32_t *to, VEC v) { _mm512_storeu_si512(to, v); }
static inline VEC vec_add(VEC a, VEC b) { return _mm512_add_epi32(a, b); }
static inline VEC vec_sub(VEC a, VEC b) { return _mm512_sub_epi32(a, b); }
static inline BYTES bytes_load(const int8_t *from) { return _mm512_loadu_si512(from); }
static inline void bytes_store(int8_t *to, BYTES v) { _mm512_storeu_si512(to, v); }
static inline BYTES bytes_set(int8_t value) { return _mm512_set1_epi8(value); }
static inline BYTES broadcast(const uint8_t *from) {
    int32_t four;
    __builtin_memcpy(&four, from, 4);
    return _mm512_set1_epi32(four);
}

/* One load gives four steps: shift, mask, take off the 1 that was added. */
static void decode_t2(const uint8_t *packed, ptrdiff_t groups, ptrdiff_t vectors, int8_t *panel) {
    const __m512i mask = _mm512_set1_epi8(3), one = _mm512_set1_epi8(1);
    for (ptrdiff_t k = 0; k < groups; k++, panel += 4 * vectors * 64)
        for (ptrdiff_t v = 0; v < vectors; v++, packed += 64) {
            const __m512i codes = _mm512_loadu_si512(packed);
            int8_t *to = panel + v * 64;
            bytes_store(to, _mm512_sub_epi8(_mm512_and_si512(codes, mask), one));
            to += vectors * 64;
            bytes_store(to, _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(codes, 2), mask), one));
            to += vectors * 64;
            bytes_store(to, _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(codes, 4), mask), one));
            to += vectors * 64;
            bytes_store(to, _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(codes, 6), mask), one));
        }
}

/* A bit of every byte makes a mask register: -1 where it is set, else 1. */
static void decode_b1(const uint8_t *packed, ptrdiff_t groups, ptrdiff_t vectors, int8_t *panel) {
    const __m512i one = _mm512_set1_epi8(1), minus = _mm512_set1_epi8(-1);
    for (ptrdiff_t k = 0; k < groups; k++, panel += 8 * vectors * 64)
        for (ptrdiff_t v = 0; v < vectors; v++, packed += 64) {
            const __m512i codes = _mm512_loadu_si512(packed);
            for (int i = 0; i < 8; i++) {
                const __mmask64 set = _mm512_test_epi8_mask(codes, _mm512_set1_epi8((char)(1 << i)));
                bytes_store(panel + (i * vectors + v) * 64, _mm512_mask_blend_epi8(set, one, minus));
            }
        }
}

/* The tail of 16 outputs. The low words of the 64-bit products cannot matter, since s >= 33: the high ones of the even
 * and the odd lanes are put side by side, rounded and shifted in 32 bits. */
typedef struct {
    __m512i q_even, q_odd, round, shift, low, high;
    __m128i l;
} TAIL;

static inline TAIL tail_of(const int32_t *q, const int32_t *round, const int32_t *shift, const int32_t *low,
                           const int32_t *high, int l) {
    const __m512i both = vec_load(q);
    return (TAIL){both,           _mm512_srli_epi64(both, 32), vec_load(round), vec_load(shift), vec_load(low),
                  vec_load(high), _mm_cvtsi32_si128(l)};
}

static inline VEC tail_vec(VEC a, TAIL t) {
    a = _mm512_sll_epi32(a, t.l);
    const __m512i even = _mm512_mul_epi32(a, t.q_even), odd = _mm512_mul_epi32(_mm512_srli_epi64(a, 32), t.q_odd);
    const __m512i high = _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
    return _mm512_srav_epi32(_mm512_add_epi32(high, t.round), t.shift);
}

typedef struct {
    __m512i q_v, q_r, round;
    __m128i shift;
} ADDITION;

static inline ADDITION addition_of(const elq_tail_i8 *tail) {
    return (ADDITION){_mm512_set1_epi32(tail->q_v), _mm512_set1_epi32(tail->q_r),
                      _mm512_set1_epi32(1 << (tail->s_add - 1)), _mm_cvtsi32_si128(tail->s_add)};
}

static inline VEC vec_of_bytes(const int8_t *from) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from));
}

static inline VEC tail_add(VEC v, TAIL t, VEC r, ADDITION add) {
    v = _mm512_min_epi32(_mm512_max_epi32(v, t.low), t.high);
    v = _mm512_add_epi32(_mm512_mullo_epi32(v, add.q_v), _mm512_mullo_epi32(r, add.q_r));
    return _mm512_sra_epi32(_mm512_add_epi32(v, add.round), add.shift);
}

static inline BYTES tail_pack(VEC a, VEC b, VEC c, VEC d) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i mixed = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    return _mm512_permutexvar_epi32(order, mixed);
}

static inline BYTES bytes_clamp(BYTES v, BYTES low, BYTES high) {
    return _mm512_min_epi8(_mm512_max_epi8(v, low), high);
}

/* 64 / width pieces of 16 or 32 bytes, `step` apart. */
static inline void bytes_scatter(int8_t *to, ptrdiff_t step, ptrdiff_t width, BYTES v) {
    if (width == 32) {
        _mm256_storeu_si256((__m256i *)to, _mm512_castsi512_si256(v));
        _mm256_storeu_si256((__m256i *)(to + step), _mm512_extracti64x4_epi64(v, 1));
    } else {
        _mm_storeu_si128((__m128i *)to, _mm512_castsi512_si128(v));
        _mm_storeu_si128((__m128i *)(to + step), _mm512_extracti32x4_epi32(v, 1));
        _mm_storeu_si128((__m128i *)(to + 2 * step), _mm512_extracti32x4_epi32(v, 2));
        _mm_storeu_si128((__m128i *)(to + 3 * step), _mm512_extracti32x4_epi32(v, 3));
    }
}
