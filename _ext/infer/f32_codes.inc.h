/* Packed codes as the float kernels keep them, and the tail of a sum. A template of REAL (float), VECTOR_BYTES, NAME
 * MAXIMUM(low, v) and MINIMUM(high, v), which are v where v is not a number.
 *
 * A block is LANES output channels of one group. Its rows of bits, as they lie in the file, stand side by side:
 *
 *     packed[block][word][lane]     uint32: bits 32 word .. 32 word + 31 of the row of the block's output `lane`
 *
 * so that one shift brings the same weight of all outputs of a block to the low end of their words. With NO_CODES the
 * words are floats, one weight each. */
#include "common/vector.inc.h"

#include "infer/kernels.h"

#ifndef NO_CODES
#undef UNSIGNED
#undef SIGNED
#define UNSIGNED NAME(unsigned)
#define SIGNED NAME(signed)

typedef uint32_t UNSIGNED __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t SIGNED __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t NAME(words) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(uint32_t)), may_alias));

INLINE UNSIGNED NAME(load_words)(const uint32_t *p) { return (UNSIGNED)(*(const NAME(words) *)p); }

/* The codes in the low 1 or 2 bits of the words: 0, 1 are +1, -1; 00, 01, 11 are 0, +1, -1. */
INLINE VEC NAME(decode)(const int bits, UNSIGNED w) {
    if (bits == 1) return (VEC)((w << 31) | 0x3f800000u);
    return __builtin_convertvector((SIGNED)(w << 30) >> 30, VEC);
}
#endif

/* Words of a row. */
INLINE ptrdiff_t NAME(row_words)(const int bits, const elq_shape *s) {
    return (s->kh * s->kw * (s->c / s->groups) * bits + 31) / 32;
}

INLINE ptrdiff_t NAME(group_blocks)(const elq_shape *s) { return (s->o / s->groups + LANES - 1) / LANES; }

INLINE size_t NAME(code_bytes)(const int bits, const elq_shape *s) {
    return (size_t)(s->groups * NAME(group_blocks)(s) * NAME(row_words)(bits, s) * LANES) * sizeof(uint32_t);
}

#ifndef NO_CODES
INLINE void NAME(pack_codes)(const int bits, const elq_shape *s, const void *rows, void *packed) {
    ptrdiff_t size = (s->kh * s->kw * (s->c / s->groups) * bits + 7) / 8, outputs = s->o / s->groups;
    ptrdiff_t words = NAME(row_words)(bits, s), blocks = NAME(group_blocks)(s);
    uint32_t *to = packed;
    memset(packed, 0, NAME(code_bytes)(bits, s));
    for (ptrdiff_t o = 0; o < s->o; o++) {
        const unsigned char *row = (const unsigned char *)rows + o * size;
        ptrdiff_t block = o / outputs * blocks + o % outputs / LANES, lane = o % outputs % LANES;
        for (ptrdiff_t k = 0; k < size; k++)
            to[(block * words + k / 4) * LANES + lane] |= (uint32_t)row[k] << (8 * (k % 4));
    }
}
#endif

/* min(max(scale * sum + bias + residual, low), high) of one pixel and the first n lanes of a vector; residual may be NULL. */
static __attribute__((noinline)) void NAME(tail_some)(float *y, VEC v, const float *residual, VEC low, VEC high,
                                                      ptrdiff_t n) {
    if (residual) v += NAME(load_some)(residual, n);
    NAME(store_some)(y, MINIMUM(high, MAXIMUM(low, v)), n);
}

INLINE void NAME(tail)(float *y, VEC sum, VEC scale, VEC bias, const float *residual, VEC low, VEC high, ptrdiff_t n) {
    VEC v = sum * scale + bias;
    if (n < LANES) {
        NAME(tail_some)(y, v, residual, low, high, n);
        return;
    }
    if (residual) v += NAME(load)(residual);
    NAME(store)(y, MINIMUM(high, MAXIMUM(low, v)));
}

/* The tail of `pixels` neighbours, whose outputs lie from element `place` of y on, and outputs o .. `end` of them, in
 * `vectors` vectors of sums a pixel. */
static void NAME(finish_row)(const elq_conv *conv, ptrdiff_t place, ptrdiff_t o, ptrdiff_t end, int vectors,
                             const float *sums, ptrdiff_t pixels) {
    const elq_tail_f32 *tail = conv->tail;
    const float *residual = conv->residual;
    VEC low = tail->low - (VEC){0}, high = tail->high - (VEC){0};
    for (int k = 0; k < vectors; k++, o += LANES, sums += LANES) {
        VEC scale = NAME(load_some)(tail->scale + o, end - o), bias = NAME(load_some)(tail->bias + o, end - o);
        for (ptrdiff_t pixel = 0; pixel < pixels; pixel++) {
            ptrdiff_t at = place + pixel * conv->shape.o + o;
            NAME(tail)((float *)conv->y + at, NAME(load)(sums + pixel * vectors * LANES), scale, bias,
                       residual ? residual + at : NULL, low, high, end - o);
        }
    }
}
