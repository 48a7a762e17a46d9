/* Fully connected layers of few rows: x is N C, w O C, y and dy N O, all contiguous. The weights are far more than all
 * else, so each sweep reads (or writes) them once, as they lie:
 *
 *   y = x w^T + bias     3 rows of w and up to 8 of x at a time; lanes along C, added up at the end
 *   dx = dy w            several rows of w at a time are added to a stretch of dx, which stays in the cache
 *   dw = dy^T x          4 rows of dw at a time
 *
 * A sum is one chain (of y: one a lane), whatever the number of threads. */
enum {
    NAME(ROWS) = TILE2 > 8 ? 8 : 4,  /* of x: so many times 3 sums are in registers */
    NAME(DEEP) = TILE2 > 8 ? 16 : 8, /* rows of w in registers */
    NAME(OUTPUTS) = 24,              /* of a task */
    NAME(WIDTH) = 512                /* elements of dx that a task makes */
};

#define EACH_OF_EIGHT(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)
#define EACH_OF_SIXTEEN(M)                                                                                             \
    EACH_OF_EIGHT(M)                                                                                                   \
    M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)

INLINE REAL NAME(lane_sum)(VEC v) {
    REAL sum = v[0];
    for (int l = 1; l < LANES; l++) sum += v[l];
    return sum;
}

