/* infer/rows.h for float activations. */
#include "infer/rows.h"

#include <string.h>

typedef float element;
#define NAME(op) elq_rows_##op##_f32
#define NO_NUMBER(v) ((v) != (v))
#include "infer/rows.inc.h"

static inline float at_least(float v, float low) { return v < low ? low : v; }

void elq_rows_add_f32(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                      ptrdiff_t last) {
    const ptrdiff_t row = s->shape.q * s->shape.o;
    const float *a = x, *b = residual, low = s->f32.low;
    float *to = y;
    for (ptrdiff_t i = first * row; i < last * row; i++) to[i] = at_least(a[i] + b[i], low);
}

void elq_rows_scale_shift_f32(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                              ptrdiff_t last) {
    const ptrdiff_t channels = s->shape.o, pixels = s->shape.q;
    const float *scale = s->f32.scale, *bias = s->f32.bias, low = s->f32.low;
    (void)residual;
    for (ptrdiff_t i = first * pixels; i < last * pixels; i++) {
        const float *from = (const float *)x + i * channels;
        float *to = (float *)y + i * channels;
        for (ptrdiff_t c = 0; c < channels; c++) to[c] = at_least(scale[c] * from[c] + bias[c], low);
    }
}

void elq_rows_avg_pool_f32(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                           ptrdiff_t last) {
    const elq_shape *g = &s->shape;
    const float share = 1 / (float)(g->kh * g->kw), low = s->f32.low;
    (void)residual;
    for (ptrdiff_t pixel = first; pixel < last; pixel++) {
        const float *window = (const float *)x + elq_window(g, pixel);
        float *to = (float *)y + pixel * g->c;
        memset(to, 0, (size_t)g->c * sizeof *to);
        for (ptrdiff_t i = 0; i < g->kh; i++)
            for (ptrdiff_t j = 0; j < g->kw; j++) {
                const float *from = window + (i * g->w + j) * g->c;
                for (ptrdiff_t c = 0; c < g->c; c++) to[c] += from[c];
            }
        for (ptrdiff_t c = 0; c < g->c; c++) to[c] = at_least(to[c] * share, low);
    }
}
