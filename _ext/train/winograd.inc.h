/* 3x3 convolutions of stride 1 by Winograd's algorithm, forward and with respect to x: 36 multiplications for 16 output
 * pixels, not 144. A template included by train/conv.inc.h; the mathematics is in train/winograd_tile.inc.h.
 *
 * A unit of work is some rows of an image's tiles, or some small images. Its transformed input v lies as
 * [point][tile][c], so that the sum over channels is, for each point, a product of matrices, tiles x C by C x O, which
 * the tile kernel of the direct convolution does for one or two vectors of outputs after the other. */
#include "train/winograd_tile.inc.h"

enum { NAME(TILES) = 56 }; /* of a unit of work, about */
static const REAL NAME(zeros)[2 * LANES];

/* Whole vectors on both sides, and tiles enough to pay for transforming the weights. */
static int NAME(winograd_channels)(ptrdiff_t c, ptrdiff_t o, ptrdiff_t n, ptrdiff_t p, ptrdiff_t q) {
    return sizeof(REAL) == sizeof(float) && c % LANES == 0 && o % LANES == 0 && p > 3 && q > 3 &&
           n * ((p + 3) / 4) * ((q + 3) / 4) >= 8;
}

static int NAME(winograd_fits)(const struct NAME(engine) * e) {
    const struct elq_taps *taps = e->taps;
    return NAME(winograd_channels)(e->c, e->o, e->n, e->p, e->q) && e->groups == 1 && e->step_h == 1 &&
           e->step_w == 1 && taps->count == 9 && taps->span_h == 3 && taps->span_w == 3;
}

/* Transformed weights, and sums of dw, lie as [block of 1 or 2 vectors of outputs][point][c][lanes]. Like all the
 * paddings here that of a point keeps strides away from powers of two, which fall into few sets of the cache. */
static ptrdiff_t NAME(weight_point)(ptrdiff_t c, ptrdiff_t lanes) { return c * lanes + LANES; }

/* Elements of `o` outputs; where the block at output o begins. */
static ptrdiff_t NAME(weight_size)(ptrdiff_t c, ptrdiff_t o) {
    ptrdiff_t pairs = o / (2 * LANES), single = o % (2 * LANES) > 0;
    return NAME(POINTS) * (pairs * NAME(weight_point)(c, 2 * LANES) + single * NAME(weight_point)(c, LANES));
}

/* Outputs at a time: pairs of vectors whose transformed weights (or sums of dw) take 16 MB at most. */
static ptrdiff_t NAME(winograd_outputs)(ptrdiff_t c, ptrdiff_t o) {
    ptrdiff_t most = (1 << 24) / (ptrdiff_t)sizeof(REAL) / NAME(weight_size)(c, 2 * LANES) * 2 * LANES;
    if (most < 2 * LANES) most = 2 * LANES;
    return o < most ? o : most;
}

/* Elements from one tile to the next. */
static ptrdiff_t NAME(tile_step)(ptrdiff_t channels) { return channels % 128 ? channels : channels + LANES; }

/* Elements from one point to the next, `step` elements a tile. */
static ptrdiff_t NAME(point_size)(const struct elq_tiles *t, ptrdiff_t step) {
    return t->unit_images * t->unit_rows * t->columns * step + LANES;
}

/* Fetch part `k` of `parts` of the pixels that a unit covers into the second-level cache while something else is
 * multiplied: `width` channels of a whole channels-last array, from x on; of others what it fetches is of no use.
 * Inline, as gcc drops calls of functions that do nothing but fetch. */
INLINE void NAME(fetch)(struct elq_tile_unit u, ptrdiff_t k, ptrdiff_t parts, const REAL *x, const ptrdiff_t *xs,
                        ptrdiff_t width, ptrdiff_t h, ptrdiff_t w) {
    ptrdiff_t rows = h - 4 * u.row0 < 4 * u.rows ? h - 4 * u.row0 : 4 * u.rows, pixels = u.images * rows * w;
    x += u.n0 * xs[0] + 4 * u.row0 * xs[2];
    for (ptrdiff_t i = k * pixels / parts; i < (k + 1) * pixels / parts; i++)
        for (ptrdiff_t c = 0; c < width; c += 64 / (ptrdiff_t)sizeof(REAL)) __builtin_prefetch(x + i * xs[3] + c, 0, 2);
}

/* The transformed input of a unit into v[point][tile][c]. */
static void NAME(winograd_inputs)(REAL *v, ptrdiff_t point, REAL *buffer, const struct elq_tiles *t,
                                  struct elq_tile_unit u, const REAL *x, const ptrdiff_t *xs, ptrdiff_t channels,
                                  ptrdiff_t h, ptrdiff_t w, ptrdiff_t top, ptrdiff_t left) {
    ptrdiff_t width = 4 * t->columns + 2;
    for (ptrdiff_t row = 0; row < u.images * u.rows; row++) {
        NAME(gather)(buffer, channels, x + (u.n0 + row / u.rows) * xs[0], xs, channels, h, w,
                     4 * (u.row0 + row % u.rows) - top, 6, -left, width);
        for (ptrdiff_t q = 0; q < t->columns; q++, v += NAME(tile_step)(channels))
            for (ptrdiff_t c = 0; c < channels; c += LANES)
                NAME(winograd_input)(v + c, point, buffer + 4 * q * channels + c, width * channels, channels);
    }
}

struct NAME(winograd) {
    const struct NAME(engine) * e;
    struct elq_tiles tiles;
    ptrdiff_t o0, outputs; /* of this pass */
    const REAL *w;         /* strides so .. sj */
    ptrdiff_t so, sc, si, sj;
    REAL *weights; /* [block of 1 or 2 vectors of outputs][point][c][lanes] */
    REAL *scratch; /* per worker: v, m[point][tile][lanes] of one block of outputs, buffer */
    ptrdiff_t x_point, m_point, scratch_size;
};