/* R rows of x with 3 rows of w, of which `outputs` exist. */
INLINE void NAME(linear_tile)(const struct elq_linear *a, const int R, ptrdiff_t n, ptrdiff_t o, ptrdiff_t outputs) {
    const REAL *x = (const REAL *)a->x + n * a->c, *w = (const REAL *)a->w + o * a->c;
    const ptrdiff_t second = outputs > 1 ? a->c : 0, third = outputs > 2 ? 2 * a->c : 0;
#define DECLARE(r) VEC p##r = {0}, q##r = {0}, s##r = {0};
#define ADD(r)                                                                                                         \
    if (R > r) {                                                                                                       \
        const VEC of = NAME(load_some)(x + r * a->c + c, left);                                                        \
        p##r += of * w0, q##r += of * w1, s##r += of * w2;                                                             \
    }
#define FINISH(r)                                                                                                      \
    if (R > r) {                                                                                                       \
        REAL *y = (REAL *)a->y + (n + r) * a->o + o;                                                                   \
        y[0] = NAME(lane_sum)(p##r) + (bias ? bias[0] : 0);                                                            \
        if (outputs > 1) y[1] = NAME(lane_sum)(q##r) + (bias ? bias[1] : 0);                                           \
        if (outputs > 2) y[2] = NAME(lane_sum)(s##r) + (bias ? bias[2] : 0);                                           \
    }
    const REAL *bias = a->bias ? (const REAL *)a->bias + o : NULL;
    EACH_OF_EIGHT(DECLARE)
    for (ptrdiff_t c = 0, left = a->c; c < a->c; c += LANES, left -= LANES) {
        const VEC w0 = NAME(load_some)(w + c, left), w1 = NAME(load_some)(w + second + c, left);
        const VEC w2 = NAME(load_some)(w + third + c, left);
        EACH_OF_EIGHT(ADD)
    }
    EACH_OF_EIGHT(FINISH)
#undef DECLARE
#undef ADD
#undef FINISH
}

static void NAME(linear_task)(void *context, ptrdiff_t index, int worker) {
    const struct elq_linear *a = context;
    const ptrdiff_t last = (index + 1) * NAME(OUTPUTS) < a->o ? (index + 1) * NAME(OUTPUTS) : a->o;
    (void)worker;
    for (ptrdiff_t o = index * NAME(OUTPUTS); o < last; o += 3)
        for (ptrdiff_t n = 0, rows; n < a->n; n += rows) {
            const ptrdiff_t outputs = last - o < 3 ? last - o : 3;
            rows = a->n - n < NAME(ROWS) ? a->n - n : NAME(ROWS);
#define CASE(r)                                                                                                        \
    case r + 1:                                                                                                        \
        if (r < NAME(ROWS)) NAME(linear_tile)(a, r + 1, n, o, outputs);                                                \
        break;
            switch (rows) { EACH_OF_EIGHT(CASE) }
#undef CASE
        }
}

static int NAME(linear)(const struct elq_linear *a) {
    elq_parallel_for((a->o + NAME(OUTPUTS) - 1) / NAME(OUTPUTS), NAME(linear_task), (void *)a);
    return 0;
}

/* To elements c .. of T rows of dx from row n on, D rows of w from row o on are added. */
INLINE void NAME(linear_dx_tile)(const struct elq_linear *a, const int T, const int D, ptrdiff_t n, ptrdiff_t o,
                                 const VEC *w, ptrdiff_t c, ptrdiff_t left) {
    const REAL *dy = (const REAL *)a->dy + n * a->o + o;
    REAL *dx = (REAL *)a->dx + n * a->c + c;
    VEC sum[4];
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) sum[t] = o ? NAME(load_some)(dx + t * a->c, left) : (VEC){0};
#define ADD(d)                                                                                                         \
    if (D > d) { _Pragma("GCC unroll 4") for (int t = 0; t < T; t++) sum[t] += w[d] * dy[t * a->o + d]; }
    EACH_OF_SIXTEEN(ADD)
#undef ADD
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) NAME(store_some)(dx + t * a->c, sum[t], left);
}

INLINE void NAME(linear_dx_rows)(const struct elq_linear *a, const int D, ptrdiff_t o, ptrdiff_t first,
                                 ptrdiff_t last) {
    for (ptrdiff_t c = first; c < last; c += LANES) {
        const REAL *from = (const REAL *)a->w + o * a->c + c;
        VEC w[16] = {{0}};
#pragma GCC unroll 16
        for (int d = 0; d < D; d++) w[d] = NAME(load_some)(from + d * a->c, last - c);
        ptrdiff_t n = 0;
        for (; n + 4 <= a->n; n += 4) NAME(linear_dx_tile)(a, 4, D, n, o, w, c, last - c);
        for (; n < a->n; n++) NAME(linear_dx_tile)(a, 1, D, n, o, w, c, last - c);
    }
}

static void NAME(linear_dx_task)(void *context, ptrdiff_t index, int worker) {
    const struct elq_linear *a = context;
    const ptrdiff_t first = index * NAME(WIDTH), last = first + NAME(WIDTH) < a->c ? first + NAME(WIDTH) : a->c;
    ptrdiff_t o = 0;
    (void)worker;
    for (; o + NAME(DEEP) <= a->o; o += NAME(DEEP)) NAME(linear_dx_rows)(a, NAME(DEEP), o, first, last);
    for (; o < a->o; o++) NAME(linear_dx_rows)(a, 1, o, first, last);
}

static int NAME(linear_dx)(const struct elq_linear *a) {
    elq_parallel_for((a->c + NAME(WIDTH) - 1) / NAME(WIDTH), NAME(linear_dx_task), (void *)a);
    return 0;
}

/* Two vectors of elements of 4 rows of dw, of which `outputs` exist. */
static void NAME(linear_dw_task)(void *context, ptrdiff_t index, int worker) {
    const struct elq_linear *a = context;
    const ptrdiff_t o = 4 * index, outputs = a->o - o < 4 ? a->o - o : 4;
    const REAL *dy = (const REAL *)a->dy + o;
    REAL *dw = (REAL *)a->dw + o * a->c;
    (void)worker;
    for (ptrdiff_t c = 0; c < a->c; c += 2 * LANES) {
        const ptrdiff_t left = a->c - c, more = left > LANES ? left - LANES : 0;
        VEC low[4] = {{0}}, high[4] = {{0}};
        for (ptrdiff_t n = 0; n < a->n; n++) {
            const REAL *x = (const REAL *)a->x + n * a->c + c;
            const VEC x0 = NAME(load_some)(x, left), x1 = NAME(load_some)(x + LANES, more);
            for (int k = 0; k < 4; k++) {
                const REAL by = dy[n * a->o + (k < outputs ? k : 0)];
                low[k] += x0 * by, high[k] += x1 * by;
            }
        }
        for (ptrdiff_t k = 0; k < outputs; k++) {
            NAME(store_some)(dw + k * a->c + c, low[k], left);
            NAME(store_some)(dw + k * a->c + c + LANES, high[k], more);
        }
    }
}

static int NAME(linear_dw)(const struct elq_linear *a) {
    elq_parallel_for((a->o + 3) / 4, NAME(linear_dw_task), (void *)a);
    return 0;
}
#undef EACH_OF_EIGHT
#undef EACH_OF_SIXTEEN
