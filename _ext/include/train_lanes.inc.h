/* Convolution of groups with few outputs each, depthwise layers among them: a template of REAL, VECTOR_BYTES, NAME,
 * TILE1, included by train_conv.inc.h.
 *
 * A vector of lanes holds the outputs of several groups, so the input of a lane is that of its group: the buffer keeps,
 * for every pixel and each of the C inputs of a group, one vector with the input of every lane.
 *
 *     lanes      o0 o1 o2 o3 | o4 o5 o6 o7 | ...       groups of 4 outputs and C = 4 inputs
 *     buffer c=0 x0 x0 x0 x0 | x4 x4 x4 x4 | ...       y[lanes] += buffer[pixel + tap][c][lanes] * w[tap][c][lanes]
 *            c=1 x1 x1 x1 x1 | x5 x5 x5 x5 | ...       dw[tap][c][lanes] += buffer[pixel + tap][c][lanes] * dy[lanes]
 *
 * The copy into the buffer expands; every element is then read for each tap. The buffer has its blocks of lanes one
 * after the other, each a picture of its own: what the kernel reads again lies together. */

/* An image whose channels, c a group, are to be expanded to the lanes of outputs, o a group. */
struct NAME(lanes) {
    ptrdiff_t c, o, groups;
    const REAL *x;
    const ptrdiff_t *xs;
    ptrdiff_t h, w;
};

#undef SHUFFLE
#if defined(__clang__)
INLINE VEC NAME(shuffle)(VEC v, NAME(bits) from) {
    VEC to;
    for (int l = 0; l < LANES; l++) to[l] = v[from[l]];
    return to;
}
#define SHUFFLE NAME(shuffle)
#else
#define SHUFFLE __builtin_shuffle
#endif

/* `count` pixels of one row to to[block of lanes][column][c][lanes], `block_step` elements between blocks. */
static void NAME(expand_row)(const struct NAME(lanes) *a, REAL *to, ptrdiff_t block_step, const REAL *x, ptrdiff_t count) {
    ptrdiff_t outputs = a->groups * a->o, channels = a->groups * a->c, in = LANES / a->o * a->c;
    if (a->xs[1] != 1 || LANES % a->o || in > LANES) {
        for (ptrdiff_t q = 0; q < count; q++, x += a->xs[3])
            for (ptrdiff_t c = 0; c < a->c; c++, to += LANES)
                for (ptrdiff_t o = 0; o < WHOLE(outputs); o++)
                    to[o / LANES * block_step + o % LANES] = o < outputs ? x[(o / a->o * a->c + c) * a->xs[1]] : 0;
        return;
    }
    NAME(bits) from[LANES]; /* lanes of one vector of x, the same in every block */
    for (ptrdiff_t c = 0; c < a->c; c++)
        for (ptrdiff_t l = 0; l < LANES; l++) from[c][l] = l / a->o * a->c + c;
    for (ptrdiff_t q = 0; q < count; q++, x += a->xs[3], to += a->c * LANES) {
        REAL *block = to;
        for (ptrdiff_t i = 0; i < channels; i += in, block += block_step) {
            VEC v = NAME(load_some)(x + i, channels - i);
            if (a->c == 1 && a->o == 1) NAME(store)(block, v);
            else
                for (ptrdiff_t c = 0; c < a->c; c++) NAME(store)(block + c * LANES, SHUFFLE(v, from[c]));
        }
    }
}

/* A window of image n as in `gather`; `row_step` elements between rows. */
static void NAME(expand)(const struct NAME(lanes) *a, REAL *to, ptrdiff_t row_step, ptrdiff_t block_step, ptrdiff_t n,
                         ptrdiff_t row0, ptrdiff_t rows, ptrdiff_t column0, ptrdiff_t columns) {
    ptrdiff_t left = column0 < 0 ? -column0 : 0, right = a->w - column0 < columns ? a->w - column0 : columns;
    ptrdiff_t size = a->c * LANES, blocks = WHOLE(a->groups * a->o) / LANES;
    if (left > columns) left = columns;
    if (right < left) right = left;
    for (ptrdiff_t r = row0; r < row0 + rows; r++, to += row_step) {
        int inside = r >= 0 && r < a->h;
        ptrdiff_t zeros = inside ? left : columns; /* before the first pixel */
        for (ptrdiff_t block = 0; block < blocks; block++) {
            memset(to + block * block_step, 0, zeros * size * sizeof(REAL));
            if (inside) memset(to + block * block_step + right * size, 0, (columns - right) * size * sizeof(REAL));
        }
        if (inside)
            NAME(expand_row)(a, to + left * size, block_step,
                             a->x + n * a->xs[0] + r * a->xs[2] + (column0 + left) * a->xs[3], right - left);
    }
}

