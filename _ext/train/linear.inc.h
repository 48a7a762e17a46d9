/* Fully connected layers of many weights: x is N C, w O C, y and dy N O, all contiguous. The weights are far more than all
 * else, so each sweep reads (or writes) them once, as they lie:
 *
 *   y = x w^T + bias     3 rows of w and ROWS of x at a time; lanes along C, added up at the end
 *   dx = dy w            ROWS rows of dx and 3 vectors of columns at a time, DEPTH rows of w
 *   dw = dy^T x          ROWS rows of dw and 3 vectors of columns at a time
 *
 * What is read again and again is copied first, in the order in which it is read: rows that lie a multiple of 4 KB apart
 * would fall on the same few lines of the first cache. A sum is one chain (of y: one a lane), whatever the number of
 * threads. */
enum {
    NAME(ROWS) = TILE2 > 8 ? 8 : 4, /* so many times 3 sums are in registers */
    NAME(OUTPUTS) = 24,             /* of a task */
    NAME(WIDTH) = 384,              /* columns of a task: whole times 3 vectors */
    NAME(DEPTH) = 128
};

#define EACH_OF_EIGHT(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)

INLINE REAL NAME(lane_sum)(VEC v) {
    REAL sum = v[0];
    for (int l = 1; l < LANES; l++) sum += v[l];
    return sum;
}

struct NAME(linear) {
    const struct elq_linear *given;
    ptrdiff_t vectors; /* of a row of x, the last filled up with 0 */
    REAL *x;           /* [ROWS rows of x, the last rows fewer][vector][row][lane] */
};

/* R rows of x with 3 rows of w, of which `outputs` exist. */
INLINE void NAME(linear_tile)(const struct NAME(linear) * e, const int R, ptrdiff_t n, ptrdiff_t o, ptrdiff_t outputs) {
    const struct elq_linear *a = e->given;
    const REAL *x = e->x + n * e->vectors * LANES, *w = (const REAL *)a->w + o * a->c;
    const ptrdiff_t second = outputs > 1 ? a->c : 0, third = outputs > 2 ? 2 * a->c : 0;
    ptrdiff_t c = 0;
#define DECLARE(r) VEC p##r = {0}, q##r = {0}, s##r = {0};
#define ADD(r)                                                                                                         \
    if (R > r) {                                                                                                       \
        const VEC of = NAME(load)(x + r * LANES);                                                                      \
        p##r += of * w0, q##r += of * w1, s##r += of * w2;                                                             \
    }
#define STEP(left)                                                                                                     \
    const VEC w0 = NAME(load_some)(w + c, left), w1 = NAME(load_some)(w + second + c, left);                           \
    const VEC w2 = NAME(load_some)(w + third + c, left);                                                               \
    EACH_OF_EIGHT(ADD)
#define FINISH(r)                                                                                                      \
    if (R > r) {                                                                                                       \
        REAL *y = (REAL *)a->y + (n + r) * a->o + o;                                                                   \
        y[0] = NAME(lane_sum)(p##r) + (bias ? bias[0] : 0);                                                            \
        if (outputs > 1) y[1] = NAME(lane_sum)(q##r) + (bias ? bias[1] : 0);                                           \
        if (outputs > 2) y[2] = NAME(lane_sum)(s##r) + (bias ? bias[2] : 0);                                           \
    }
    const REAL *bias = a->bias ? (const REAL *)a->bias + o : NULL;
    EACH_OF_EIGHT(DECLARE)
    for (; c + LANES <= a->c; c += LANES, x += R * LANES) { STEP(LANES) }
    if (c < a->c) { STEP(a->c - c) }
    EACH_OF_EIGHT(FINISH)
#undef DECLARE
#undef ADD
#undef STEP
#undef FINISH
}

static void NAME(linear_task)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(linear) *e = context;
    const struct elq_linear *a = e->given;
    const ptrdiff_t last = (index + 1) * NAME(OUTPUTS) < a->o ? (index + 1) * NAME(OUTPUTS) : a->o;
    (void)worker;
    for (ptrdiff_t o = index * NAME(OUTPUTS); o < last; o += 3)
        for (ptrdiff_t n = 0, rows; n < a->n; n += rows) {
            const ptrdiff_t outputs = last - o < 3 ? last - o : 3;
            rows = a->n - n < NAME(ROWS) ? a->n - n : NAME(ROWS);
#define CASE(r)                                                                                                        \
    case r + 1:                                                                                                        \
        if (r < NAME(ROWS)) NAME(linear_tile)(e, r + 1, n, o, outputs);                                                \
        break;
            switch (rows) { EACH_OF_EIGHT(CASE) }
#undef CASE
        }
}

static int NAME(linear)(const struct elq_linear *a) {
    const ptrdiff_t vectors = (a->c + LANES - 1) / LANES;
    struct NAME(linear) e = {a, vectors, elq_memory_take(a->n * vectors * LANES * sizeof(REAL))};
    if (!e.x) return -1;
    for (ptrdiff_t n = 0, rows; n < a->n; n += rows) {
        rows = a->n - n < NAME(ROWS) ? a->n - n : NAME(ROWS);
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t v = 0; v < vectors; v++)
                NAME(store)(e.x + ((n * vectors + v * rows + r) * LANES),
                            NAME(load_some)((const REAL *)a->x + (n + r) * a->c + v * LANES, a->c - v * LANES));
    }
    elq_parallel_for((a->o + NAME(OUTPUTS) - 1) / NAME(OUTPUTS), NAME(linear_task), &e);
    elq_memory_give(e.x);
    return 0;
}

/* out = a b with b and out as they lie, `columns` wide, and a in ROWS rows of out side by side: dx = dy w, dw = dy^T x. */
struct NAME(product) {
    ptrdiff_t rows, depth, columns;
    const REAL *a; /* [ROWS rows, the last filled up with 0][depth][row] */
    const REAL *b;
    REAL *out, *panels; /* one a worker: [3 vectors][element of the depth][lane] of b, DEPTH times WIDTH */
};

/* To `left` columns of `rows` rows of out, which hold nothing yet or the sum so far, a stretch of the depth is added. */
INLINE void NAME(product_tile)(const REAL *a, const REAL *b, ptrdiff_t depth, int first, REAL *out, ptrdiff_t columns,
                               ptrdiff_t rows, ptrdiff_t left, const REAL *ahead) {
    VEC sum[8][3];
#pragma GCC unroll 8
    for (int r = 0; r < NAME(ROWS); r++)
#pragma GCC unroll 3
        for (int v = 0; v < 3; v++)
            sum[r][v] =
                first || r >= rows ? (VEC){0} : NAME(load_some)(out + r * columns + v * LANES, left - v * LANES);
    for (ptrdiff_t k = 0; k < depth; k++, a += NAME(ROWS), b += 3 * LANES) {
        if (ahead) {
            __builtin_prefetch(ahead, 0, 2), __builtin_prefetch(ahead + LANES, 0, 2);
            __builtin_prefetch(ahead + 2 * LANES, 0, 2);
            ahead += columns;
        }
        const VEC b0 = NAME(load)(b), b1 = NAME(load)(b + LANES), b2 = NAME(load)(b + 2 * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < NAME(ROWS); r++) sum[r][0] += b0 * a[r], sum[r][1] += b1 * a[r], sum[r][2] += b2 * a[r];
    }
#pragma GCC unroll 8
    for (int r = 0; r < NAME(ROWS); r++)
#pragma GCC unroll 3
        for (int v = 0; v < 3; v++)
            if (r < rows) NAME(store_some)(out + r * columns + v * LANES, sum[r][v], left - v * LANES);
}

/* WIDTH columns of out, DEPTH elements of the depth at a time. */
static void NAME(product_task)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(product) *e = context;
    const ptrdiff_t three = 3 * LANES, column = index * NAME(WIDTH), rest = e->columns - column;
    const ptrdiff_t width = rest < NAME(WIDTH) ? rest : NAME(WIDTH);
    REAL *panel = e->panels + worker * NAME(WIDTH) * NAME(DEPTH);
    for (ptrdiff_t k = 0; k < e->depth; k += NAME(DEPTH)) {
        const ptrdiff_t depth = e->depth - k < NAME(DEPTH) ? e->depth - k : NAME(DEPTH);
        for (ptrdiff_t d = 0; d < depth; d++)
            for (ptrdiff_t c = 0; c < width; c += three) {
                const REAL *from = e->b + (k + d) * e->columns + column + c;
                REAL *to = panel + c * depth + d * three;
                for (int v = 0; v < 3; v++)
                    NAME(store)(to + v * LANES, NAME(load_some)(from + v * LANES, width - c - v * LANES));
            }
        for (ptrdiff_t row = 0; row < e->rows; row += NAME(ROWS))
            for (ptrdiff_t c = 0; c < width; c += three) {
                const REAL *a = e->a + row * e->depth + k * NAME(ROWS), *b = panel + c * depth;
                REAL *out = e->out + row * e->columns + column + c;
                const REAL *ahead =
                    !row && k + 2 * NAME(DEPTH) <= e->depth ? e->b + (k + NAME(DEPTH)) * e->columns + column + c : NULL;
                if (row + NAME(ROWS) > e->rows || c + three > width)
                    NAME(product_tile)(a, b, depth, !k, out, e->columns, e->rows - row, width - c, NULL);
                else if (ahead) NAME(product_tile)(a, b, depth, !k, out, e->columns, NAME(ROWS), three, ahead);
                else NAME(product_tile)(a, b, depth, !k, out, e->columns, NAME(ROWS), three, NULL);
            }
    }
}

