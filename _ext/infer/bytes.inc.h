/* What int8 activations take beside infer/rows_i8.c and pays to be compiled for an instruction set: a template of ROWS(op),
 * the name of a function, and LOOK_UP(table, from, to, count), table[x + 128] of `count` bytes. */
#include "infer/rows.h"

#include <string.h>

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

/* y of `count` products; their b is 0. elq_requantize in double precision, exact: the product with q has 14 + 31 bits at most, and where
 * one half is not added exactly (q 2^(l - s) < 2^-22), the result is 0 either way. */
INLINE void multiply(const elq_instruction *s, const int8_t *a, const int8_t *b, void *y, ptrdiff_t at,
                     ptrdiff_t count) {
    const elq_tail_i8 *tail = &s->i8;
    if (s->raw) {
        for (ptrdiff_t i = 0; i < count; i++) ((int32_t *)y)[at + i] = a[i] * b[i];
        return;
    }
    const double factor = (double)tail->q[0] / (double)((int64_t)1 << (tail->s[0] - tail->l));
    const int lo = tail->lo[0], hi = tail->hi[0];
    int8_t *to = (int8_t *)y + at;
    for (ptrdiff_t i = 0; i < count; i++) {
        const double v = (double)(a[i] * b[i]) * factor + 0.5;
        const double within = v < -128 ? -128 : v > 127 ? 127 : v;
        const int whole = (int)within, down = whole - (within < whole);
        to[i] = (int8_t)(down < lo ? lo : down > hi ? hi : down);
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
