/* The training kernels beside plain loops, for every instruction set of this CPU, without Python: for sanitizers and
 * for emulated CPUs (tests/c/run.sh). Every buffer lies between two canaries and exactly as large as its contents.
 *
 * Bounds as in tests/kernels/test_train.py: K products a sum are within K u / (1 - K u) of it times the sum of their
 * magnitudes. Winograd's bound (train/winograd_tile.inc.h) is taken at its largest here: factors of at most 1 make the
 * sums of magnitudes no more than GROWTH times the channels, GROWTH_DW times the tiles; errors of indexing exceed it by far. */
#include "common/cpu.h"
#include "common/pool.h"
#include "train/kernels.h"
#include "train/memory.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CANARY = 64, GROWTH = 537, GROWTH_DW = 794 };
static const unsigned char MARK = 0xA5;
static int failures;

/* -------------------------------------------------------------------------------------------------- buffers */

struct buffer {
    unsigned char *base;
    ptrdiff_t bytes;
    void *data;
};

static struct buffer buffer_new(ptrdiff_t elements, int is_double, ptrdiff_t shift) {
    ptrdiff_t size = is_double ? sizeof(double) : sizeof(float), bytes = elements * size;
    struct buffer b = {malloc(bytes + 2 * CANARY + shift * size), bytes, NULL};
    if (!b.base) exit(2);
    memset(b.base, MARK, bytes + 2 * CANARY + shift * size);
    b.data = b.base + CANARY + shift * size;
    return b;
}

/* The canary before and after still stands; releases the buffer. */
static int buffer_end(struct buffer b) {
    int whole = 1;
    for (unsigned char *p = b.base; p < (unsigned char *)b.data; p++) whole &= *p == MARK;
    for (int i = 0; i < CANARY; i++) whole &= ((unsigned char *)b.data)[b.bytes + i] == MARK;
    free(b.base);
    return whole;
}

static double get(const void *p, int is_double, ptrdiff_t i) {
    return is_double ? ((const double *)p)[i] : ((const float *)p)[i];
}

static void put(void *p, int is_double, ptrdiff_t i, double value) {
    if (is_double) ((double *)p)[i] = value;
    else ((float *)p)[i] = (float)value;
}

/* Numbers in -1 .. 1 of a small generator of our own: the same on every platform. */
static double number(void) {
    static unsigned long long state = 1;
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(state >> 40) / (1 << 23) - 1;
}

static void fill(struct buffer b, int is_double) {
    ptrdiff_t n = b.bytes / (is_double ? sizeof(double) : sizeof(float));
    for (ptrdiff_t i = 0; i < n; i++) put(b.data, is_double, i, number());
}

/* ---------------------------------------------------------------------------------------------- convolution */

struct shape {
    ptrdiff_t n, c, h, w, o, kh, kw, stride, pad, dilation, groups;
};

static const struct shape SHAPES[] = {
    {2, 3, 7, 6, 5, 3, 3, 1, 1, 1, 1},      {1, 1, 9, 11, 2, 5, 5, 2, 2, 1, 1},   {2, 4, 8, 5, 6, 3, 2, 1, 0, 2, 2},
    {9, 16, 6, 5, 16, 3, 3, 1, 1, 1, 1},    {2, 32, 9, 8, 48, 3, 3, 1, 1, 1, 1},  {4, 128, 6, 6, 144, 3, 3, 1, 1, 1, 1},
    {2, 21, 6, 7, 21, 3, 3, 2, 1, 1, 21},   {1, 40, 5, 9, 40, 5, 5, 1, 2, 1, 40}, {3, 20, 6, 6, 36, 1, 1, 2, 0, 1, 1},
    {1, 3, 23, 19, 33, 11, 11, 4, 2, 1, 1}, {2, 8, 5, 5, 16, 3, 3, 1, 1, 1, 4},   {1, 37, 4, 30, 70, 1, 3, 1, 1, 1, 1},
    {2, 32, 22, 24, 32, 3, 3, 2, 1, 1, 32}, /* depthwise, mostly away from the border */
    {2, 16, 9, 8, 16, 7, 7, 1, 3, 1, 8},    /* runs of 14 elements in groups of few outputs */
    {2, 72, 6, 7, 72, 3, 3, 1, 1, 1, 18},   {1, 9, 6, 7, 9, 3, 2, 2, 1, 1, 3},    {2, 48, 5, 6, 96, 1, 1, 1, 0, 1, 3},
    {3, 16, 9, 8, 20, 3, 3, 1, 1, 1, 1}, /* Winograd: a last block of one vector, */
    {4, 4, 24, 24, 4, 3, 3, 1, 1, 1, 1}, /* sums in two chunks, */
    {1, 16, 5, 5, 16, 3, 3, 1, 1, 1, 1}, /* too few tiles, */
    {2, 32, 9, 8, 32, 3, 3, 1, 1, 1, 2}, /* groups */
    {2, 32, 7, 9, 32, 3, 3, 2, 1, 1, 32},   {1, 64, 5, 6, 8, 3, 3, 1, 1, 1, 8},   {1, 64, 5, 66, 4, 3, 3, 1, 1, 1, 1},
};