/* ------------------------------------------------------------------------------------------ forward, and towards x */

/* Enough sums on their way for any latency; 7, 14, 28, 56 pixels a row are whole tiles. */
enum { NAME(MOST_PIXELS) = TILE1 < 14 ? TILE1 : 14 };

/* T pixels at a time, so that T sums are on their way at once and share a vector of weights. */
INLINE void NAME(tile_lanes)(const int T, const REAL *x, ptrdiff_t step, const struct elq_taps *taps, VEC start,
                             const REAL *w, REAL *y, ptrdiff_t y_step, ptrdiff_t outputs) {
#define DECLARE(t, g, r) VEC a##t = start;
#define POINT(g) const REAL *x##g = from + 3 * g * step;
#define MULTIPLY(t, g, r)                                                                                              \
    if (T > t) a##t += NAME(load)(x##g + r * step) * w0;
#define ADVANCE(g) x##g += LANES;
#define STORE(t, g, r)                                                                                                 \
    if (T > t) NAME(store_some)(y + t * y_step, a##t, outputs);
    EACH_PIXEL(DECLARE)
    for (int k = 0; k < taps->runs; k++) {
        const REAL *from = x + taps->run[k].offset;
        EACH_POINTER(POINT)
        for (ptrdiff_t e = taps->run[k].length; e > 0; e -= LANES, w += LANES) {
            VEC w0 = NAME(load)(w);
            EACH_PIXEL(MULTIPLY)
            EACH_POINTER(ADVANCE)
        }
    }
    EACH_PIXEL(STORE)
#undef DECLARE
#undef POINT
#undef MULTIPLY
#undef ADVANCE
#undef STORE
}

/* One row of a block of lanes, in tiles of nearly equal size. */
static void NAME(row_lanes)(const struct NAME(engine) *e, const REAL *x, VEC start, const REAL *w, REAL *y,
                            ptrdiff_t outputs) {
    ptrdiff_t step = e->step_w * e->c * LANES, pixels = e->q;
    for (ptrdiff_t tiles = (pixels + NAME(MOST_PIXELS) - 1) / NAME(MOST_PIXELS); tiles > 0; tiles--) {
        ptrdiff_t t = (pixels + tiles - 1) / tiles;
#define CASE(n, g, r)                                                                                                  \
    case n + 1:                                                                                                        \
        if (n < NAME(MOST_PIXELS)) NAME(tile_lanes)(n + 1, x, step, e->taps, start, w, y, e->y_w, outputs);            \
        break;
        switch (t) { EACH_PIXEL(CASE) }
#undef CASE
        x += t * step;
        y += t * e->y_w;
        pixels -= t;
    }
}

/* Weights as [block of a vector of outputs][tap][c][lanes], the lanes beyond the last output 0. */
static void NAME(pack_lanes)(REAL *to, const struct NAME(engine) *e, const REAL *w, ptrdiff_t sg, ptrdiff_t so,
                             ptrdiff_t sc, ptrdiff_t si, ptrdiff_t sj) {
    for (ptrdiff_t first = 0; first < e->lanes; first += LANES)
        for (int k = 0; k < e->taps->count; k++)
            for (ptrdiff_t c = 0; c < e->c; c++, to += LANES)
                for (ptrdiff_t l = 0; l < LANES; l++) {
                    ptrdiff_t o = first + l;
                    const REAL *from = w + o / e->o * sg + o % e->o * so + c * sc;
                    to[l] = o < e->groups * e->o ? from[e->taps->i[k] * si + e->taps->j[k] * sj] : 0;
                }
}

/* Engines that read one x, in one window that holds those of all. A piece of work is the same band of rows of each
 * engine; it is copied once, and the rows of one block of lanes follow each other so that they meet in the cache. */
struct NAME(engines) {
    struct NAME(engine) *all;
    ptrdiff_t count;
    ptrdiff_t p, rows;                    /* of the output that has most, and of a piece */
    ptrdiff_t top, left, span_h, columns; /* of the window: as in an engine; span_h rows for one of the outputs */
    ptrdiff_t block_size;                 /* elements of one block of lanes in the buffer */
    REAL *scratch;
    ptrdiff_t scratch_size;
};

static void NAME(piece_lanes)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(engines) *s = context;
    const struct NAME(engine) *e = s->all, *end = e + s->count;
    const struct NAME(lanes) from = {e->c, e->o, e->groups, e->x, e->xs, e->h, e->w};
    ptrdiff_t bands = (s->p + s->rows - 1) / s->rows, n = index / bands, p0 = index % bands * s->rows;
    ptrdiff_t size = e->c * LANES, row_step = s->columns * size, outputs = e->groups * e->o;
    ptrdiff_t rows = s->p - p0 < s->rows ? s->p - p0 : s->rows;
    REAL *buffer = s->scratch + worker * s->scratch_size;
    NAME(expand)(&from, buffer, row_step, s->block_size, n, p0 * e->step_h - s->top,
                 (rows - 1) * e->step_h + s->span_h, -s->left, s->columns);
    for (ptrdiff_t o = 0; o < outputs; o += LANES, buffer += s->block_size)
        for (e = s->all; e < end; e++) {
            const REAL *x = buffer + (s->top - e->top) * row_step + (s->left - e->left) * size;
            const REAL *w = e->weights + o * e->taps->count * e->c;
            VEC start = NAME(load)(e->start + o);
            for (ptrdiff_t p = p0; p < p0 + rows && p < e->p; p++, x += e->step_h * row_step)
                NAME(row_lanes)(e, x, start, w, e->y + n * e->y_n + p * e->y_h + o, outputs - o);
        }
}

