/* Every inference kernel of the table beside plain loops, without Python: for sanitizers and for emulated CPUs
 * (tests/c/run.sh). Integers must be equal, floats within the bound that the kernel states (infer/kernels.h).
 *
 * Every buffer is as large as its contents and lies between two canaries, which AddressSanitizer guards against reading
 * too; x, y, residual and the tail's arrays start anywhere that their type may, scratch holds NaN. Beside the values:
 * the order of the tasks, the number of pictures and the fusing of the tail must not change a bit. */
#include "common/cpu.h"
#include "infer/kernels.h"
#include "infer/limit.h"
#include "buffers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures, checks;

/* --------------------------------------------------------------------------------------------------- shapes */

typedef struct {
    int h, w, c, o, kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;
} outline;

static const outline OUTLINES[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1},    /* one product */
    {1, 1, 257, 65, 1, 1, 1, 1, 0, 0, 1, 1, 1}, /* fully connected */
    {1, 1, 64, 10, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {1, 1, 1030, 35, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {1, 1, 4099, 19, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {1, 1, 128, 256, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {8, 8, 16, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1}, /* 3x3, stride 1, whole vectors */
    {9, 7, 16, 8, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {7, 13, 32, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {6, 5, 64, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {5, 6, 128, 48, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {9, 8, 48, 80, 3, 3, 1, 1, 0, 0, 1, 1, 1},
    {11, 10, 20, 33, 3, 3, 1, 1, 1, 2, 1, 1, 1},
    {9, 9, 16, 32, 3, 3, 2, 2, 1, 1, 1, 1, 1}, /* stride 2 */
    {10, 7, 32, 64, 3, 3, 2, 2, 1, 1, 1, 1, 1},
    {9, 7, 64, 96, 1, 1, 2, 2, 0, 0, 1, 1, 1},
    {5, 9, 40, 24, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {4, 4, 100, 130, 1, 1, 1, 1, 0, 0, 1, 1, 1},
    {17, 19, 3, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1}, /* first layers */
    {23, 19, 3, 64, 7, 7, 2, 2, 3, 3, 1, 1, 1},
    {12, 33, 1, 6, 5, 5, 1, 1, 2, 2, 1, 1, 1},
    {6, 6, 5, 67, 3, 3, 2, 2, 1, 1, 1, 1, 1},
    {8, 5, 3, 9, 5, 1, 3, 1, 2, 3, 1, 1, 1},
    {11, 9, 6, 6, 3, 2, 1, 1, 1, 0, 2, 3, 3}, /* groups and dilation */
    {7, 6, 24, 40, 3, 3, 1, 1, 1, 1, 1, 1, 4},
    {5, 5, 64, 64, 3, 3, 1, 1, 1, 1, 1, 1, 2},
    {5, 5, 8, 130, 1, 1, 2, 1, 0, 0, 1, 1, 2},
    {9, 8, 16, 16, 3, 3, 1, 1, 2, 2, 2, 2, 1},
    {5, 8, 5, 5, 3, 3, 1, 1, 1, 1, 1, 1, 5}, /* depthwise */
    {9, 9, 64, 64, 3, 3, 2, 2, 1, 1, 1, 1, 64},
    {6, 7, 40, 40, 5, 5, 1, 1, 2, 2, 1, 1, 40},
    {2, 3, 33, 33, 3, 2, 1, 2, 4, 5, 2, 1, 33},  /* nearly all of it padding */
    {3, 1, 20, 20, 1, 1, 1, 12, 0, 5, 1, 1, 20}, /* nothing but padding in a row */
    {6, 5, 18, 36, 3, 3, 2, 1, 1, 1, 1, 1, 18},
    {3, 4, 1, 2, 2, 2, 5, 3, 4, 5, 1, 1, 1},   /* padding larger than the kernel */
    {1, 1, 16, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1}, /* one pixel that is all edge */
    {2, 1, 32, 16, 3, 3, 1, 1, 3, 3, 1, 1, 1},
    {1, 70, 24, 20, 1, 3, 1, 1, 0, 1, 1, 1, 1},
    {70, 1, 21, 19, 3, 1, 1, 1, 1, 0, 1, 1, 1},
    {6, 7, 32, 32, 3, 3, 1, 1, 1, 1, 1, 1, 8},  /* groups of four, as ResNeXt has */
    {5, 6, 48, 48, 3, 3, 2, 2, 1, 1, 1, 1, 6},  /* of eight: RegNet */
    {4, 5, 18, 54, 3, 3, 1, 1, 1, 1, 1, 1, 18}, /* depthwise with a multiplier */
    {5, 6, 12, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1},   /* 1x1 with a border, in rows, in columns, every other column */
    {5, 6, 12, 9, 1, 1, 1, 1, 1, 0, 1, 1, 1},
    {5, 6, 12, 9, 1, 1, 1, 1, 0, 1, 1, 1, 1},
    {5, 6, 12, 9, 1, 1, 1, 2, 0, 0, 1, 1, 1},
    {8, 9, 6, 6, 3, 1, 1, 1, 1, 0, 1, 2, 1},   /* a dilation of nothing */
    {18, 8, 16, 8, 3, 3, 1, 1, 1, 1, 1, 1, 1}, /* Winograd: bands, an odd number of vectors, many channels */
    {8, 8, 16, 12, 3, 3, 1, 1, 1, 1, 1, 1, 1},
    {4, 4, 144, 8, 3, 3, 1, 1, 1, 1, 1, 1, 1},
};

/* Borders of four sides: what lies below and to the right beyond what lies above and to the left. */
static const struct {
    outline of;
    int below, right;
} SIDED[] = {
    {{9, 8, 16, 24, 3, 3, 1, 1, 1, 1, 1, 1, 1}, 1, -1},  {{8, 9, 6, 20, 3, 3, 2, 2, 0, 0, 1, 1, 1}, 1, 1},
    {{7, 6, 24, 24, 5, 5, 2, 1, 1, 2, 1, 1, 24}, 2, -2}, {{5, 6, 32, 32, 1, 1, 1, 1, 0, 0, 1, 1, 1}, 2, 3},
    {{6, 7, 32, 32, 3, 3, 1, 1, 0, 2, 1, 1, 8}, 3, 0},
};

static elq_shape sided(const outline *s, int below, int right) {
    elq_shape g = {s->h,          s->w,          s->c,        0,           0,        s->o,
                   s->kh,         s->kw,         s->stride_h, s->stride_w, s->pad_h, s->pad_w,
                   s->dilation_h, s->dilation_w, s->groups};
    g.p = (g.h + 2 * g.pad_h + below - g.dilation_h * (g.kh - 1) - 1) / g.stride_h + 1;
    g.q = (g.w + 2 * g.pad_w + right - g.dilation_w * (g.kw - 1) - 1) / g.stride_w + 1;
    return g;
}

static elq_shape shape_of(const outline *s) { return sided(s, 0, 0); }

/* ---------------------------------------------------------------------------------------------------- cases */

/* Random; all at one end of their range, so that sums are as large as they get; 0. */
enum fill { ANY, EXTREME, NOTHING };

typedef struct {
    const elq_kernel *kernel;
    elq_shape g;
    ptrdiff_t n, depth, in, out; /* pictures; K; elements of x and y */
    enum fill fill;
    void *rows, *packed, *x, *residual;
    double *w, *sum, *magnitude; /* O * K; out: the exact sums and the sums of magnitudes */
    double *chain;               /* out: the sums as ELQ_F32_ORDERED defines them */
    elq_tail_f32 f32;
    elq_tail_i8 i8;
} test;

static void report(const test *t, const char *what, ptrdiff_t at, double got, double wanted) {
    const elq_shape *g = &t->g;
    if (failures++ > 20) return;
    printf("%s, %td pictures %tdx%tdx%td to %td, kernel %tdx%td, stride %td %td, padding %td %td, dilation %td %td, "
           "groups %td: %s: element %td is %.9g, wanted %.9g\n",
           t->kernel->name, t->n, g->h, g->w, g->c, g->o, g->kh, g->kw, g->stride_h, g->stride_w, g->pad_h, g->pad_w,
           g->dilation_h, g->dilation_w, g->groups, what, at, got, wanted);
}

static size_t width(const test *t) { return elq_of_floats(t->kernel->activations) ? sizeof(float) : 1; }

/* Bytes of an element of y. */
static size_t y_width(const test *t) { return t->kernel->activations == ELQ_I8 ? 1 : 4; }

static double value_of(const test *t, const void *p, ptrdiff_t i) {
    return elq_of_floats(t->kernel->activations) ? ((const float *)p)[i] : ((const int8_t *)p)[i];
}

static void *numbers(const test *t, ptrdiff_t count, size_t shift, int extreme) {
    void *p = take((size_t)count * width(t), shift * width(t));
    for (ptrdiff_t i = 0; i < count; i++)
        if (elq_of_floats(t->kernel->activations)) ((float *)p)[i] = extreme ? 1 : real();
        else ((int8_t *)p)[i] = (int8_t)(extreme ? extreme : between(-128, 127));
    return p;
}

/* Random rows as they lie in the file, and the weights that they stand for. */
static void make_weights(test *t) {
    const enum elq_weights kind = t->kernel->weights;
    const ptrdiff_t bits = kind == ELQ_T2 ? 2 : kind == ELQ_B1 ? 1 : (ptrdiff_t)(8 * width(t));
    const ptrdiff_t row = (t->depth * bits + 7) / 8;
    t->rows = take((size_t)(t->g.o * row), kind == ELQ_FULL ? width(t) : 3);
    memset(t->rows, 0, (size_t)(t->g.o * row));
    const int density = between(1, 9);
    for (ptrdiff_t o = 0; o < t->g.o; o++)
        for (ptrdiff_t k = 0; k < t->depth; k++) {
            double *w = &t->w[o * t->depth + k];
            if (kind == ELQ_FULL && elq_of_floats(t->kernel->activations)) *w = t->fill == NOTHING ? 0 : real();
            else if (kind == ELQ_FULL) *w = t->fill == NOTHING ? 0 : t->fill == EXTREME ? 127 : between(-127, 127);
            else if (kind == ELQ_T2 && (t->fill == NOTHING || (t->fill == ANY && between(0, 9) > density))) *w = 0;
            else *w = t->fill == EXTREME ? 1 - 2 * (o % 2) : 1 - 2 * between(0, 1);
            unsigned char *codes = (unsigned char *)t->rows + o * row;
            if (kind == ELQ_T2) codes[k / 4] |= (unsigned char)((int)*w & 3) << 2 * (k % 4);
            if (kind == ELQ_B1) codes[k / 8] |= (unsigned char)(*w < 0) << k % 8;
            if (kind == ELQ_FULL && width(t) == 1) ((int8_t *)codes)[k] = (int8_t)*w;
            if (kind == ELQ_FULL && width(t) == 4) memcpy((float *)(void *)codes + k, &(float){(float)*w}, 4);
        }
}

/* sum, magnitude and chain by the definition. */
static void plain(const test *t) {
    const elq_shape *g = &t->g;
    const ptrdiff_t channels = g->c / g->groups, outputs = g->o / g->groups;
    for (ptrdiff_t y = 0; y < t->out; y++) {
        const ptrdiff_t o = y % g->o, q = y / g->o % g->q, p = y / g->o / g->q % g->p, n = y / g->o / g->q / g->p;
        volatile float chain = 0, step; /* each a rounding of its own */
        t->sum[y] = t->magnitude[y] = 0;
        for (ptrdiff_t i = 0; i < g->kh; i++)
            for (ptrdiff_t j = 0; j < g->kw; j++) {
                const ptrdiff_t row = p * g->stride_h - g->pad_h + i * g->dilation_h;
                const ptrdiff_t column = q * g->stride_w - g->pad_w + j * g->dilation_w;
                if (row < 0 || row >= g->h || column < 0 || column >= g->w) continue;
                const ptrdiff_t at = ((n * g->h + row) * g->w + column) * g->c + o / outputs * channels;
                const double *w = t->w + o * t->depth + (i * g->kw + j) * channels;
                for (ptrdiff_t c = 0; c < channels; c++) {
                    const double product = w[c] * value_of(t, t->x, at + c);
                    t->sum[y] += product, t->magnitude[y] += fabs(product);
                    step = (float)product, chain = chain + step; /* of two floats a double holds the product exactly */
                }
            }
        t->chain[y] = chain;
    }
}

static void make_tail_f32(test *t) {
    float *scale = take((size_t)t->g.o * 4, 4), *bias = take((size_t)t->g.o * 4, 8);
    for (ptrdiff_t o = 0; o < t->g.o; o++) scale[o] = real(), bias[o] = real();
    t->f32 = (elq_tail_f32){scale, bias, -INFINITY, INFINITY};
}

/* Legal integers (docs/arithmetic.md) that take typical sums to the whole of int8; one channel in five is constant. */
static void make_tail_i8(test *t) {
    const ptrdiff_t outputs = t->g.o;
    int32_t *b = take((size_t)outputs * 4, 4), *q = take((size_t)outputs * 4, 8);
    uint8_t *s = take((size_t)outputs, 1);
    int8_t *lo = take((size_t)outputs, 2), *hi = take((size_t)outputs, 3);
    double most = 1;
    for (ptrdiff_t o = 0; o < outputs; o++) {
        double all = 0;
        for (ptrdiff_t k = 0; k < t->depth; k++) all += fabs(t->w[o * t->depth + k]);
        b[o] = between(-1000, 1000);
        most = fmax(most, 128 * all + fabs((double)b[o]));
    }
    int l = 0; /* the largest that the bound allows, up to 12 */
    while (l < 12 && most * 2 * (1 << l) < 2147483648.0) l++;
    for (ptrdiff_t o = 0; o < outputs; o++) {
        const int constant = outputs > 1 && o % 5 == 2;
        const double typical = most / (t->fill == EXTREME ? 1 : sqrt((double)t->depth) + 1);
        int shift = 31 + l + (int)floor(log2(typical / 127)) + between(-1, 1);
        s[o] = (uint8_t)(shift < 33 ? 33 : shift > 62 ? 62 : shift);
        q[o] = (int32_t)(((uint32_t)1 << 30) + random_bits() % ((uint32_t)1 << 30));
        if (o % 7 == 3) q[o] = INT32_MAX;
        if (o % 11 == 4) q[o] = 0;
        lo[o] = (int8_t)(o % 3 ? -128 : o % 2 ? -127 : 0), hi[o] = (int8_t)(o % 4 == 1 ? 96 : 127);
        if (constant) {
            lo[o] = hi[o] = (int8_t)between(-128, 127);
            b[o] = o % 2 ? INT32_MAX : INT32_MIN, q[o] = INT32_MAX;
        }
    }
    t->i8 = (elq_tail_i8){b,
                          q,
                          s,
                          lo,
                          hi,
                          l,
                          between(1, (1 << 22) - 1),
                          between(0, (1 << 22) - 1),
                          between(1, 31),
                          between(0, 1) ? 0 : -128,
                          between(0, 1) ? 96 : 127};
}

/* The exact integer of infer/kernels.h in 64 bits (nothing of a constant channel), then in floors of exact halves. */
static int wanted_i8(const test *t, ptrdiff_t y, const int8_t *residual) {
    const elq_tail_i8 *a = &t->i8;
    const ptrdiff_t o = y % t->g.o;
    int64_t v = a->lo[o];
    if (a->lo[o] != a->hi[o]) {
        const int64_t product = (((int64_t)t->sum[y] + a->b[o]) * ((int64_t)1 << a->l)) * a->q[o];
        v = (product + ((int64_t)1 << (a->s[o] - 1))) >> a->s[o];
        v = v < a->lo[o] ? a->lo[o] : v > a->hi[o] ? a->hi[o] : v;
    }
    if (!residual) return (int)v;
    v = (v * a->q_v + (int64_t)residual[y] * a->q_r + ((int64_t)1 << (a->s_add - 1))) >> a->s_add;
    return (int)(v < a->lo_add ? a->lo_add : v > a->hi_add ? a->hi_add : v);
}

/* y of a call; tasks from the last to the first when `backwards`, with one scratch or two in turn. */
static void *run(test *t, ptrdiff_t n, ptrdiff_t first, const void *residual, int in_place, int backwards) {
    const size_t y_bytes = (size_t)(t->out / t->n * n) * y_width(t);
    const size_t x_offset = (size_t)(t->in / t->n * first) * width(t),
                 y_offset = (size_t)(t->out / t->n * first) * width(t);
    char *y = take(y_bytes, y_width(t) * (size_t)(1 + backwards));
    if (in_place) memcpy(y, residual, y_bytes), residual = y;
    const size_t bytes = t->kernel->scratch_bytes(&t->g);
    void *scratch[2] = {take(bytes, 0), take(bytes, 0)};
    const elq_conv conv = {t->g,
                           n,
                           (char *)t->x + x_offset,
                           residual && !in_place ? (const char *)residual + y_offset : residual,
                           y,
                           t->packed,
                           elq_of_floats(t->kernel->activations) ? (void *)&t->f32 : (void *)&t->i8};
    const ptrdiff_t tasks = t->kernel->tasks(&t->g, n);
    for (ptrdiff_t k = 0; k < tasks; k++)
        t->kernel->run(&conv, backwards ? tasks - 1 - k : k, scratch[backwards && k % 2]);
    return y;
}

static void same(const test *t, const char *what, const void *a, const void *b, ptrdiff_t count) {
    const size_t size = y_width(t);
    if (!memcmp(a, b, (size_t)count * size)) return;
    ptrdiff_t i = 0;
    while (!memcmp((const char *)a + (size_t)i * size, (const char *)b + (size_t)i * size, size)) i++;
    if (t->kernel->activations == ELQ_I8_SUMS) report(t, what, i, ((const int32_t *)a)[i], ((const int32_t *)b)[i]);
    else report(t, what, i, value_of(t, a, i), value_of(t, b, i));
}

static double largest_x(const test *t, ptrdiff_t c) {
    double most = 0;
    for (; c < t->in; c += t->g.c) most = fmax(most, fabs(value_of(t, t->x, c)));
    return most;
}

static void check_f32(test *t) {
    const float *y = run(t, t->n, 0, NULL, 0, 0), *r = t->residual;
    const int winograd = t->kernel->error == ELQ_WINOGRAD;
    const double n = winograd ? (double)t->g.c + 20 : (double)t->depth + 8, u = ldexp(1, -24),
                 gamma = n * u / (1 - n * u);
    double largest = 0;
    for (ptrdiff_t c = 0; c < t->g.c; c++) largest += largest_x(t, c);
    for (ptrdiff_t i = 0; i < t->out; i++) {
        const double scale = t->f32.scale[i % t->g.o], bias = t->f32.bias[i % t->g.o];
        const double size = winograd ? 538 * largest : t->magnitude[i];
        const double wanted = scale * t->sum[i] + bias, bound = gamma * (fabs(scale) * size + fabs(bias));
        if (fabs(y[i] - wanted) <= bound) continue;
        report(t, "beyond the bound", i, y[i], wanted);
        break;
    }
    for (ptrdiff_t i = 0; t->kernel->activations == ELQ_F32_ORDERED && i < t->out; i++) {
        volatile float product = (float)t->chain[i] * t->f32.scale[i % t->g.o];
        volatile float wanted = product + t->f32.bias[i % t->g.o];
        same(t, "in order", y + i, &(float){wanted}, 1);
    }
    float *added = take((size_t)t->out * 4, 0), *most = take((size_t)t->out * 4, 0);
    for (ptrdiff_t i = 0; i < t->out; i++) {
        volatile float v = y[i] + r[i]; /* a rounding of its own */
        added[i] = v, most[i] = v < 0 ? 0 : v;
    }
    same(t, "with a residual", run(t, t->n, 0, r, 0, 0), added, t->out);
    t->f32.low = 0;
    same(t, "with a residual and a ReLU", run(t, t->n, 0, r, 0, 1), most, t->out);
    same(t, "with a residual in place", run(t, t->n, 0, r, 1, 0), most, t->out);
    for (ptrdiff_t i = 0; i < t->out; i++) most[i] = y[i] < 0 ? 0 : y[i];
    same(t, "with a ReLU", run(t, t->n, 0, NULL, 0, 1), most, t->out);
    t->f32.low = -0.25f, t->f32.high = 0.5f;
    for (ptrdiff_t i = 0; i < t->out; i++) most[i] = added[i] < -0.25f ? -0.25f : added[i] > 0.5f ? 0.5f : added[i];
    same(t, "with a residual and bounds", run(t, t->n, 0, r, 0, 1), most, t->out);
}

static void check_i8(test *t) {
    int8_t *wanted = take((size_t)t->out, 0), *added = take((size_t)t->out, 0);
    for (ptrdiff_t i = 0; i < t->out; i++) {
        wanted[i] = (int8_t)wanted_i8(t, i, NULL);
        added[i] = (int8_t)wanted_i8(t, i, t->residual);
    }
    same(t, "sum", run(t, t->n, 0, NULL, 0, 0), wanted, t->out);
    same(t, "tasks in another order", run(t, t->n, 0, NULL, 0, 1), wanted, t->out);
    same(t, "with a residual", run(t, t->n, 0, t->residual, 0, 0), added, t->out);
    same(t, "with a residual in place", run(t, t->n, 0, t->residual, 1, 1), added, t->out);
}

static void check_sums(test *t) {
    int32_t *wanted = take((size_t)t->out * 4, 0);
    for (ptrdiff_t i = 0; i < t->out; i++)
        wanted[i] = (int32_t)((uint32_t)(int64_t)t->sum[i] + (uint32_t)t->i8.b[i % t->g.o]);
    same(t, "sum", run(t, t->n, 0, NULL, 0, 0), wanted, t->out);
    same(t, "tasks in another order", run(t, t->n, 0, NULL, 0, 1), wanted, t->out);
}

static void check(const elq_kernel *kernel, const elq_shape *shape, ptrdiff_t n, enum fill fill) {
    test t = {.kernel = kernel, .g = *shape, .n = n, .fill = fill};
    t.depth = shape->kh * shape->kw * (shape->c / shape->groups);
    t.in = n * shape->h * shape->w * shape->c, t.out = n * shape->p * shape->q * shape->o;
    t.w = calloc((size_t)(shape->o * t.depth + 3 * t.out), sizeof(double));
    if (!t.w) exit(2);
    t.sum = t.w + shape->o * t.depth, t.magnitude = t.sum + t.out, t.chain = t.magnitude + t.out;
    make_weights(&t);
    t.x = numbers(&t, t.in, 1, fill != EXTREME ? 0 : n % 2 ? -128 : 127); /* as uint8, x + 128, 0 or 255 */
    t.residual = numbers(&t, t.out, 3, 0);
    t.packed = take(kernel->weight_bytes(shape), 0);
    kernel->pack(shape, t.rows, t.packed);
    plain(&t);
    if (elq_of_floats(kernel->activations)) make_tail_f32(&t), check_f32(&t);
    else make_tail_i8(&t), kernel->activations == ELQ_I8 ? check_i8(&t) : check_sums(&t);
    const void *residual = kernel->activations == ELQ_I8_SUMS ? NULL : t.residual;
    const char *all = run(&t, n, 0, residual, 0, 0);
    const ptrdiff_t one = t.out / n;
    for (ptrdiff_t k = 0; n > 1 && k < n; k++)
        same(&t, "a picture alone", run(&t, 1, k, residual, 0, 0), all + (size_t)(k * one) * y_width(&t), one);
    if (!release_all()) report(&t, "a canary is gone", 0, 0, 0);
    free(t.w);
    checks++;
}

/* The name of a kernel says what its fields say, and no other has it. */
static void check_name(const elq_kernel *kernel) {
    static const char *const ACTIVATIONS[] = {"f32", "i8", "i8i32", "ordered"}, *const CODES[] = {"t2", "b1"};
    const char *full = elq_of_floats(kernel->activations) ? "f32" : "i8";
    char begin[64], end[64];
    snprintf(begin, sizeof begin, "elq_conv_%s_%s_", ACTIVATIONS[kernel->activations],
             kernel->weights == ELQ_FULL ? full : CODES[kernel->weights]);
    snprintf(end, sizeof end, "__%s", elq_isa_name(kernel->isa));
    const char *tail = strstr(kernel->name, "__");
    int same_name = 0;
    for (int k = 0; elq_infer_kernel(k); k++) same_name += !strcmp(elq_infer_kernel(k)->name, kernel->name);
    if (!strncmp(kernel->name, begin, strlen(begin)) && tail && !strcmp(tail, end) && same_name == 1) return;
    printf("%s: not the name of a kernel %s...%s, or of two\n", kernel->name, begin, end);
    failures++;
}

/* Instruction sets are bits, not steps of a ladder: user, set, whether the user's bits are enough for it. */
static void check_sets(void) {
    static const int CASES[][3] = {
        {ELQ_AVX512VNNI, ELQ_AVX2, 1}, {ELQ_AVX512VNNI, ELQ_AVX512, 1}, {ELQ_AVX512VNNI, ELQ_AVXVNNI, 0},
        {ELQ_AVXVNNI, ELQ_AVX2, 1},    {ELQ_AVXVNNI, ELQ_AVX512, 0},    {ELQ_AVX512, ELQ_AVX512VNNI, 0},
        {ELQ_SVE, ELQ_NEON, 1},        {ELQ_SVE, ELQ_DOTPROD, 0},       {ELQ_I8MM, ELQ_DOTPROD, 1},
        {ELQ_I8MM, ELQ_SVE, 0},        {ELQ_NEON, ELQ_AVX2, 0},         {ELQ_AVX2, ELQ_NEON, 0},
        {ELQ_AVX2, ELQ_GENERIC, 1},    {ELQ_GENERIC, ELQ_AVX2, 0},
    };
    for (size_t k = 0; k < sizeof CASES / sizeof *CASES; k++)
        if (elq_isa_runs(elq_isa_needs(CASES[k][0]), CASES[k][1]) != CASES[k][2]) {
            printf("%s and %s: wanted %d\n", elq_isa_name(CASES[k][0]), elq_isa_name(CASES[k][1]), CASES[k][2]);
            failures++;
        }
}

/* What is chosen for a shape runs it here and is of the kind that was asked for; plain C, where a CPU has nothing else. */
static void check_choice(const elq_shape *shape) {
    for (int isa = 0; isa < ELQ_ISA_COUNT; isa++) {
        const elq_features features = elq_isa_needs(isa);
        for (int activations = 0; activations <= ELQ_I8_SUMS; activations++)
            for (int weights = 0; weights <= ELQ_FULL; weights++) {
                const elq_kernel *kernel = elq_infer_select(features, activations, weights, shape);
                if (kernel && (int)kernel->activations == activations && (int)kernel->weights == weights &&
                    kernel->runs(shape) && elq_isa_runs(features, kernel->isa) &&
                    (isa != ELQ_GENERIC || kernel->isa == ELQ_GENERIC))
                    continue;
                printf("%s chooses %s for activations %d, weights %d\n", elq_isa_name(isa),
                       kernel ? kernel->name : "nothing", activations, weights);
                failures++;
            }
        for (int activations = 0; activations < ELQ_I8_SUMS; activations++) {
            const elq_limit *limit = elq_infer_limit(features, activations);
            if (!limit && isa == ELQ_GENERIC) continue;
            if (limit && elq_isa_runs(elq_cpu_features(), limit->isa)) limit->run(2);
            if (limit && elq_isa_runs(features, limit->isa) && (int)limit->activations == activations) continue;
            if (!limit && elq_infer_isa(features) == ELQ_GENERIC) continue; /* of another architecture */
            printf("%s has no limit of activations %d, or another's\n", elq_isa_name(isa), activations);
            failures++;
        }
    }
}

/* A row of every length that tiles have, of one vector of outputs and of more. */
static elq_shape row_of(int pixels) {
    const outline s = {
        1, pixels, pixels % 2 ? 5 : 24, pixels % 3 ? 40 : 8, 1, 1 + 2 * (pixels % 2), 1, 1, 0, pixels % 2, 1, 1, 1};
    return shape_of(&s);
}

/* infer_check [WORD]: all kernels, or those with WORD in their name */
int main(int count, char **words) {
    const elq_features features = elq_cpu_features();
    check_sets();
    for (size_t k = 0; k < sizeof OUTLINES / sizeof *OUTLINES; k++) {
        const elq_shape shape = shape_of(&OUTLINES[k]);
        check_choice(&shape);
    }
    for (int index = 0; elq_infer_kernel(index); index++) {
        const elq_kernel *kernel = elq_infer_kernel(index);
        check_name(kernel);
        if (count > 1 && !strstr(kernel->name, words[1])) continue;
        if (!elq_isa_runs(features, kernel->isa)) {
            printf("%s skipped: this CPU lacks %s\n", kernel->name, elq_isa_name(kernel->isa));
            continue;
        }
        const int before = checks;
        const size_t even = sizeof OUTLINES / sizeof *OUTLINES, all = even + sizeof SIDED / sizeof *SIDED;
        for (size_t k = 0; k < all; k++) {
            const elq_shape shape = k < even ? shape_of(&OUTLINES[k])
                                             : sided(&SIDED[k - even].of, SIDED[k - even].below, SIDED[k - even].right);
            if (!kernel->runs(&shape)) continue;
            check(kernel, &shape, 1, EXTREME);
            check(kernel, &shape, 2, EXTREME);
            check(kernel, &shape, k % 3 ? 3 : 2, ANY);
            check(kernel, &shape, 1, k % 2 ? ANY : NOTHING);
        }
        for (int pixels = 1; pixels <= 40; pixels++) {
            const elq_shape shape = row_of(pixels);
            if (kernel->runs(&shape)) check(kernel, &shape, 1, ANY);
        }
        printf("%s: %d checks\n", kernel->name, checks - before);
        if (checks == before) failures++;
    }
    printf("%d checks, %d failures\n", checks, failures);
    return failures > 0 || !checks;
}
