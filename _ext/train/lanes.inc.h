/* Convolution of groups with few outputs each, depthwise layers among them: a template of REAL, VECTOR_BYTES, NAME,
 * TILE1, included by train/conv.inc.h.
 *
 * A vector of lanes holds the outputs of several groups, so the input of a lane is that of its group: the buffer keeps,
 * for every pixel and each of the C inputs of a group, one vector with the input of every lane.
 *
 *     lanes      o0 o1 o2 o3 | o4 o5 o6 o7 | ...       groups of 4 outputs and C = 4 inputs
 *     buffer c=0 x0 x0 x0 x0 | x4 x4 x4 x4 | ...       y[lanes] += buffer[pixel + tap][c][lanes] * w[tap][c][lanes]
 *            c=1 x1 x1 x1 x1 | x5 x5 x5 x5 | ...       dw[tap][c][lanes] += buffer[pixel + tap][c][lanes] * dy[lanes]
 *
 * The copy into the buffer expands; every element is then read for each tap. The buffer has its blocks of lanes one
 * after the other, each a picture of its own: what the kernel reads again lies together.
 *
 * A depthwise layer could read a channels-last x where it is, but for the border. With strides that is faster: the outputs
 * that see no border (`inside`) are computed from x itself, the others from a buffer. */

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
static void NAME(expand_row)(const struct NAME(lanes) * a, REAL *to, ptrdiff_t block_step, const REAL *x,
                             ptrdiff_t count) {
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
static void NAME(expand)(const struct NAME(lanes) * a, REAL *to, ptrdiff_t row_step, ptrdiff_t block_step, ptrdiff_t n,
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

/* Where the lanes of a window's pixels lie: its first pixel, and elements to the next row, pixel, vector of a run and block
 * of lanes. In a buffer; or a channels-last x itself, where C = 1, the vectors are whole and nothing leaves the image. */
struct NAME(view) {
    const REAL *x;
    ptrdiff_t row, pixel, next, block;
    int in_place;
};

/* ------------------------------------------------------------------------------------------ forward, and towards x */

/* Enough sums on their way for any latency; 7, 14, 28, 56 pixels a row are whole tiles. */
enum { NAME(MOST_PIXELS) = TILE1 < 14 ? TILE1 : 14 };

/* T pixels at a time, so that T sums are on their way at once and share a vector of weights. */
INLINE void NAME(tile_lanes)(const int T, const REAL *x, ptrdiff_t step, ptrdiff_t next, const struct elq_taps *taps,
                             const REAL *starts, const REAL *w, REAL *y, ptrdiff_t y_step, ptrdiff_t outputs) {
#define DECLARE(t, g, r) VEC a##t = start;
#define POINT(g) const REAL *x##g = from + 3 * g * step;
#define MULTIPLY(t, g, r)                                                                                              \
    if (T > t) a##t += NAME(load)(x##g + r * step) * w0;
#define ADVANCE(g) x##g += next;
#define STORE(t, g, r)                                                                                                 \
    if (T > t) NAME(store)(y + t * y_step, a##t);
#define STORE_SOME(t, g, r)                                                                                            \
    if (T > t) NAME(store_some)(y + t * y_step, a##t, outputs);
    VEC start = NAME(load)(starts);
    EACH_PIXEL(DECLARE)
    for (int k = 0; k < taps->runs; k++) {
        const REAL *from = x + taps->run[k].offset, *end = from + taps->run[k].length;
        EACH_POINTER(POINT)
        for (; x0 < end; w += LANES) {
            VEC w0 = NAME(load)(w);
            EACH_PIXEL(MULTIPLY)
            EACH_POINTER(ADVANCE)
        }
    }
    if (outputs >= LANES) {
        EACH_PIXEL(STORE)
    } else {
        EACH_PIXEL(STORE_SOME)
    }
#undef DECLARE
#undef POINT
#undef MULTIPLY
#undef ADVANCE
#undef STORE
#undef STORE_SOME
}

/* The same pixels of the `blocks` blocks of lanes from output o on, in tiles of nearly equal size. */
INLINE void NAME(row_lanes)(const int in_place, const struct NAME(engine) * e, const struct NAME(view) * v,
                            const REAL *x, REAL *y, ptrdiff_t pixels, ptrdiff_t o, ptrdiff_t blocks) {
    const struct elq_taps *taps = in_place ? e->there : e->taps;
    ptrdiff_t step = e->step_w * v->pixel, panel = e->taps->count * e->c * LANES, outputs = e->groups * e->o;
    for (ptrdiff_t tiles = (pixels + NAME(MOST_PIXELS) - 1) / NAME(MOST_PIXELS); tiles > 0; tiles--) {
        ptrdiff_t t = (pixels + tiles - 1) / tiles;
        assert(t > 0 && t <= NAME(MOST_PIXELS));
        for (ptrdiff_t b = o / LANES; b < o / LANES + blocks; b++) {
#define CASE(n, g, r)                                                                                                  \
    case n + 1:                                                                                                        \
        if (n < NAME(MOST_PIXELS))                                                                                     \
            NAME(tile_lanes)(n + 1, x + b * v->block, step, in_place ? v->next : LANES, taps, e->start + b * LANES,    \
                             e->weights + b * panel, y + b * LANES, e->y_w, outputs - b * LANES);                      \
        break;
            switch (t) { EACH_PIXEL(CASE) }
#undef CASE
        }
        x += t * step;
        y += t * e->y_w;
        pixels -= t;
    }
}

/* Weights as [block of a vector of outputs][tap][c][lanes], the lanes beyond the last output 0. */
static void NAME(pack_lanes)(REAL *to, const struct NAME(engine) * e, const REAL *w, ptrdiff_t sg, ptrdiff_t so,
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
 * engine; what is copied of x is copied once. */
struct NAME(engines) {
    struct NAME(engine) * all;
    ptrdiff_t count;
    ptrdiff_t p, q, rows;                         /* of the output that has most, and rows of a piece */
    struct elq_rectangle inside;                  /* outputs for which x is read where it is */
    ptrdiff_t top, left, span_h, span_w, columns; /* of the window: as in an engine; spans of one output, of a row */
    ptrdiff_t block_size;                         /* elements of one block of lanes in the buffer */
    REAL *scratch;
    ptrdiff_t scratch_size;
};

/* Outputs r of image n. In the buffer the rows of a block follow each other, so that they meet in the first-level cache;
 * x itself is read, and y written, as they lie in memory. */
INLINE void NAME(rectangle_lanes)(const int in_place, const struct NAME(engines) * s, const struct NAME(view) * v,
                                  ptrdiff_t n, const struct elq_rectangle *r) {
    const struct NAME(engine) *end = s->all + s->count;
    ptrdiff_t outputs = s->all->groups * s->all->o, together = in_place ? WHOLE(outputs) : LANES;
    for (ptrdiff_t o = 0; o < outputs; o += together)
        for (ptrdiff_t p = r->p0; p < r->p1; p++)
            for (const struct NAME(engine) *e = s->all; e < end; e++) {
                ptrdiff_t pixels = (e->q < r->q1 ? e->q : r->q1) - r->q0;
                if (p >= e->p || pixels < 1) continue;
                const REAL *x =
                    v->x + ((p - r->p0) * e->step_h + s->top - e->top) * v->row + (s->left - e->left) * v->pixel;
                REAL *y = e->y + n * e->y_n + p * e->y_h + r->q0 * e->y_w;
                NAME(row_lanes)(in_place, e, v, x, y, pixels, o, together / LANES);
            }
}

/* One function for each place, so that a buffer's steps are constants. */
static void __attribute__((noinline)) NAME(rectangle_there)(const struct NAME(engines) * s, const struct NAME(view) * v,
                                                            ptrdiff_t n, const struct elq_rectangle *r) {
    NAME(rectangle_lanes)(1, s, v, n, r);
}
static void __attribute__((noinline)) NAME(rectangle_copied)(const struct NAME(engines) * s,
                                                             const struct NAME(view) * v, ptrdiff_t n,
                                                             const struct elq_rectangle *r) {
    NAME(rectangle_lanes)(0, s, v, n, r);
}

static void NAME(piece_lanes)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(engines) *s = context;
    const struct NAME(engine) *e = s->all;
    const struct NAME(lanes) from = {e->c, e->o, e->groups, e->x, e->xs, e->h, e->w};
    ptrdiff_t bands = (s->p + s->rows - 1) / s->rows, n = index / bands, p0 = index % bands * s->rows;
    ptrdiff_t size = e->c * LANES, row = s->columns * size;
    REAL *buffer = s->scratch + worker * s->scratch_size;
    struct elq_rectangle r[5];
    int in_place, count = elq_cut_band(r, &in_place, &s->inside, p0, s->p - p0 < s->rows ? s->p : p0 + s->rows, s->q);
    for (int k = 0; k < count; k++, in_place = 0) {
        ptrdiff_t row0 = r[k].p0 * e->step_h - s->top, column0 = r[k].q0 * e->step_w - s->left;
        if (in_place) {
            assert(row0 >= 0 && column0 >= 0);
            const REAL *x = e->x + n * e->xs[0] + row0 * e->xs[2] + column0 * e->xs[3];
            const struct NAME(view) v = {x, e->xs[2], e->xs[3], e->xs[3], LANES, 1};
            NAME(rectangle_there)(s, &v, n, &r[k]);
            continue;
        }
        const struct NAME(view) v = {buffer, row, size, LANES, s->block_size, 0};
        NAME(expand)(&from, buffer, row, s->block_size, n, row0, (r[k].p1 - r[k].p0 - 1) * e->step_h + s->span_h,
                     column0, (r[k].q1 - r[k].q0 - 1) * e->step_w + s->span_w);
        NAME(rectangle_copied)(s, &v, n, &r[k]);
    }
}

/* Whether an image with strides xs can be read where it is: a vector of it is what the lanes of a block need, and the
 * rows are whole numbers of pixels apart, so that taps can be placed in it. */
static int NAME(readable)(const struct NAME(lanes) * a) {
    return a->c == 1 && a->o == 1 && a->groups % LANES == 0 && a->xs[1] == 1 && a->xs[3] > 0 &&
           a->xs[2] % a->xs[3] == 0;
}

/* Run engines whose x is one, with weights as `run` in train/conv.inc.h has them. */
static int NAME(run_lanes)(struct NAME(engine) * all, ptrdiff_t count, const REAL *w, ptrdiff_t sg, ptrdiff_t so,
                           ptrdiff_t sc, ptrdiff_t si, ptrdiff_t sj) {
    struct NAME(engines) s = {.all = all, .count = count, .top = all->top, .left = all->left};
    ptrdiff_t threads = elq_num_threads(), outputs = all->groups * all->o, lanes = WHOLE(outputs), packed = lanes;
    for (struct NAME(engine) *e = all; e < all + count; e++) {
        if (e->top > s.top) s.top = e->top;
        if (e->left > s.left) s.left = e->left;
        if (e->p > s.p) s.p = e->p;
        if (e->q > s.q) s.q = e->q;
        packed += lanes * e->taps->count * e->c;
    }
    for (struct NAME(engine) *e = all; e < all + count; e++) {
        if (s.top - e->top + e->taps->span_h > s.span_h) s.span_h = s.top - e->top + e->taps->span_h;
        if (s.left - e->left + e->taps->span_w > s.span_w) s.span_w = s.left - e->left + e->taps->span_w;
    }
    s.inside = (struct elq_rectangle){0, s.p, 0, s.q};
    elq_shrink(&s.inside.p0, &s.inside.p1, all->h, all->step_h, s.top, s.span_h);
    elq_shrink(&s.inside.q0, &s.inside.q1, all->w, all->step_w, s.left, s.span_w);
    elq_keep_if_worth(&s.inside, count > 1 || all->step_h > 1 || all->step_w > 1, s.p, s.q);
    const struct NAME(lanes) from = {all->c, all->o, all->groups, all->x, all->xs, all->h, all->w};
    if (!NAME(readable)(&from)) s.inside = (struct elq_rectangle){0};
    s.columns = (s.q - 1) * all->step_w + s.span_w;
    s.rows = 2 * ELQ_BUFFER_BYTES / (ptrdiff_t)sizeof(REAL) / (s.columns * all->c * lanes * all->step_h) + 1;
    while (s.rows > 1 && all->n * ((s.p + s.rows - 1) / s.rows) < 2 * threads) s.rows = (s.rows + 1) / 2;
    if (s.rows > s.p) s.rows = s.p;
    s.block_size = ((s.rows - 1) * all->step_h + s.span_h) * s.columns * all->c * LANES;
    s.scratch_size = lanes / LANES * s.block_size;

    REAL *memory = elq_memory_take((packed + s.scratch_size * threads) * sizeof(REAL)), *to = memory + lanes;
    if (!memory) return -1;
    s.scratch = memory + packed;
    for (ptrdiff_t o = 0; o < lanes; o++) memory[o] = all->bias && o < outputs ? all->bias[o] : 0;
    int status = 0, in_place = s.inside.p0 < s.inside.p1;
    for (struct NAME(engine) *e = all; e < all + count; e++) {
        e->start = memory;
        e->lanes = lanes;
        e->weights = to;
        elq_taps_place(e->taps, s.columns, all->c * LANES);
        NAME(pack_lanes)(to, e, w, sg, so, sc, si, sj);
        to += lanes * e->taps->count * e->c;
        e->there = in_place ? elq_taps_copy(e->taps) : NULL;
        if (e->there) elq_taps_place(e->there, e->xs[2] / e->xs[3], e->xs[3]);
        else if (in_place) status = -1;
    }
    if (!status) elq_parallel_for(all->n * ((s.p + s.rows - 1) / s.rows), NAME(piece_lanes), &s);
    for (ptrdiff_t k = 0; k < count; k++) free(all[k].there);
    elq_memory_give(memory);
    return status;
}
