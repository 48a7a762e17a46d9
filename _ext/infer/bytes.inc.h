/* What int8 activations take beside infer/rows_i8.c and pays to be compiled for an instruction set: a template of ROWS(op),
 * the name of a function, VECTOR_BYTES, and LOOK_UP(table, from, to, count), table[x + 128] of `count` bytes. */
#include "infer/rows.h"

#include <string.h>

enum { SOME = 256 }; /* products at a time */

#define INLINE static inline __attribute__((always_inline))

/* table[x + 128], one at a time. */
INLINE void look_up(const int8_t *table, const int8_t *from, int8_t *to, ptrdiff_t count) {
    const int8_t *of_zero = table + 128;
    for (ptrdiff_t i = 0; i < count; i++) to[i] = of_zero[from[i]];
}

#ifndef LOOK_UP
#define LOOK_UP look_up
#endif

void ROWS(table)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                 ptrdiff_t last) {
    const ptrdiff_t row = s->shape.q * s->shape.o;
    (void)residual;
    LOOK_UP(s->table, (const int8_t *)x + first * row, (int8_t *)y + first * row, (last - first) * row);
}

void ROWS(table_channels)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                          ptrdiff_t last) {
    const ptrdiff_t channels = s->shape.o, row = s->shape.q;
    const int8_t *table = s->table;
    (void)residual;
    for (ptrdiff_t i = first * row; i < last * row; i++)
        for (ptrdiff_t c = 0; c < channels; c++)
            ((int8_t *)y)[i * channels + c] = table[256 * c + 128 + ((const int8_t *)x)[i * channels + c]];
}

void ROWS(concat)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                  ptrdiff_t last) {
    const ptrdiff_t c = s->shape.c, o = s->shape.o, row = s->shape.q;
    (void)residual;
    for (ptrdiff_t i = first * row; i < last * row; i++) {
        const int8_t *from = (const int8_t *)x + i * c;
        int8_t *to = (int8_t *)y + i * o + s->first_channel;
        if (s->table) LOOK_UP(s->table, from, to, c);
        else memcpy(to, from, (size_t)c);
    }
}

/* y of `count` products; their b is 0. elq_requantize in 32 bits: of the product with q the low 32 bits cannot matter, as
 * s >= 33, and what is shifted is rounded there. */
INLINE void multiply(const elq_instruction *s, const int8_t *a, const int8_t *b, void *y, ptrdiff_t at,
                     ptrdiff_t count) {
    const elq_tail_i8 *tail = &s->i8;
    if (s->raw) {
        for (ptrdiff_t i = 0; i < count; i++) ((int32_t *)y)[at + i] = a[i] * b[i];
        return;
    }
    const int32_t left = (int32_t)1 << tail->l, q = tail->q[0], half = (int32_t)1 << (tail->s[0] - 33);
    const int shift = tail->s[0] - 32, lo = tail->lo[0], hi = tail->hi[0];
    int8_t some[SOME]; /* y may be a or b */
    for (ptrdiff_t part; count > 0; a += part, b += part, at += part, count -= part) {
        part = count < SOME ? count : SOME;
        for (ptrdiff_t i = 0; i < part; i++) {
            const int32_t high = (int32_t)(((int64_t)(a[i] * b[i] * left) * q) >> 32), v = (high + half) >> shift;
            some[i] = (int8_t)(v < lo ? lo : v > hi ? hi : v);
        }
        memcpy((int8_t *)y + at, some, (size_t)part);
    }
}

void ROWS(mul)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
               ptrdiff_t last) {
    const ptrdiff_t row = s->shape.q * s->shape.o;
    multiply(s, (const int8_t *)x + first * row, (const int8_t *)residual + first * row, y, first * row,
             (last - first) * row);
}

void ROWS(mul_channels)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                        ptrdiff_t last) {
    const elq_shape *g = &s->shape;
    for (ptrdiff_t i = first * g->q; i < last * g->q; i++)
        multiply(s, (const int8_t *)x + i * g->o, (const int8_t *)residual + i / g->q / g->p * g->o, y, i * g->o, g->o);
}

#define ELEMENT int8_t
#define POOL(name) bytes_##name
#define NO_NUMBER(v) ((v) & 0)
#include "infer/max_pool.inc.h"