/* Convolutions whose rows, and whose runs of weights, have every length that tiles have. */
static struct shape shape_of(int length, int kind) {
    static const struct shape KINDS[] = {
        {1, 3, 2, 0, 40, 1, 1, 1, 0, 1, 1},    /* pixels of a row; 40 outputs: two vectors, and one */
        {2, 0, 3, 4, 40, 1, 1, 1, 0, 1, 1},    /* elements of a run; one run, */
        {2, 0, 5, 4, 7, 2, 1, 1, 0, 1, 1},     /* two, */
        {1, 0, 6, 5, 9, 4, 2, 1, 1, 1, 1},     /* four of twice as many */
        {1, 48, 3, 0, 48, 1, 1, 1, 0, 1, 48},  /* depthwise: pixels of a row */
        {1, 48, 4, 30, 48, 1, 0, 1, 2, 1, 48}, /* taps of one run, */
        {1, 16, 5, 30, 16, 2, 0, 1, 0, 1, 8},  /* of two, */
        {1, 48, 6, 30, 48, 3, 0, 2, 1, 1, 48}, /* of three */
    };
    struct shape s = KINDS[kind];
    if (!s.c) s.c = length;
    if (!s.w) s.w = length;
    if (!s.kw) s.kw = length;
    return s;
}
enum { SHAPE_KINDS = 8, LENGTHS = 29 };

/* y, dx and dw, and the sums of magnitudes, by the definition; all N H W C (w O H W C). */
static void plain(const struct elq_conv *g, int is_double, const void *x, const void *w, const void *dy,
                  double *out[6]) {
    ptrdiff_t channels = g->groups * g->c, outputs = g->groups * g->o;
    for (ptrdiff_t n = 0; n < g->n; n++)
        for (ptrdiff_t p = 0; p < g->p; p++)
            for (ptrdiff_t q = 0; q < g->q; q++)
                for (ptrdiff_t o = 0; o < outputs; o++)
                    for (ptrdiff_t i = 0; i < g->kh; i++)
                        for (ptrdiff_t j = 0; j < g->kw; j++) {
                            ptrdiff_t row = p * g->stride_h - g->pad_h + i * g->dilation_h;
                            ptrdiff_t column = q * g->stride_w - g->pad_w + j * g->dilation_w;
                            if (row < 0 || row >= g->h || column < 0 || column >= g->w) continue;
                            ptrdiff_t iy = ((n * g->p + p) * g->q + q) * outputs + o;
                            double d = get(dy, is_double, iy);
                            for (ptrdiff_t c = 0; c < g->c; c++) {
                                ptrdiff_t ix = ((n * g->h + row) * g->w + column) * channels + o / g->o * g->c + c;
                                ptrdiff_t iw = ((o * g->kh + i) * g->kw + j) * g->c + c;
                                double a = get(x, is_double, ix), b = get(w, is_double, iw);
                                out[0][iy] += a * b, out[1][ix] += b * d, out[2][iw] += a * d;
                                out[3][iy] += fabs(a * b), out[4][ix] += fabs(b * d), out[5][iw] += fabs(a * d);
                            }
                        }
}

static void compare(const char *what, const char *isa, int is_double, const void *got, const double *wanted,
                    const double *magnitude, ptrdiff_t count, double terms, double winograd) {
    double eps = is_double ? DBL_EPSILON : FLT_EPSILON;
    for (ptrdiff_t i = 0; i < count; i++) {
        double bound = winograd > 0 ? winograd : terms * eps * magnitude[i];
        double error = fabs(get(got, is_double, i) - wanted[i]);
        if (error <= bound) continue;
        printf("%s %s %s: element %td is off by %g, allowed %g\n", isa, is_double ? "f64" : "f32", what, i, error,
               bound);
        failures++;
        return;
    }
}

static struct elq_array array(struct buffer b, ptrdiff_t c, ptrdiff_t h, ptrdiff_t w) {
    return (struct elq_array){b.data, {h * w * c, 1, w * c, c}};
}

