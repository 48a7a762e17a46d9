/* Batch normalization with the residual sum and the ReLU that follow it, forward and backward, and its evaluation form
 * y = scale x + shift: a template of REAL, VECTOR_BYTES, NAME. Arrays are pixels x channels.
 *
 * Each direction is two sweeps: one for the sums, one that writes. Sums are taken in double over a fixed number of
 * chunks of pixels and added up in order; those of squares about the first pixel, so that a large mean cancels nothing.
 * Lanes are channels; the last few channels go through load_some and store_some. */
#include "train_vector.h"

#include "pool.h"
#include "train_memory.h"
#include "train.h"

#include <math.h>

enum { NAME(CHUNKS) = 64 };
typedef double NAME(wide) __attribute__((vector_size(VECTOR_BYTES / sizeof(REAL) * sizeof(double))));

struct NAME(norm) {
    const struct elq_norm *a;
    double *sums;                 /* [chunk][2][c] */
    REAL *scale, *shift, *factor; /* c each; see the sweeps */
};

INLINE VEC NAME(relu)(VEC z) { return (VEC)((NAME(bits))z & ~(z < 0)); } /* keeps NaN */

/* load_some in double. A macro: a function of so wide a vector would have no stable calling convention. */
#undef WIDEN
#define WIDEN(p, n) __builtin_convertvector(NAME(load_some)(p, n), NAME(wide))

static ptrdiff_t NAME(begin)(const struct elq_norm *a, ptrdiff_t chunk) { return chunk * a->pixels / NAME(CHUNKS); }

/* sums[0] = sum (x - x0), sums[1] = sum (x - x0)^2, x0 the first pixel. */
static void NAME(moments)(void *context, ptrdiff_t chunk, int worker) {
    const struct NAME(norm) *e = context;
    const struct elq_norm *a = e->a;
    const REAL *x = a->x;
    double *sums = e->sums + chunk * 2 * a->c;
    (void)worker;
    for (ptrdiff_t c = 0; c < a->c; c += LANES) {
        ptrdiff_t n = a->c - c;
        NAME(wide) x0 = WIDEN(x + c, n);
        NAME(wide) s = {0}, t = {0};
        for (ptrdiff_t p = NAME(begin)(a, chunk); p < NAME(begin)(a, chunk + 1); p++) {
            NAME(wide) d = WIDEN(x + p * a->c + c, n) - x0;
            s += d;
            t += d * d;
        }
        for (ptrdiff_t l = 0; l < LANES && l < n; l++) {
            sums[c + l] = s[l];
            sums[a->c + c + l] = t[l];
        }
    }
}

/* y = relu(x scale + shift + residual) */
static void NAME(apply)(void *context, ptrdiff_t chunk, int worker) {
    const struct NAME(norm) *e = context;
    const struct elq_norm *a = e->a;
    (void)worker;
    for (ptrdiff_t p = NAME(begin)(a, chunk); p < NAME(begin)(a, chunk + 1); p++) {
        const REAL *x = (const REAL *)a->x + p * a->c, *residual = a->residual ? (const REAL *)a->residual + p * a->c : NULL;
        REAL *y = (REAL *)a->y + p * a->c;
        for (ptrdiff_t c = 0; c < a->c; c += LANES) {
            ptrdiff_t n = a->c - c;
            VEC z = NAME(load_some)(x + c, n) * NAME(load_some)(e->scale + c, n) + NAME(load_some)(e->shift + c, n);
            if (residual) z += NAME(load_some)(residual + c, n);
            NAME(store_some)(y + c, a->relu ? NAME(relu)(z) : z, n);
        }
    }
}

/* sums[0] = sum dz, sums[1] = sum dz (x - mean), dz = dy where y > 0 */
INLINE VEC NAME(masked)(const struct elq_norm *a, ptrdiff_t at, ptrdiff_t n) {
    VEC dy = NAME(load_some)((const REAL *)a->dy + at, n);
    if (!a->relu) return dy;
    return (VEC)((NAME(bits))dy & (NAME(load_some)((const REAL *)a->y + at, n) > 0));
}

static void NAME(products)(void *context, ptrdiff_t chunk, int worker) {
    const struct NAME(norm) *e = context;
    const struct elq_norm *a = e->a;
    double *sums = e->sums + chunk * 2 * a->c;
    (void)worker;
    for (ptrdiff_t c = 0; c < a->c; c += LANES) {
        ptrdiff_t n = a->c - c;
        NAME(wide) mean = WIDEN((const REAL *)a->mean + c, n), s = {0}, t = {0};
        for (ptrdiff_t p = NAME(begin)(a, chunk); p < NAME(begin)(a, chunk + 1); p++) {
            NAME(wide) dz = __builtin_convertvector(NAME(masked)(a, p * a->c + c, n), NAME(wide));
            s += dz;
            t += dz * (WIDEN((const REAL *)a->x + p * a->c + c, n) - mean);
        }
        for (ptrdiff_t l = 0; l < LANES && l < n; l++) {
            sums[c + l] = s[l];
            sums[a->c + c + l] = t[l];
        }
    }
}

