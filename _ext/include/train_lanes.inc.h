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
 * The copy into the buffer expands; every element is then read for each tap. A row of the buffer has its blocks of lanes
 * one after the other, so that the kernel row of a pixel is one run. */

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

#define EACH_OF_EIGHT(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)

/* T pixels at a time, so that T sums are on their way at once. */
INLINE void NAME(tile_lanes)(const int T, const REAL *x, ptrdiff_t step, const struct elq_taps *taps, VEC start,
                             const REAL *w, REAL *y, ptrdiff_t y_step, ptrdiff_t outputs) {
#define DECLARE(t) VEC a##t = start;
#define MULTIPLY(t)                                                                                                    \
    if (T > t) a##t += NAME(load)(from + t * step) * w0;
#define STORE(t)                                                                                                       \
    if (T > t) NAME(store_some)(y + t * y_step, a##t, outputs);
    EACH_OF_EIGHT(DECLARE)
    for (int k = 0; k < taps->runs; k++) {
        const REAL *from = x + taps->run[k].offset;
        for (ptrdiff_t e = taps->run[k].length; e > 0; e -= LANES, from += LANES, w += LANES) {
            VEC w0 = NAME(load)(w);
            EACH_OF_EIGHT(MULTIPLY)
        }
    }
    EACH_OF_EIGHT(STORE)
#undef DECLARE
#undef MULTIPLY
#undef STORE
}

/* One row of the output, block by block. */
static void NAME(row_lanes)(const struct NAME(engine) *e, const REAL *x, REAL *y) {
    ptrdiff_t step = e->step_w * e->c * LANES, outputs = e->groups * e->o, most = (e->q + 7) / 8;
    for (ptrdiff_t first = 0; first < outputs; first += LANES, x += e->c * e->columns * LANES) {
        const REAL *from = x, *w = e->weights + first * e->taps->count * e->c;
        REAL *to = y + first;
        VEC start = NAME(load)(e->start + first);
        for (ptrdiff_t tiles = most, pixels = e->q; tiles > 0; tiles--) {
            ptrdiff_t t = (pixels + tiles - 1) / tiles;
#define CASE(n)                                                                                                        \
    case n + 1: NAME(tile_lanes)(n + 1, from, step, e->taps, start, w, to, e->y_w, outputs - first); break;
            switch (t) { EACH_OF_EIGHT(CASE) }
#undef CASE
            from += t * step;
            to += t * e->y_w;
            pixels -= t;
        }
    }
}
#undef EACH_OF_EIGHT

static void NAME(piece_lanes)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(engine) *e = context;
    ptrdiff_t bands = (e->p + e->rows - 1) / e->rows, n = index / bands, p0 = index % bands * e->rows;
    ptrdiff_t rows = e->p - p0 < e->rows ? e->p - p0 : e->rows, row_step = e->columns * e->c * e->lanes;
    const struct NAME(lanes) a = {e->c, e->o, e->groups, e->x, e->xs, e->h, e->w};
    REAL *buffer = e->scratch + worker * e->scratch_size;
    if (e->taps->count)
        NAME(expand)(&a, buffer, row_step, e->columns * e->c * LANES, n, p0 * e->step_h - e->top,
                     (rows - 1) * e->step_h + e->taps->span_h, -e->left, e->columns);
    for (ptrdiff_t p = 0; p < rows; p++)
        NAME(row_lanes)(e, buffer + p * e->step_h * row_step, e->y + n * e->y_n + (p0 + p) * e->y_h);
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

/* The layout of engine `e` in place of `run`'s in train_conv.inc.h; the buffer is to[row][block of lanes][column][c]
 * [lanes]. Takes the memory of the weights, which run_lanes gives back. */
static int NAME(lay_out_lanes)(struct NAME(engine) *e, const REAL *w, ptrdiff_t sg, ptrdiff_t so, ptrdiff_t sc,
                               ptrdiff_t si, ptrdiff_t sj) {
    struct elq_taps *taps = e->taps;
    ptrdiff_t outputs = e->groups * e->o, threads = elq_num_threads();
    e->lanes = WHOLE(outputs);
    e->columns = (e->q - 1) * e->step_w + taps->span_w;
    elq_taps_place(taps, e->columns * e->lanes / LANES, e->c * LANES);
    ptrdiff_t row_size = e->columns * e->c * e->lanes, packed = e->lanes * taps->count * e->c;
    e->rows = 2 * ELQ_BUFFER_BYTES / (ptrdiff_t)sizeof(REAL) / (row_size * e->step_h) + 1;
    while (e->rows > 1 && e->n * ((e->p + e->rows - 1) / e->rows) < 2 * threads) e->rows = (e->rows + 1) / 2;
    if (e->rows > e->p) e->rows = e->p;
    e->scratch_size = ((e->rows - 1) * e->step_h + taps->span_h) * row_size;
    REAL *memory = elq_memory_take((packed + e->lanes) * sizeof(REAL));
    if (!memory) return -1;
    REAL *start = memory + packed;
    e->weights = memory;
    e->start = start;
    for (ptrdiff_t o = 0; o < e->lanes; o++) start[o] = e->bias && o < outputs ? e->bias[o] : 0;
    NAME(pack_lanes)(memory, e, w, sg, so, sc, si, sj);
    return 0;
}

/* Engines that read one x: a piece is the same band of all, so that all but the first find it in the cache. */
struct NAME(engines) {
    struct NAME(engine) *all;
    ptrdiff_t count, bands; /* of an image, in the engine that has most */
};

static void NAME(piece_of_all)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(engines) *s = context;
    for (ptrdiff_t k = 0; k < s->count; k++) {
        ptrdiff_t bands = (s->all[k].p + s->all[k].rows - 1) / s->all[k].rows;
        if (index % s->bands < bands) NAME(piece_lanes)(&s->all[k], index / s->bands * bands + index % s->bands, worker);
    }
}

/* Run engines whose x is one, with weights as `run` in train_conv.inc.h has them. */
static int NAME(run_lanes)(struct NAME(engine) *all, ptrdiff_t count, const REAL *w, ptrdiff_t sg, ptrdiff_t so,
                           ptrdiff_t sc, ptrdiff_t si, ptrdiff_t sj) {
    struct NAME(engines) s = {all, count, 0};
    ptrdiff_t scratch_size = 0, ready = 0;
    for (; ready < count && !NAME(lay_out_lanes)(&all[ready], w, sg, so, sc, si, sj); ready++) {
        const struct NAME(engine) *e = &all[ready];
        if ((e->p + e->rows - 1) / e->rows > s.bands) s.bands = (e->p + e->rows - 1) / e->rows;
        if (e->scratch_size > scratch_size) scratch_size = e->scratch_size;
    }
    REAL *scratch = ready == count ? elq_memory_take(scratch_size * elq_num_threads() * sizeof(REAL)) : NULL;
    if (scratch) {
        for (ptrdiff_t k = 0; k < count; k++) all[k].scratch = scratch, all[k].scratch_size = scratch_size;
        elq_parallel_for(all->n * s.bands, NAME(piece_of_all), &s);
        elq_memory_give(scratch);
    }
    for (ptrdiff_t k = 0; k < ready; k++) elq_memory_give((void *)all[k].weights);
    return scratch ? 0 : -1;
}
