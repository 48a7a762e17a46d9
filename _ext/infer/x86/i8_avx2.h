/* What infer/i8_conv.inc.h needs of AVX2: vectors of 8 outputs. See infer/x86/i8_maddubs.h for the products. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "infer/i8_plan.h"

#define LANES 8
#define VEC __m256i
#define BYTES __m256i
#define FLIP 0x80
#define TILE1 12
#define TILE2 6

static inline VEC vec_zero(void) { return _mm256_setzero_si256(); }
static inline VEC vec_load(const int32_t *from) { return _mm256_loadu_si256((const __m256i *)from); }
static inline void vec_store(int32_t *to, VEC v) { _mm256_storeu_si256((__m256i *)to, v); }
static inline VEC vec_add(VEC a, VEC b) { return _mm256_add_epi32(a, b); }
static inline VEC vec_sub(VEC a, VEC b) { return _mm256_sub_epi32(a, b); }
static inline BYTES bytes_load(const int8_t *from) { return _mm256_loadu_si256((const __m256i *)from); }
static inline void bytes_store(int8_t *to, BYTES v) { _mm256_storeu_si256((__m256i *)to, v); }
static inline BYTES bytes_set(int8_t value) { return _mm256_set1_epi8(value); }
static inline BYTES broadcast(const uint8_t *from) {
    int32_t four;
    __builtin_memcpy(&four, from, 4);
    return _mm256_set1_epi32(four);
}

#define HALVES(name) _mm256_##name
#define HALVES_AND _mm256_and_si256
#define HALVES_ZERO _mm256_setzero_si256
#include "infer/x86/i8_maddubs.h"

/* One load gives four steps: shift, mask, take off the 1 that was added. */
static void decode_t2(const uint8_t *packed, ptrdiff_t groups, ptrdiff_t vectors, int8_t *panel) {
    const __m256i mask = _mm256_set1_epi8(3), one = _mm256_set1_epi8(1);
    const ptrdiff_t step = vectors * 32;
    for (ptrdiff_t k = 0; k < groups; k++, panel += 4 * step)
        for (ptrdiff_t v = 0; v < vectors; v++, packed += 32) {
            const __m256i codes = bytes_load((const int8_t *)packed);
            int8_t *to = panel + v * 32;
            bytes_store(to, _mm256_sub_epi8(_mm256_and_si256(codes, mask), one));
            bytes_store(to + step, _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(codes, 2), mask), one));
            bytes_store(to + 2 * step, _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(codes, 4), mask), one));
            bytes_store(to + 3 * step, _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(codes, 6), mask), one));
        }
}

/* A bit of every byte is compared: -1 where it is set, and 1 in place of 0. */
static void decode_b1(const uint8_t *packed, ptrdiff_t groups, ptrdiff_t vectors, int8_t *panel) {
    const __m256i one = _mm256_set1_epi8(1);
    for (ptrdiff_t k = 0; k < groups; k++, panel += 8 * vectors * 32)
        for (ptrdiff_t v = 0; v < vectors; v++, packed += 32) {
            const __m256i codes = bytes_load((const int8_t *)packed);
            for (int i = 0; i < 8; i++) {
                const __m256i bit = _mm256_set1_epi8((char)(1 << i));
                const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(codes, bit), bit);
                bytes_store(panel + (i * vectors + v) * 32, _mm256_or_si256(set, one));
            }
        }
}

/* The tail of 8 outputs, as infer/x86/i8_avx512.h has it of 16. */
typedef struct {
    __m256i q_even, q_odd, round, shift, low, high;
    __m128i l;
} TAIL;

static inline TAIL tail_of(const int32_t *q, const int32_t *round, const int32_t *shift, const int32_t *low,
                           const int32_t *high, int l) {
    const __m256i both = vec_load(q);
    return (TAIL){both,           _mm256_srli_epi64(both, 32), vec_load(round), vec_load(shift), vec_load(low),
                  vec_load(high), _mm_cvtsi32_si128(l)};
}

static inline VEC tail_vec(VEC a, TAIL t) {
    a = _mm256_sll_epi32(a, t.l);
    const __m256i even = _mm256_mul_epi32(a, t.q_even), odd = _mm256_mul_epi32(_mm256_srli_epi64(a, 32), t.q_odd);
    const __m256i high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    return _mm256_srav_epi32(_mm256_add_epi32(high, t.round), t.shift);
}

typedef struct {
    __m256i q_v, q_r, round;
    __m128i shift;
} ADDITION;

static inline ADDITION addition_of(const elq_tail_i8 *tail) {
    return (ADDITION){_mm256_set1_epi32(tail->q_v), _mm256_set1_epi32(tail->q_r),
                      _mm256_set1_epi32(1 << (tail->s_add - 1)), _mm_cvtsi32_si128(tail->s_add)};
}

static inline VEC vec_of_bytes(const int8_t *from) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)from));
}

static inline VEC tail_add(VEC v, TAIL t, VEC r, ADDITION add) {
    v = _mm256_min_epi32(_mm256_max_epi32(v, t.low), t.high);
    v = _mm256_add_epi32(_mm256_mullo_epi32(v, add.q_v), _mm256_mullo_epi32(r, add.q_r));
    return _mm256_sra_epi32(_mm256_add_epi32(v, add.round), add.shift);
}

static inline BYTES tail_pack(VEC a, VEC b, VEC c, VEC d) {
    const __m256i mixed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

static inline BYTES bytes_clamp(BYTES v, BYTES low, BYTES high) {
    return _mm256_min_epi8(_mm256_max_epi8(v, low), high);
}

/* 32 / width pieces of 8 or 16 bytes, `step` apart. */
static inline void bytes_scatter(int8_t *to, ptrdiff_t step, ptrdiff_t width, BYTES v) {
    const __m128i first = _mm256_castsi256_si128(v), second = _mm256_extracti128_si256(v, 1);
    if (width == 16) {
        _mm_storeu_si128((__m128i *)to, first);
        _mm_storeu_si128((__m128i *)(to + step), second);
    } else {
        _mm_storel_epi64((__m128i *)to, first);
        _mm_storel_epi64((__m128i *)(to + step), _mm_unpackhi_epi64(first, first));
        _mm_storel_epi64((__m128i *)(to + 2 * step), second);
        _mm_storel_epi64((__m128i *)(to + 3 * step), _mm_unpackhi_epi64(second, second));
    }
}