static void check_conv(int isa, int is_double, const struct shape *s) {
    struct elq_conv g = {
        s->n,  s->groups, s->c / s->groups, s->o / s->groups, s->h,   s->w,   0,           0,
        s->kh, s->kw,     s->stride,        s->stride,        s->pad, s->pad, s->dilation, s->dilation};
    g.p = (s->h + 2 * s->pad - s->dilation * (s->kh - 1) - 1) / s->stride + 1;
    g.q = (s->w + 2 * s->pad - s->dilation * (s->kw - 1) - 1) / s->stride + 1;
    ptrdiff_t sizes[3] = {s->n * g.p * g.q * s->o, s->n * s->h * s->w * s->c, s->o * s->kh * s->kw * g.c};
    double *wanted[6];
    for (int k = 0; k < 6; k++) {
        wanted[k] = calloc(sizes[k % 3], sizeof(double));
        if (!wanted[k]) exit(2);
    }
    struct buffer in[4], out[3];
    for (int k = 0; k < 4; k++) {
        in[k] = buffer_new(k < 3 ? sizes[k] : s->o, is_double, k); /* k elements off any whole vector */
        if (k < 3) out[k] = buffer_new(sizes[k], is_double, 3 - k);
        fill(in[k], is_double);
    }
    plain(&g, is_double, in[1].data, in[2].data, in[0].data, wanted);
    for (ptrdiff_t i = 0; i < sizes[0]; i++) {
        double bias = get(in[3].data, is_double, i % s->o);
        wanted[0][i] += bias, wanted[3][i] += fabs(bias);
    }

    struct elq_array dy = array(in[0], s->o, g.p, g.q), x = array(in[1], s->c, s->h, s->w);
    struct elq_array w = array(in[2], g.c, s->kh, s->kw), y = array(out[0], s->o, g.p, g.q);
    struct elq_array dx = array(out[1], s->c, s->h, s->w), dw = array(out[2], g.c, s->kh, s->kw);
    ptrdiff_t lanes_o = elq_conv_lanes(g.groups, g.o), lanes_c = elq_conv_lanes(g.groups, g.c);
    int status = elq_train_select(isa, is_double, lanes_o)->conv(&g, x, w, in[3].data, y);
    status |= elq_train_select(isa, is_double, lanes_c)->conv_dx(&g, dy, w, dx);
    status |= elq_train_select(isa, is_double, lanes_o)->conv_dw(&g, dy, x, dw);
    if (status) exit(2);

    const char *const names[3] = {"conv", "conv_dx", "conv_dw"};
    double terms[3] = {(double)(g.c * g.kh * g.kw), (double)(g.o * g.kh * g.kw), (double)(g.n * g.p * g.q)};
    int winograd = !is_double && g.kh == 3 && g.kw == 3 && s->stride == 1 && s->dilation == 1 && g.groups == 1;
    double sums[3] = {(double)g.c, (double)g.o, (double)(g.n * ((g.p + 3) / 4) * ((g.q + 3) / 4))};
    for (int k = 0; k < 3; k++) {
        double u = FLT_EPSILON / 2, n = sums[k] + 22, size = k < 2 ? GROWTH * sums[k] + 1 : GROWTH_DW * sums[k];
        compare(names[k], elq_isa_name(isa), is_double, out[k].data, wanted[k], wanted[k + 3], sizes[k], terms[k] + 1,
                winograd ? n * u / (1 - n * u) * size : 0);
        if (buffer_end(in[k]) && buffer_end(out[k])) continue;
        printf("%s %s: a canary of %s is gone\n", elq_isa_name(isa), is_double ? "f64" : "f32", names[k]);
        failures++;
    }
    for (int k = 0; k < 6; k++) free(wanted[k]);
    if (!buffer_end(in[3])) failures++, printf("%s: a canary of the bias is gone\n", elq_isa_name(isa));
}

/* -------------------------------------------------------------------------------------- batch normalization */

static void near(const char *what, int isa, double got, double wanted, double bound) {
    if (fabs(got - wanted) <= bound) return;
    printf("%s %s: %g, wanted %g within %g\n", elq_isa_name(isa), what, got, wanted, bound);
    failures++;
}