static void NAME(winograd_piece)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(winograd) *a = context;
    const struct NAME(engine) *e = a->e;
    struct elq_tile_unit u = elq_tile_unit(&a->tiles, e->n, index);
    REAL *v = a->scratch + worker * a->scratch_size, *m = v + NAME(POINTS) * a->x_point;
    NAME(winograd_inputs)(v, a->x_point, m + NAME(POINTS) * a->m_point, &a->tiles, u, e->x, e->xs, e->c, e->h, e->w,
                          e->top, e->left);
    assert(u.tiles > 0 && u.tiles * NAME(tile_step)(e->c) <= a->x_point);
    struct elq_run run = {0, e->c};
    struct elq_taps one = {.count = 1, .runs = 1, .run = &run};
    /* Threads draw unit by unit, so this one's next is about as many further on. */
    struct elq_tile_unit next = elq_tile_unit(&a->tiles, e->n, index + elq_num_threads());
    ptrdiff_t ys[4] = {e->y_n, 1, e->y_h, e->y_w}, steps = (a->outputs + 2 * LANES - 1) / (2 * LANES) * NAME(POINTS);
    for (ptrdiff_t block = 0, step = 0; block < a->outputs; block += 2 * LANES) {
        ptrdiff_t lanes = a->outputs - block > LANES ? 2 * LANES : LANES;
        REAL *y = e->y + a->o0 + block;
        for (ptrdiff_t point = 0; point < NAME(POINTS); point++, step++) {
            NAME(fetch)(next, step, steps, e->x, e->xs, e->c, e->h, e->w);
            NAME(fetch)(u, point, NAME(POINTS), y, ys, lanes, e->p, e->q);
            NAME(row)(lanes / LANES, v + point * a->x_point, NAME(tile_step)(e->c), &one, NAME(zeros),
                      a->weights + NAME(weight_size)(e->c, block) + point * NAME(weight_point)(e->c, lanes),
                      m + point * a->m_point, lanes, u.tiles, lanes);
        }
        for (ptrdiff_t o = 0; o < lanes; o += LANES) {
            VEC bias = e->bias ? NAME(load)(e->bias + a->o0 + block + o) : (VEC){0};
            const REAL *from = m + o;
            for (ptrdiff_t row = 0; row < u.images * u.rows; row++)
                for (ptrdiff_t q = 0; q < e->q; q += 4, from += lanes) {
                    ptrdiff_t p = 4 * (u.row0 + row % u.rows);
                    NAME(winograd_output)(y + (u.n0 + row / u.rows) * e->y_n + p * e->y_h + q * e->y_w + o, e->y_h,
                                          e->y_w, e->p - p, e->q - q, from, a->m_point, lanes, bias);
                }
        }
    }
}

/* The transformed weights of one vector of outputs. */
static void NAME(winograd_weights)(void *context, ptrdiff_t vector, int worker) {
    const struct NAME(winograd) *a = context;
    const struct elq_taps *taps = a->e->taps;
    ptrdiff_t o = vector * LANES, block = o / (2 * LANES) * 2 * LANES, channels = a->e->c;
    ptrdiff_t lanes = a->outputs - block > LANES ? 2 * LANES : LANES;
    REAL *to = a->weights + NAME(weight_size)(channels, block) + o - block;
    (void)worker;
    for (ptrdiff_t c = 0; c < channels; c++, to += lanes) {
        double g[9][LANES];
        for (int k = 0; k < 9; k++) {
            const REAL *w = a->w + (a->o0 + o) * a->so + c * a->sc + taps->i[k] * a->si + taps->j[k] * a->sj;
            for (ptrdiff_t l = 0; l < LANES; l++) g[3 * taps->row[k] + taps->column[k]][l] = w[l * a->so];
        }
        NAME(winograd_weight)(to, NAME(weight_point)(channels, lanes), g);
    }
}

static int NAME(winograd)(const struct NAME(engine) * e, const REAL *w, ptrdiff_t so, ptrdiff_t sc, ptrdiff_t si,
                          ptrdiff_t sj) {
    ptrdiff_t threads = elq_num_threads(), most = NAME(winograd_outputs)(e->c, e->o);
    assert(e->c % LANES == 0 && e->o % LANES == 0 && most % LANES == 0);
    struct NAME(winograd) a = {.e = e,
                               .w = w,
                               .so = so,
                               .sc = sc,
                               .si = si,
                               .sj = sj,
                               .tiles = elq_tiles_cut(e->n, e->p, e->q, NAME(TILES), 2 * threads)};
    a.x_point = NAME(point_size)(&a.tiles, NAME(tile_step)(e->c));
    a.m_point = NAME(point_size)(&a.tiles, e->o > LANES ? 2 * LANES : LANES);
    a.scratch_size = WHOLE(NAME(POINTS) * (a.x_point + a.m_point) + 6 * (4 * a.tiles.columns + 2) * e->c);
    ptrdiff_t weights = NAME(weight_size)(e->c, most);
    a.weights = elq_memory_take((weights + threads * a.scratch_size) * sizeof(REAL));
    if (!a.weights) return -1;
    a.scratch = a.weights + weights;
    for (a.o0 = 0; a.o0 < e->o; a.o0 += most) {
        a.outputs = e->o - a.o0 < most ? e->o - a.o0 : most;
        elq_parallel_for(a.outputs / LANES, NAME(winograd_weights), &a);
        elq_parallel_for(a.tiles.units, NAME(winograd_piece), &a);
    }
    elq_memory_give(a.weights);
    return 0;
}