/* The product, of an `a` whose rows and elements of the depth lie so far apart. */
static int NAME(product)(struct NAME(product) * e, const REAL *a, ptrdiff_t row_step, ptrdiff_t depth_step) {
    const ptrdiff_t tiles = (e->rows + NAME(ROWS) - 1) / NAME(ROWS), size = tiles * NAME(ROWS) * e->depth;
    REAL *memory = elq_memory_take((size + elq_num_threads() * NAME(WIDTH) * NAME(DEPTH)) * sizeof(REAL)), *to = memory;
    if (!memory) return -1;
    for (ptrdiff_t row = 0; row < e->rows; row += NAME(ROWS))
        for (ptrdiff_t k = 0; k < e->depth; k++)
            for (ptrdiff_t r = row; r < row + NAME(ROWS); r++)
                *to++ = r < e->rows ? a[r * row_step + k * depth_step] : 0;
    e->a = memory, e->panels = to;
    elq_parallel_for((e->columns + NAME(WIDTH) - 1) / NAME(WIDTH), NAME(product_task), e);
    elq_memory_give(memory);
    return 0;
}

static int NAME(linear_dx)(const struct elq_linear *a) {
    struct NAME(product) e = {.rows = a->n, .depth = a->o, .columns = a->c, .b = a->w, .out = a->dx};
    return NAME(product)(&e, a->dy, a->o, 1);
}

static int NAME(linear_dw)(const struct elq_linear *a) {
    struct NAME(product) e = {.rows = a->o, .depth = a->n, .columns = a->c, .b = a->x, .out = a->dw};
    return NAME(product)(&e, a->dy, 1, a->o);
}
#undef EACH_OF_EIGHT