static void check_norm(int isa, int is_double, ptrdiff_t pixels, ptrdiff_t c, int relu, int has_residual) {
    enum { X, RESIDUAL, DY, Y, DX, DRESIDUAL, Z, GAMMA, BETA, MEAN, VAR, DGAMMA, DBETA, COUNT };
    struct buffer b[COUNT];
    for (int k = 0; k < COUNT; k++) {
        b[k] = buffer_new(k < GAMMA ? pixels * c : c, is_double, k % 4);
        fill(b[k], is_double);
    }
    const struct elq_train_kernels *kernels = elq_train_select(isa, is_double, c);
    struct elq_norm a = {.pixels = pixels,
                         .c = c,
                         .relu = relu,
                         .eps = 1e-5,
                         .x = b[X].data,
                         .residual = has_residual ? b[RESIDUAL].data : NULL,
                         .gamma = b[GAMMA].data,
                         .beta = b[BETA].data,
                         .y = b[Y].data,
                         .mean = b[MEAN].data,
                         .var = b[VAR].data};
    struct elq_norm back = {.pixels = pixels,
                            .c = c,
                            .relu = relu,
                            .eps = 1e-5,
                            .x = b[X].data,
                            .y = b[Y].data,
                            .gamma = b[GAMMA].data,
                            .mean = b[MEAN].data,
                            .var = b[VAR].data,
                            .dy = b[DY].data,
                            .dx = b[DX].data,
                            .dresidual = has_residual ? b[DRESIDUAL].data : NULL,
                            .dgamma = b[DGAMMA].data,
                            .dbeta = b[DBETA].data};
    struct elq_norm scale = a;
    scale.y = b[Z].data;
    if (kernels->norm(&a) || kernels->norm_backward(&back) || kernels->scale_shift(&scale)) exit(2);

#define AT(name, i) get(b[name].data, is_double, i)
    double eps = 64 * (is_double ? DBL_EPSILON : FLT_EPSILON);
    for (ptrdiff_t k = 0; k < c; k++) {
        double mean = 0, var = 0, dgamma = 0, dbeta = 0;
        for (ptrdiff_t i = 0; i < pixels; i++) mean += AT(X, i * c + k) / pixels;
        for (ptrdiff_t i = 0; i < pixels; i++) var += pow(AT(X, i * c + k) - mean, 2) / pixels;
        double inverse = 1 / sqrt(var + 1e-5), gamma = AT(GAMMA, k), beta = AT(BETA, k);
        near("mean", isa, AT(MEAN, k), mean, eps);
        near("var", isa, AT(VAR, k), var, eps);
        for (ptrdiff_t i = k; i < pixels * c; i += c) {
            double dz = relu && !(AT(Y, i) > 0) ? 0 : AT(DY, i);
            dbeta += dz;
            dgamma += dz * (AT(X, i) - mean) * inverse;
        }
        near("dbeta", isa, AT(DBETA, k), dbeta, eps * pixels);
        near("dgamma", isa, AT(DGAMMA, k), dgamma, eps * pixels * (1 + 2 * inverse));
        for (ptrdiff_t i = k; i < pixels * c; i += c) {
            double xhat = (AT(X, i) - mean) * inverse, dz = relu && !(AT(Y, i) > 0) ? 0 : AT(DY, i);
            double residual = has_residual ? AT(RESIDUAL, i) : 0;
            double y = gamma * xhat + beta + residual, z = gamma * AT(X, i) + beta + residual;
            near("y", isa, AT(Y, i), relu ? fmax(y, 0) : y, eps * (3 + 4 * inverse));
            near("scale_shift", isa, AT(Z, i), relu ? fmax(z, 0) : z, eps * 4);
            if (has_residual) near("dresidual", isa, AT(DRESIDUAL, i), dz, 0);
            near("dx", isa, AT(DX, i), gamma * inverse * (dz - dbeta / pixels - xhat * dgamma / pixels),
                 eps * (1 + inverse) * (3 + 4 * inverse * inverse));
        }
    }
#undef AT
    for (int k = 0; k < COUNT; k++)
        if (!buffer_end(b[k])) {
            printf("%s: a canary of batch normalization's buffer %d is gone\n", elq_isa_name(isa), k);
            failures++;
        }
}

/* ------------------------------------------------------------------------------- max pooling, ReLU, sums */

