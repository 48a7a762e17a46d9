/* Batch normalization with the residual sum and the ReLU that follow it, forward and backward, and its evaluation form
 * y = scale x + shift: a template of REAL, VECTOR_BYTES, NAME. Arrays are pixels x channels.
 *
 * Each direction is two sweeps: one for the sums, one that writes. Sums are taken in double over a fixed number of
 * chunks of pixels and added up in order; those of squares about the first pixel, so that a large mean cancels nothing.
 * Lanes are channels: for sums as many as a vector has doubles, two vectors at a time, which keeps them in registers;
 * the last few channels one by one, or in the sweeps that write through load_some and store_some. The second sweep of each
 * direction begins at the end, which may still be in the cache. */

enum { NAME(CHUNKS) = 64, NAME(WIDE) = VECTOR_BYTES / sizeof(double) };
typedef double NAME(wide) __attribute__((vector_size(VECTOR_BYTES)));
/* As many elements in memory, and whether each of them is positive. */
typedef REAL NAME(narrow)
    __attribute__((vector_size(VECTOR_BYTES / sizeof(double) * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
typedef __typeof__((NAME(narrow)){0} > 0) NAME(positive);

struct NAME(norm) {
    const struct elq_norm *a;
    double *sums;                 /* [chunk][2][c] */
    REAL *scale, *shift, *factor; /* c each; see the sweeps */
};

INLINE VEC NAME(rectified)(VEC z) { return (VEC)((NAME(bits))z & ~(z < 0)); } /* keeps NaN */

#undef WIDEN
#undef NARROW
#define WIDEN(v) __builtin_convertvector(v, NAME(wide))
#define NARROW(p) (*(const NAME(narrow) *)(p))

static ptrdiff_t NAME(begin)(const struct elq_norm *a, ptrdiff_t chunk) { return chunk * a->pixels / NAME(CHUNKS); }

INLINE void NAME(put)(const int V, double *to, NAME(wide) s0, NAME(wide) s1) {
    memcpy(to, &s0, sizeof s0);
    if (V > 1) memcpy(to + NAME(WIDE), &s1, sizeof s1);
}

/* sums[0] = sum (x - x0), sums[1] = sum (x - x0)^2, x0 the first pixel; of one or two vectors of channels from c on. */
INLINE void NAME(moments_of)(const int V, const struct elq_norm *a, ptrdiff_t chunk, ptrdiff_t c, double *sums) {
    const REAL *x = (const REAL *)a->x + c;
    NAME(wide) first0 = WIDEN(NARROW(x)), s0 = {0}, t0 = {0}, s1 = {0}, t1 = {0};
    NAME(wide) first1 = V > 1 ? WIDEN(NARROW(x + NAME(WIDE))) : first0;
    for (ptrdiff_t p = NAME(begin)(a, chunk); p < NAME(begin)(a, chunk + 1); p++) {
        NAME(wide) d0 = WIDEN(NARROW(x + p * a->c)) - first0;
        s0 += d0, t0 += d0 * d0;
        if (V < 2) continue;
        NAME(wide) d1 = WIDEN(NARROW(x + p * a->c + NAME(WIDE))) - first1;
        s1 += d1, t1 += d1 * d1;
    }
    NAME(put)(V, sums + c, s0, s1), NAME(put)(V, sums + a->c + c, t0, t1);
}

static void NAME(moments)(void *context, ptrdiff_t chunk, int worker) {
    const struct NAME(norm) *e = context;
    const struct elq_norm *a = e->a;
    const REAL *x = a->x;
    double *sums = e->sums + chunk * 2 * a->c;
    ptrdiff_t c = 0;
    (void)worker;
    for (; c + 2 * NAME(WIDE) <= a->c; c += 2 * NAME(WIDE)) NAME(moments_of)(2, a, chunk, c, sums);
    for (; c + NAME(WIDE) <= a->c; c += NAME(WIDE)) NAME(moments_of)(1, a, chunk, c, sums);
    for (; c < a->c; c++) {
        double s = 0, t = 0;
        for (ptrdiff_t p = NAME(begin)(a, chunk); p < NAME(begin)(a, chunk + 1); p++) {
            double d = (double)x[p * a->c + c] - x[c];
            s += d, t += d * d;
        }
        sums[c] = s, sums[a->c + c] = t;
    }
}

/* y = relu(x scale + shift + residual) */
static void NAME(apply)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(norm) *e = context;
    const struct elq_norm *a = e->a;
    ptrdiff_t chunk = NAME(CHUNKS) - 1 - index;
    (void)worker;
    for (ptrdiff_t p = NAME(begin)(a, chunk); p < NAME(begin)(a, chunk + 1); p++) {
        const REAL *x = (const REAL *)a->x + p * a->c,
                   *residual = a->residual ? (const REAL *)a->residual + p * a->c : NULL;
        REAL *y = (REAL *)a->y + p * a->c;
        for (ptrdiff_t c = 0; c < a->c; c += LANES) {
            ptrdiff_t n = a->c - c;
            VEC z = NAME(load_some)(x + c, n) * NAME(load_some)(e->scale + c, n) + NAME(load_some)(e->shift + c, n);
            if (residual) z += NAME(load_some)(residual + c, n);
            NAME(store_some)(y + c, a->relu ? NAME(rectified)(z) : z, n);
        }
    }
}

/* sums[0] = sum dz, sums[1] = sum dz (x - mean), dz = dy where y > 0; as above. */
INLINE void NAME(products_of)(const int V, const struct elq_norm *a, ptrdiff_t chunk, ptrdiff_t c, double *sums) {
    const REAL *x = (const REAL *)a->x + c, *dy = (const REAL *)a->dy + c, *y = (const REAL *)a->y + c;
    const REAL *mean = (const REAL *)a->mean + c;
    NAME(wide) mean0 = WIDEN(NARROW(mean)), s0 = {0}, t0 = {0}, s1 = {0}, t1 = {0};
    NAME(wide) mean1 = V > 1 ? WIDEN(NARROW(mean + NAME(WIDE))) : mean0;
#define ADD(k)                                                                                                         \
    {                                                                                                                  \
        ptrdiff_t at = p * a->c + k * NAME(WIDE);                                                                      \
        NAME(narrow) dz = NARROW(dy + at);                                                                             \
        if (a->relu) dz = (NAME(narrow))((NAME(positive))dz & (NARROW(y + at) > 0));                                   \
        s##k += WIDEN(dz), t##k += WIDEN(dz) * (WIDEN(NARROW(x + at)) - mean##k);                                      \
    }
    for (ptrdiff_t p = NAME(begin)(a, chunk); p < NAME(begin)(a, chunk + 1); p++) {
        ADD(0)
        if (V > 1) ADD(1)
    }
#undef ADD
    NAME(put)(V, sums + c, s0, s1), NAME(put)(V, sums + a->c + c, t0, t1);
}

static void NAME(products)(void *context, ptrdiff_t chunk, int worker) {
    const struct NAME(norm) *e = context;
    const struct elq_norm *a = e->a;
    const REAL *x = a->x, *dy = a->dy, *y = a->y, *mean = a->mean;
    double *sums = e->sums + chunk * 2 * a->c;
    ptrdiff_t c = 0;
    (void)worker;
    for (; c + 2 * NAME(WIDE) <= a->c; c += 2 * NAME(WIDE)) NAME(products_of)(2, a, chunk, c, sums);
    for (; c + NAME(WIDE) <= a->c; c += NAME(WIDE)) NAME(products_of)(1, a, chunk, c, sums);
    for (; c < a->c; c++) {
        double s = 0, t = 0;
        for (ptrdiff_t p = NAME(begin)(a, chunk); p < NAME(begin)(a, chunk + 1); p++) {
            ptrdiff_t at = p * a->c + c;
            double dz = !a->relu || y[at] > 0 ? dy[at] : 0;
            s += dz, t += dz * ((double)x[at] - mean[c]);
        }
        sums[c] = s, sums[a->c + c] = t;
    }
}

/* dy where y > 0 */
INLINE VEC NAME(masked)(const struct elq_norm *a, ptrdiff_t at, ptrdiff_t n) {
    VEC dy = NAME(load_some)((const REAL *)a->dy + at, n);
    if (!a->relu) return dy;
    return (VEC)((NAME(bits))dy & (NAME(load_some)((const REAL *)a->y + at, n) > 0));
}

/* dx = scale dz + factor x + shift, dresidual = dz */
static void NAME(apply_backward)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(norm) *e = context;
    const struct elq_norm *a = e->a;
    ptrdiff_t chunk = NAME(CHUNKS) - 1 - index;
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
static int NAME(reserve)(struct NAME(norm) * e, const struct elq_norm *a) {
    assert(a->pixels > 0 && a->c > 0);
    e->a = a;
    e->sums = elq_memory_take((2 * NAME(CHUNKS) + 3) * a->c * sizeof(double));
    if (!e->sums) return -1;
    e->scale = (REAL *)(e->sums + 2 * NAME(CHUNKS) * a->c);
    e->shift = e->scale + a->c;
    e->factor = e->shift + a->c;
    return 0;
}

/* The chunks of both sums into the first. */
static void NAME(total)(struct NAME(norm) * e) {
    ptrdiff_t n = 2 * e->a->c;
    for (ptrdiff_t chunk = 1; chunk < NAME(CHUNKS); chunk++)
        for (ptrdiff_t i = 0; i < n; i++) e->sums[i] += e->sums[chunk * n + i];
}

static int NAME(norm)(const struct elq_norm *a) {
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

static int NAME(norm_backward)(const struct elq_norm *a) {
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

static int NAME(scale_shift)(const struct elq_norm *a) {
    struct NAME(norm) e = {.a = a, .scale = (REAL *)a->gamma, .shift = (REAL *)a->beta};
    elq_parallel_for(NAME(CHUNKS), NAME(apply), &e);
    return 0;
}
