/* infer/rows.h for int8 activations. */
#include "infer/rows.h"

#include <string.h>

typedef int8_t element;
#define NAME(op) elq_rows_##op##_i8
#include "infer/rows.inc.h"

enum { AVERAGED = 256 }; /* channels whose sums are kept at a time */

/* y[at] from the sum of channel o (0 for an average): the sum itself, or requantized. */
static inline void finish(const elq_instruction *s, uint32_t sum, ptrdiff_t o, void *y, ptrdiff_t at) {
    const elq_tail_i8 *tail = &s->i8;
    const int32_t a = (int32_t)(sum + (uint32_t)tail->b[o]);
    if (s->raw) ((int32_t *)y)[at] = a;
    else ((int8_t *)y)[at] = (int8_t)elq_requantize(a, tail->l, tail->q[o], tail->s[o], tail->lo[o], tail->hi[o]);
}

void elq_rows_add_i8(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                     ptrdiff_t last) {
    const ptrdiff_t row = s->shape.q * s->shape.o;
    const int8_t *a = x, *b = residual;
    const int32_t q_a = s->i8.q_v, q_b = s->i8.q_r, half = (int32_t)1 << (s->i8.s_add - 1);
    const int shift = s->i8.s_add, lo = s->i8.lo_add, hi = s->i8.hi_add;
    int8_t *to = y;
    for (ptrdiff_t i = first * row; i < last * row; i++) { /* |a q_a + b q_b| <= 2^30: half fits beside it */
        const int32_t v = (a[i] * q_a + b[i] * q_b + half) >> shift;
        to[i] = (int8_t)(v < lo ? lo : v > hi ? hi : v);
    }
}

void elq_rows_scale_shift_i8(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                             ptrdiff_t last) {
    const ptrdiff_t channels = s->shape.o, pixels = s->shape.q;
    const int8_t *from = x, *weights = s->weights;
    (void)residual;
    for (ptrdiff_t i = first * pixels; i < last * pixels; i++)
        for (ptrdiff_t o = 0; o < channels; o++) {
            const ptrdiff_t at = i * channels + o;
            finish(s, (uint32_t)(from[at] * weights[o]), o, y, at);
        }
}

void elq_rows_add_channels_i8(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                              ptrdiff_t last) {
    const elq_shape *g = &s->shape;
    const int32_t q_a = s->i8.q_v, q_b = s->i8.q_r, half = (int32_t)1 << (s->i8.s_add - 1);
    const int shift = s->i8.s_add, lo = s->i8.lo_add, hi = s->i8.hi_add;
    for (ptrdiff_t i = first * g->q; i < last * g->q; i++) {
        const int8_t *a = (const int8_t *)x + i * g->o, *b = (const int8_t *)residual + i / g->q / g->p * g->o;
        int8_t *to = (int8_t *)y + i * g->o;
        for (ptrdiff_t c = 0; c < g->o; c++) {
            const int32_t v = (a[c] * q_a + b[c] * q_b + half) >> shift;
            to[c] = (int8_t)(v < lo ? lo : v > hi ? hi : v);
        }
    }
}

static inline void average(const elq_instruction *s, elq_window seen, ptrdiff_t pixel, const int8_t *x, void *y) {
    const elq_shape *g = &s->shape;
    const ptrdiff_t which = s->which ? s->which[pixel % (g->p * g->q)] : 0;
    int32_t sums[AVERAGED];
    for (ptrdiff_t block = 0; block < g->c; block += AVERAGED) {
        const ptrdiff_t channels = g->c - block < AVERAGED ? g->c - block : AVERAGED;
        memset(sums, 0, sizeof sums);
        for (ptrdiff_t i = 0; i < seen.rows; i++)
            for (ptrdiff_t j = 0; j < seen.columns; j++) {
                const int8_t *from = x + seen.at + block + (i * g->w + j) * g->c;
                for (ptrdiff_t c = 0; c < channels; c++) sums[c] += from[c];
            }
        for (ptrdiff_t c = 0; c < channels; c++) finish(s, (uint32_t)sums[c], which, y, pixel * g->c + block + c);
    }
}

void elq_rows_avg_pool_i8(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                          ptrdiff_t last) {
    (void)residual;
    for (ptrdiff_t pixel = first; pixel < last; pixel++) average(s, elq_window_of(&s->shape, pixel), pixel, x, y);
}

void elq_rows_adaptive_avg_pool_i8(const elq_instruction *s, const void *x, const void *residual, void *y,
                                   ptrdiff_t first, ptrdiff_t last) {
    (void)residual;
    for (ptrdiff_t pixel = first; pixel < last; pixel++)
        average(s, elq_adaptive_window_of(&s->shape, pixel), pixel, x, y);
}