static void check_pool(int isa, int is_double, const struct elq_max_pool *shape) {
    struct elq_max_pool a = *shape;
    a.p = (a.h + 2 * a.top - a.kh) / a.stride_h + 1; /* padded alike on both sides */
    a.q = (a.w + 2 * a.left - a.kw) / a.stride_w + 1;
    ptrdiff_t in = a.n * a.h * a.w * a.c, out = a.n * a.p * a.q * a.c;
    enum { X, DX, Y, DY, PLACE, RELU, SUMS, COUNT };
    struct buffer b[COUNT];
    for (int k = 0; k < COUNT; k++) {
        b[k] = buffer_new(k < Y || k == RELU ? in
                          : k == SUMS        ? a.c
                          : k == PLACE       ? (out + 3) / 4
                                             : out,
                          k == PLACE ? 0 : is_double, k % 3);
        if (k != PLACE) fill(b[k], is_double);
    }
    a.x = b[X].data, a.dx = b[DX].data, a.y = b[Y].data, a.dy = b[DY].data, a.place = b[PLACE].data;
    double *dx = calloc(in, sizeof *dx);
    const struct elq_train_kernels *kernels = elq_train_select(isa, is_double, a.c);
    if (!dx || kernels->max_pool(&a) || kernels->max_pool_backward(&a)) exit(2);
    for (ptrdiff_t k = 0; k < a.kh * a.kw; k++)
        for (ptrdiff_t i = 0; i < out; i++) {
            ptrdiff_t c = i % a.c, q = i / a.c % a.q, p = i / a.c / a.q % a.p, n = i / a.c / a.q / a.p;
            ptrdiff_t top = p * a.stride_h - a.top, left = q * a.stride_w - a.left, best = -1;
#define AT(e) (((n * a.h + top + (e) / a.kw) * a.w + left + (e) % a.kw) * a.c + c)
            for (ptrdiff_t e = 0; e < a.kh * a.kw; e++) {
                ptrdiff_t row = top + e / a.kw, column = left + e % a.kw;
                if (row < 0 || row >= a.h || column < 0 || column >= a.w) continue;
                if (best < 0 || get(a.x, is_double, AT(e)) > get(a.x, is_double, AT(best))) best = e;
            }
            if (best != k) continue;
            ptrdiff_t at = AT(best);
#undef AT
            near("max_pool", isa, get(a.y, is_double, i), get(a.x, is_double, at), 0);
            near("place", isa, a.place[i], best, 0);
            dx[at] += get(a.dy, is_double, i);
            if (!is_double) dx[at] = (float)dx[at];
        }
    for (ptrdiff_t i = 0; i < in; i++) near("max_pool_backward", isa, get(a.dx, is_double, i), dx[i], 0);

    if (kernels->relu(in, a.x, NULL, b[RELU].data)) exit(2);
    for (ptrdiff_t i = 0; i < in; i++)
        near("relu", isa, get(b[RELU].data, is_double, i), fmax(get(a.x, is_double, i), 0), 0);
    if (kernels->relu(in, a.x, a.dx, b[RELU].data)) exit(2);
    for (ptrdiff_t i = 0; i < in; i++)
        near("relu, backward", isa, get(b[RELU].data, is_double, i), get(a.x, is_double, i) > 0 ? dx[i] : 0, 0);
    if (kernels->sums(in / a.c, a.c, a.x, b[SUMS].data)) exit(2);
    for (ptrdiff_t c = 0; c < a.c; c++) {
        double sum = 0, magnitude = 0;
        for (ptrdiff_t i = c; i < in; i += a.c) {
            sum += get(a.x, is_double, i);
            magnitude += fabs(get(a.x, is_double, i));
        }
        near("sums", isa, get(b[SUMS].data, is_double, c), sum,
             in * (is_double ? DBL_EPSILON : FLT_EPSILON) * magnitude);
    }
    free(dx);
    for (int k = 0; k < COUNT; k++)
        if (!buffer_end(b[k])) {
            printf("%s: a canary of max pooling's buffer %d is gone\n", elq_isa_name(isa), k);
            failures++;
        }
}

/* ----------------------------------------------------------------------------------- functions of one number */