/* dx = scale dz + factor x + shift, dresidual = dz */
static void NAME(apply_backward)(void *context, ptrdiff_t chunk, int worker) {
    const struct NAME(norm) *e = context;
    const struct elq_norm *a = e->a;
    (void)worker;
    for (ptrdiff_t p = NAME(begin)(a, chunk); p < NAME(begin)(a, chunk + 1); p++)
        for (ptrdiff_t c = 0; c < a->c; c += LANES) {
            ptrdiff_t n = a->c - c, at = p * a->c + c;
            VEC dz = NAME(masked)(a, at, n), mean = NAME(load_some)((const REAL *)a->mean + c, n);
            VEC d = NAME(load_some)((const REAL *)a->x + at, n) - mean;
            VEC dx = dz * NAME(load_some)(e->scale + c, n) + d * NAME(load_some)(e->factor + c, n) +
                     NAME(load_some)(e->shift + c, n);
            NAME(store_some)((REAL *)a->dx + at, dx, n);
            if (a->dresidual) NAME(store_some)((REAL *)a->dresidual + at, dz, n);
        }
}

/* Memory of a call: the sums of all chunks, then three values a channel. */
static int NAME(reserve)(struct NAME(norm) *e, const struct elq_norm *a) {
    e->a = a;
    e->sums = elq_memory_take((2 * NAME(CHUNKS) + 3) * a->c * sizeof(double));
    if (!e->sums) return -1;
    e->scale = (REAL *)(e->sums + 2 * NAME(CHUNKS) * a->c);
    e->shift = e->scale + a->c;
    e->factor = e->shift + a->c;
    return 0;
}

/* The chunks of both sums into the first. */
static void NAME(total)(struct NAME(norm) *e) {
    ptrdiff_t n = 2 * e->a->c;
    for (ptrdiff_t chunk = 1; chunk < NAME(CHUNKS); chunk++)
        for (ptrdiff_t i = 0; i < n; i++) e->sums[i] += e->sums[chunk * n + i];
}

int NAME(elq_norm)(const struct elq_norm *a) {
    struct NAME(norm) e;
    if (NAME(reserve)(&e, a)) return -1;
    elq_parallel_for(NAME(CHUNKS), NAME(moments), &e);
    NAME(total)(&e);
    for (ptrdiff_t c = 0; c < a->c; c++) {
        double d = e.sums[c] / a->pixels, mean = ((const REAL *)a->x)[c] + d;
        double var = e.sums[a->c + c] / a->pixels - d * d;
        if (var < 0) var = 0; /* keeps NaN */
        double scale = ((const REAL *)a->gamma)[c] / sqrt(var + a->eps);
        ((REAL *)a->mean)[c] = mean;
        ((REAL *)a->var)[c] = var;
        e.scale[c] = scale;
        e.shift[c] = ((const REAL *)a->beta)[c] - mean * scale;
    }
    elq_parallel_for(NAME(CHUNKS), NAME(apply), &e);
    elq_memory_give(e.sums);
    return 0;
}

int NAME(elq_norm_backward)(const struct elq_norm *a) {
    struct NAME(norm) e;
    if (NAME(reserve)(&e, a)) return -1;
    elq_parallel_for(NAME(CHUNKS), NAME(products), &e);
    NAME(total)(&e);
    for (ptrdiff_t c = 0; c < a->c; c++) {
        double inverse = 1 / sqrt(((const REAL *)a->var)[c] + a->eps), scale = ((const REAL *)a->gamma)[c] * inverse;
        double dbeta = e.sums[c], dgamma = e.sums[a->c + c] * inverse;
        ((REAL *)a->dbeta)[c] = dbeta;
        ((REAL *)a->dgamma)[c] = dgamma;
        e.scale[c] = scale;
        e.shift[c] = -scale * dbeta / a->pixels;
        e.factor[c] = -scale * dgamma * inverse / a->pixels;
    }
    elq_parallel_for(NAME(CHUNKS), NAME(apply_backward), &e);
    elq_memory_give(e.sums);
    return 0;
}

int NAME(elq_scale_shift)(const struct elq_norm *a) {
    struct NAME(norm) e = {.a = a, .scale = (REAL *)a->gamma, .shift = (REAL *)a->beta};
    elq_parallel_for(NAME(CHUNKS), NAME(apply), &e);
    return 0;
}
