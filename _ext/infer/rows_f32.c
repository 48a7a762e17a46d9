/* infer/rows.h for float activations. */
#include "infer/rows.h"

#include <math.h>
#include <string.h>

typedef float element;
#define NAME(op) elq_rows_##op##_f32
#include "infer/rows.inc.h"

void elq_rows_add_f32(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                      ptrdiff_t last) {
    const ptrdiff_t row = s->shape.q * s->shape.o;
    const float *a = x, *b = residual, low = s->f32.low, high = s->f32.high;
    float *to = y;
    for (ptrdiff_t i = first * row; i < last * row; i++) to[i] = elq_bounded(a[i] + b[i], low, high);
}

void elq_rows_scale_shift_f32(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                              ptrdiff_t last) {
    const ptrdiff_t channels = s->shape.o, pixels = s->shape.q;
    const float *scale = s->f32.scale, *bias = s->f32.bias, low = s->f32.low, high = s->f32.high;
    (void)residual;
    for (ptrdiff_t i = first * pixels; i < last * pixels; i++) {
        const float *from = (const float *)x + i * channels;
        float *to = (float *)y + i * channels;
        for (ptrdiff_t c = 0; c < channels; c++) to[c] = elq_bounded(scale[c] * from[c] + bias[c], low, high);
    }
}

void elq_rows_add_channels_f32(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                               ptrdiff_t last) {
    const elq_shape *g = &s->shape;
    const float low = s->f32.low, high = s->f32.high;
    for (ptrdiff_t i = first * g->q; i < last * g->q; i++) {
        const float *from = (const float *)x + i * g->o, *other = (const float *)residual + i / g->q / g->p * g->o;
        float *to = (float *)y + i * g->o;
        for (ptrdiff_t c = 0; c < g->o; c++) to[c] = elq_bounded(from[c] + other[c], low, high);
    }
}

static inline void average(const elq_instruction *s, elq_window seen, ptrdiff_t pixel, const float *x, float *to) {
    const elq_shape *g = &s->shape;
    const float share = s->numbers ? s->numbers[pixel % (g->p * g->q)] : 1 / (float)(g->kh * g->kw);
    const float low = s->f32.low, high = s->f32.high;
    memset(to, 0, (size_t)g->c * sizeof *to);
    for (ptrdiff_t i = 0; i < seen.rows; i++)
        for (ptrdiff_t j = 0; j < seen.columns; j++) {
            const float *from = x + seen.at + (i * g->w + j) * g->c;
            for (ptrdiff_t c = 0; c < g->c; c++) to[c] += from[c];
        }
    for (ptrdiff_t c = 0; c < g->c; c++) to[c] = elq_bounded(to[c] * share, low, high);
}

void elq_rows_avg_pool_f32(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                           ptrdiff_t last) {
    (void)residual;
    for (ptrdiff_t pixel = first; pixel < last; pixel++)
        average(s, elq_window_of(&s->shape, pixel), pixel, x, (float *)y + pixel * s->shape.c);
}

void elq_rows_adaptive_avg_pool_f32(const elq_instruction *s, const void *x, const void *residual, void *y,
                                    ptrdiff_t first, ptrdiff_t last) {
    (void)residual;
    for (ptrdiff_t pixel = first; pixel < last; pixel++)
        average(s, elq_adaptive_window_of(&s->shape, pixel), pixel, x, (float *)y + pixel * s->shape.c);
}

/* v^-beta; by square roots, which compilers vectorize, where it is the usual 3/4. */
static inline float to_minus(float v, float beta) {
    return beta == 0.75f ? 1 / (sqrtf(v) * sqrtf(sqrtf(v))) : powf(v, -beta);
}

void elq_rows_lrn_f32(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                      ptrdiff_t last) {
    const ptrdiff_t channels = s->shape.c, size = s->shape.kw;
    const float share = s->numbers[0], beta = s->numbers[1], bias = s->numbers[2];
    (void)residual;
    for (ptrdiff_t i = first * s->shape.q; i < last * s->shape.q; i++) {
        const float *from = (const float *)x + i * channels;
        float *to = (float *)y + i * channels;
        memset(to, 0, (size_t)channels * sizeof *to);
        for (ptrdiff_t k = -(size / 2); k < size - size / 2; k++) /* channels c + k */
            for (ptrdiff_t c = k < 0 ? -k : 0; c < (k < 0 ? channels : channels - k); c++)
                to[c] += from[c + k] * from[c + k];
        if (beta == 0.75f)
            for (ptrdiff_t c = 0; c < channels; c++) to[c] = from[c] * to_minus(bias + share * to[c], 0.75f);
        else
            for (ptrdiff_t c = 0; c < channels; c++) to[c] = from[c] * to_minus(bias + share * to[c], beta);
    }
}