static double function_value(int function, double x, double a, double b) {
    switch (function) {
    case ELQ_CLIP:
        return fmin(fmax(x, a), b);
    case ELQ_LEAKY_RELU:
        return x >= 0 ? x : a * x;
    case ELQ_HARD_SIGMOID:
        return fmin(fmax(a * x + b, 0), 1);
    case ELQ_HARD_SWISH:
        return x * fmin(fmax(x + 3, 0), 6) / 6;
    case ELQ_SIGMOID:
        return 1 / (1 + exp(-x));
    case ELQ_TANH:
        return tanh(x);
    case ELQ_SILU:
        return x / (1 + exp(-x));
    case ELQ_ELU:
        return x > 0 ? x : a * expm1(x);
    case ELQ_GELU:
        return x * erfc(-sqrt(0.5) * x) / 2;
    default:
        return x / (1 + exp(-2 * sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    }
}

/* Values within a few roundings of libm's; the derivative as near as a difference of libm's values tells. */
static void check_function(int isa, int is_double, int function, ptrdiff_t count) {
    struct buffer x = buffer_new(count, is_double, 1), y = buffer_new(count, is_double, 2);
    struct buffer dy = buffer_new(count, is_double, 0), dx = buffer_new(count, is_double, 3);
    const double a = 0.1, b = 0.4, eps = is_double ? DBL_EPSILON : FLT_EPSILON, step = 1e-5;
    fill(x, is_double), fill(dy, is_double);
    for (ptrdiff_t i = 0; i < count; i++) put(x.data, is_double, i, 8 * get(x.data, is_double, i));
    const struct elq_train_kernels *kernels = elq_train_select(isa, is_double, count);
    struct elq_pointwise f = {function, count, a, b, x.data, NULL, y.data};
    struct elq_pointwise back = {function, count, a, b, x.data, dy.data, dx.data};
    if (kernels->pointwise(&f) || kernels->pointwise(&back)) exit(2);
    for (ptrdiff_t i = 0; i < count; i++) {
        double v = get(x.data, is_double, i), g = get(dy.data, is_double, i);
        near("a function", isa, get(y.data, is_double, i), function_value(function, v, a, b), 4 * eps * (1 + fabs(v)));
        double right = (function_value(function, v + step, a, b) - function_value(function, v, a, b)) / step;
        double left = (function_value(function, v, a, b) - function_value(function, v - step, a, b)) / step;
        if (fabs(right - left) > 1e-3) continue; /* a kink */
        near("a derivative", isa, get(dx.data, is_double, i), g * (left + right) / 2, 64 * eps + 1e-8);
    }
    if (!(buffer_end(x) & buffer_end(y) & buffer_end(dy) & buffer_end(dx)))
        failures++, printf("%s: a canary of function %d is gone\n", elq_isa_name(isa), function);
}

/* ------------------------------------------------------------------------------------- fully connected layers */

/* Each product as a sum of `depth` products of elements that lie a_step and b_step apart. */
static double product(struct buffer a, ptrdiff_t a_at, ptrdiff_t a_step, struct buffer b, ptrdiff_t b_at,
                      ptrdiff_t b_step, ptrdiff_t depth, int is_double) {
    double sum = 0;
    for (ptrdiff_t k = 0; k < depth; k++)
        sum += get(a.data, is_double, a_at + k * a_step) * get(b.data, is_double, b_at + k * b_step);
    return sum;
}

static void check_linear(int isa, int is_double, ptrdiff_t n, ptrdiff_t c, ptrdiff_t o) {
    struct buffer x = buffer_new(n * c, is_double, 1), w = buffer_new(o * c, is_double, 2);
    struct buffer dy = buffer_new(n * o, is_double, 3), bias = buffer_new(o, is_double, 4);
    struct buffer y = buffer_new(n * o, is_double, 5), dx = buffer_new(n * c, is_double, 6);
    struct buffer dw = buffer_new(o * c, is_double, 7);
    const struct elq_train_kernels *kernels = elq_train_select(isa, is_double, c);
    struct elq_linear a = {.n = n,
                           .c = c,
                           .o = o,
                           .x = x.data,
                           .w = w.data,
                           .bias = bias.data,
                           .dy = dy.data,
                           .y = y.data,
                           .dx = dx.data,
                           .dw = dw.data};
    const double bound = is_double ? 1e-12 : 1e-3;
    fill(x, is_double), fill(w, is_double), fill(dy, is_double), fill(bias, is_double);
    kernels->linear(&a), kernels->linear_dx(&a), kernels->linear_dw(&a);
    for (ptrdiff_t i = 0; i < n * o; i++)
        near("linear", isa, get(y.data, is_double, i),
             product(x, i / o * c, 1, w, i % o * c, 1, c, is_double) + get(bias.data, is_double, i % o), bound);
    for (ptrdiff_t i = 0; i < n * c; i++)
        near("linear_dx", isa, get(dx.data, is_double, i), product(dy, i / c * o, 1, w, i % c, c, o, is_double), bound);
    for (ptrdiff_t i = 0; i < o * c; i++)
        near("linear_dw", isa, get(dw.data, is_double, i), product(dy, i / c, o, x, i % c, c, n, is_double), bound);
    if (!(buffer_end(x) & buffer_end(w) & buffer_end(dy) & buffer_end(bias) & buffer_end(y) & buffer_end(dx) &
          buffer_end(dw)))
        failures++, printf("a canary of linear is gone\n");
}

static void check_sgd(int is_double, int nesterov, int some) {
    enum { COUNT = 40001 };
    struct buffer w = buffer_new(COUNT, is_double, 1), dw = buffer_new(COUNT, is_double, 2);
    struct buffer velocity = buffer_new(COUNT, is_double, 3), new_w = buffer_new(COUNT, is_double, 4);
    struct buffer new_velocity = buffer_new(COUNT, is_double, 5);
    static uint8_t free_ones[COUNT];
    for (int k = 0; k < COUNT; k++) free_ones[k] = k % 3 > 0;
    fill(w, is_double), fill(dw, is_double), fill(velocity, is_double);
    struct elq_sgd a = {COUNT,      is_double,        nesterov, 0.25,          0.5,
                        0.125,      w.data,           dw.data,  velocity.data, some ? free_ones : NULL,
                        new_w.data, new_velocity.data};
    elq_sgd_step(&a);
    for (ptrdiff_t k = 0; k < COUNT; k++) {
        double at = get(w.data, is_double, k), d = get(dw.data, is_double, k) + 0.125 * at;
        double v = 0.5 * get(velocity.data, is_double, k) + d, to = at - 0.25 * (nesterov ? d + 0.5 * v : v);
        if (some && !free_ones[k]) v = get(velocity.data, is_double, k), to = at;
        near("sgd", ELQ_GENERIC, get(new_w.data, is_double, k), to, is_double ? 1e-14 : 1e-5);
        near("sgd's velocity", ELQ_GENERIC, get(new_velocity.data, is_double, k), v, is_double ? 1e-14 : 1e-5);
    }
    if (!(buffer_end(w) & buffer_end(dw) & buffer_end(velocity) & buffer_end(new_w) & buffer_end(new_velocity)))
        failures++, printf("a canary of sgd is gone\n");
}

/* ----------------------------------------------------------------------------------------- weights on levels */

static void check_nearest_level(int is_double, int ternary, ptrdiff_t rows, ptrdiff_t columns) {
    struct buffer w = buffer_new(rows * columns, is_double, 1), alpha = buffer_new(rows, is_double, 2);
    struct buffer w_hat = buffer_new(rows * columns, is_double, 3);
    fill(w, is_double), fill(alpha, is_double);
    for (ptrdiff_t r = 0; r < rows; r++) put(alpha.data, is_double, r, fabs(get(alpha.data, is_double, r)));
    elq_nearest_level(is_double, ternary, rows, columns, w.data, alpha.data, w_hat.data);
    for (ptrdiff_t i = 0; i < rows * columns; i++) {
        double a = get(alpha.data, is_double, i / columns), v = get(w.data, is_double, i);
        double code = ternary ? (v > a / 2 ? 1 : v < -a / 2 ? -1 : 0) : v >= 0 ? 1 : -1;
        near("nearest level", ELQ_GENERIC, get(w_hat.data, is_double, i), a * code, 0);
    }
    if (!(buffer_end(w) & buffer_end(alpha) & buffer_end(w_hat)))
        failures++, printf("a canary of nearest_level is gone\n");
}

/* ----------------------------------------------------------------------------------------- the gradient of J */

static void check_objective(int is_double, int squared, int gradients, int freezes, ptrdiff_t count) {
    struct buffer w = buffer_new(count, is_double, 1), w_hat = buffer_new(count, is_double, 2);
    struct buffer one = buffer_new(count, is_double, 3), two = buffer_new(count, is_double, 1);
    struct buffer dw = buffer_new(count, is_double, 2);
    ptrdiff_t pieces = (count + ELQ_STRETCH - 1) / ELQ_STRETCH;
    struct buffer errors = buffer_new(pieces, 1, 3);
    uint8_t *frozen = calloc((size_t)count, 1);
    double scale = is_double ? 1e-14 : 1e-5, found = 0, sum = 0;
    fill(w, is_double), fill(w_hat, is_double), fill(one, is_double), fill(two, is_double);
    for (ptrdiff_t k = 0; k < count; k++) frozen[k] = k % 5 == 2;
    put(w_hat.data, is_double, 0, get(w.data, is_double, 0));
    struct elq_objective a = {
        .count = count, .is_double = is_double, .squared = squared, .one = 0.5, .two = -2, .a2 = 0.25};
    a.first = gradients ? one.data : NULL, a.second = gradients == 2 ? two.data : NULL;
    a.w = w.data, a.w_hat = w_hat.data, a.frozen = freezes ? frozen : NULL;
    a.dw = dw.data, a.errors = errors.data;
    elq_objective_gradient(&a);
    for (ptrdiff_t k = 0; k < count; k++) {
        double gap = get(w.data, is_double, k) - get(w_hat.data, is_double, k), wanted = 0;
        if (gradients) wanted += 0.5 * get(one.data, is_double, k);
        if (gradients == 2) wanted -= 2 * get(two.data, is_double, k);
        wanted += 0.25 * (squared ? 2 * gap : gap > 0 ? 1 : gap < 0 ? -1 : 0);
        sum += squared ? gap * gap : fabs(gap);
        near("gradient of J", ELQ_GENERIC, get(dw.data, is_double, k), freezes && frozen[k] ? 0 : wanted, scale);
    }
    for (ptrdiff_t k = 0; k < pieces; k++) found += get(errors.data, 1, k);
    near("E", ELQ_GENERIC, found, sum, (is_double ? 1e-12 : 1e-6) * (1 + sum));
    if (!(buffer_end(w) & buffer_end(w_hat) & buffer_end(one) & buffer_end(two) & buffer_end(dw) & buffer_end(errors)))
        failures++, printf("a canary of the gradient of J is gone\n");
    free(frozen);
}

static const struct elq_max_pool POOLS[] = {
    {.n = 2, .c = 6, .h = 6, .w = 8, .kh = 2, .kw = 2, .stride_h = 2, .stride_w = 2},
    {.n = 1, .c = 16, .h = 7, .w = 9, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2},
    {.n = 3, .c = 37, .h = 4, .w = 5, .kh = 3, .kw = 2, .stride_h = 1, .stride_w = 1},
    {.n = 1, .c = 1, .h = 9, .w = 3, .kh = 1, .kw = 3, .stride_h = 2, .stride_w = 1},
    {.n = 2, .c = 21, .h = 6, .w = 5, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 1, .top = 1, .left = 2},
};

/* ------------------------------------------------------------------------------------------- a call that is left */

static int asked, pieces;
static int ask_twice(void) { return ++asked == 2; }
static void sleep_a_little(void *context, ptrdiff_t index, int worker) {
    (void)context, (void)index, (void)worker;
    __atomic_fetch_add(&pieces, 1, __ATOMIC_RELAXED);
    nanosleep(&(struct timespec){0, 20 * 1000 * 1000}, NULL);
}

/* Pieces of 20 ms until the second question, after 0.2 s, says enough: what remains is left, here 19 of 20 s. */
static void check_watch(void) {
    failures += elq_given_up(); /* outside of any call */
    elq_watch(ask_twice);
    elq_parallel_for(1000, sleep_a_little, NULL);
    const int left = elq_unwatch(), done = pieces;
    elq_parallel_for(3, sleep_a_little, NULL);
    if (asked == 2 && left && done < 1000 && pieces == done + 3) return;
    printf("a call that is left: asked %d times, left %d, %d pieces of 1000, then %d\n", asked, left, done,
           pieces - done);
    failures++;
}

int main(void) {
    int checks = 0;
    for (int isa = 0; isa < ELQ_ISA_COUNT; isa++) {
        if (!elq_isa_runs(elq_cpu_features(), isa) || elq_train_isa(elq_isa_needs(isa)) != isa) continue;
        for (int is_double = 0; is_double < 2; is_double++) {
            for (size_t k = 0; k < sizeof SHAPES / sizeof *SHAPES; k++, checks++)
                check_conv(isa, is_double, SHAPES + k);
            for (int k = 0; k < SHAPE_KINDS * LENGTHS; k++, checks++) {
                const struct shape s = shape_of(1 + k / SHAPE_KINDS, k % SHAPE_KINDS);
                check_conv(isa, is_double, &s);
            }
            for (int k = 0; k < 10; k++, checks++)
                check_norm(isa, is_double, (const ptrdiff_t[]){2, 9, 65, 300, 7}[k / 2], 5 + 12 * (k / 2), k % 2,
                           k % 5 != 2);
            check_norm(isa, is_double, 33, 14, 1, 1), checks++; /* one vector of channels beside pairs, of any width */
            for (size_t k = 0; k < sizeof POOLS / sizeof *POOLS; k++, checks++) check_pool(isa, is_double, POOLS + k);
            for (int k = 0; k < 12; k++, checks++)
                check_linear(isa, is_double, 1 + 3 * k, (const ptrdiff_t[]){1, 37, 530}[k % 3], 1 + 7 * (k % 5));
            check_linear(isa, is_double, 5, 400, 300), checks++; /* several stretches of the depth of dx, then of dw */
            check_linear(isa, is_double, 140, 37, 9), checks++;
            for (int function = 0; function < ELQ_FUNCTIONS; function++, checks++)
                check_function(isa, is_double, function, 333);
        }
        printf("%s checked\n", elq_isa_name(isa));
    }
    for (int k = 0; k < 8; k++, checks++) check_nearest_level(k & 1, k & 2, k & 4 ? 5 : 1, k & 4 ? 37 : 40000);
    for (int k = 0; k < 24; k++, checks++) check_objective(k & 1, k & 2, k / 8, k & 4, k % 3 ? 40001 : 5);
    for (int k = 0; k < 8; k++, checks++) check_sgd(k & 1, k & 2, k & 4);
    check_watch();
    printf("%d checks, %d failures\n", checks + 1, failures);
    return failures > 0;
}