/* Run engines whose x is one, with weights as `run` in train_conv.inc.h has them. */
static int NAME(run_lanes)(struct NAME(engine) *all, ptrdiff_t count, const REAL *w, ptrdiff_t sg, ptrdiff_t so,
                           ptrdiff_t sc, ptrdiff_t si, ptrdiff_t sj) {
    struct NAME(engines) s = {.all = all, .count = count, .top = all->top, .left = all->left};
    ptrdiff_t threads = elq_num_threads(), outputs = all->groups * all->o, lanes = WHOLE(outputs), packed = lanes;
    ptrdiff_t size = all->c * LANES;
    for (struct NAME(engine) *e = all; e < all + count; e++) {
        if (e->top > s.top) s.top = e->top;
        if (e->left > s.left) s.left = e->left;
    }
    for (struct NAME(engine) *e = all; e < all + count; e++) {
        ptrdiff_t span_h = s.top - e->top + e->taps->span_h;
        ptrdiff_t columns = s.left - e->left + (e->q - 1) * e->step_w + e->taps->span_w;
        if (e->p > s.p) s.p = e->p;
        if (span_h > s.span_h) s.span_h = span_h;
        if (columns > s.columns) s.columns = columns;
        packed += lanes * e->taps->count * e->c;
    }
    s.rows = 2 * ELQ_BUFFER_BYTES / (ptrdiff_t)sizeof(REAL) / (s.columns * all->c * lanes * all->step_h) + 1;
    while (s.rows > 1 && all->n * ((s.p + s.rows - 1) / s.rows) < 2 * threads) s.rows = (s.rows + 1) / 2;
    if (s.rows > s.p) s.rows = s.p;
    s.block_size = ((s.rows - 1) * all->step_h + s.span_h) * s.columns * size;
    s.scratch_size = lanes / LANES * s.block_size;

    REAL *memory = elq_memory_take((packed + s.scratch_size * threads) * sizeof(REAL)), *to = memory + lanes;
    if (!memory) return -1;
    s.scratch = memory + packed;
    for (ptrdiff_t o = 0; o < lanes; o++) memory[o] = all->bias && o < outputs ? all->bias[o] : 0;
    for (struct NAME(engine) *e = all; e < all + count; e++) {
        e->start = memory;
        e->lanes = lanes;
        e->weights = to;
        elq_taps_place(e->taps, s.columns, size);
        NAME(pack_lanes)(to, e, w, sg, so, sc, si, sj);
        to += lanes * e->taps->count * e->c;
    }
    elq_parallel_for(all->n * ((s.p + s.rows - 1) / s.rows), NAME(piece_lanes), &s);
    elq_memory_give(memory);
    return 0;
}
