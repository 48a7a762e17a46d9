/* Gradient of a convolution with respect to its weights: a template of REAL, VECTOR_BYTES, NAME, TILE1, TILE2.
 *
 *     dw[run + t][lanes] += x[pixel * step + run + t] * dy[pixel][lanes]    t < TILE, 1 or 2 vectors of outputs
 *
 * over all pixels of a unit (a few small images, or a band of rows of a large one) while the accumulators stay in
 * registers. Units are dealt to a fixed number of chunks, each with a sum of its own, and the chunks are added up in
 * order: which thread took which chunk leaves no trace in the bits. Included behind train/conv.inc.h. */

struct NAME(dw) {
    const struct elq_conv *g;
    struct elq_array x, dy, dw;
    struct elq_taps *taps;
    ptrdiff_t images, rows;         /* of a unit; images > 1 only with whole images */
    ptrdiff_t bands, units, chunks; /* bands of rows an image, units in all */
    ptrdiff_t columns, band_h;      /* of the buffer of x: pixels a row, rows an image */
    ptrdiff_t lanes, blocks;        /* outputs a block (1 or 2 vectors; the last of a group may be 1); of all groups */
    ptrdiff_t together, parts;      /* blocks of a group that a piece of work takes together, pieces of all groups */
    ptrdiff_t channels;             /* of a buffer pixel */
    struct elq_rectangle inside; /* train/lanes_dw.inc.h: the part of the outputs that is summed first, and taps for */
    struct elq_taps *there;      /* reading it in x itself, or NULL */
    int x_in_place;              /* no border, no neighbours: x needs no buffer */
    ptrdiff_t size;              /* elements of one block's sum: taps * c * lanes */
    REAL *sums;                  /* [chunk][block][size] */
    REAL *scratch;               /* per worker: x, then dy */
    ptrdiff_t x_size, scratch_size;
};

/* The pixels that a tile runs over: how many, and elements from one image, row and pixel to the next. */
struct NAME(sweep) {
    ptrdiff_t images, rows, pixels;
    ptrdiff_t x_image, x_row, x_step;
    ptrdiff_t dy_image, dy_row, dy_step;
};

/* The inner kernel: V vectors of outputs, T elements: L neighbours from each of up to three runs, `gap` apart. T, L and
 * V are constants where this is inlined. */
INLINE void NAME(dw_tile)(const int V, const int T, const int L, ptrdiff_t gap, const struct NAME(sweep) * a,
                          const REAL *x, const REAL *dy, REAL *sum) {
    ptrdiff_t x_step = a->x_step, dy_step = a->dy_step;
#define BEGIN(t, g, r)                                                                                                 \
    VEC a##t = {0}, b##t = {0};                                                                                        \
    if (T > t) {                                                                                                       \
        a##t = NAME(load)(sum + t * V * LANES);                                                                        \
        if (V > 1) b##t = NAME(load)(sum + t * V * LANES + LANES);                                                     \
    }
#define MULTIPLY(t, g, r)                                                                                              \
    if (T > t) {                                                                                                       \
        REAL x##t = (t / L == 0 ? from : t / L == 1 ? second : third)[t % L];                                          \
        a##t += x##t * d0;                                                                                             \
        if (V > 1) b##t += x##t * d1;                                                                                  \
    }
#define END(t, g, r)                                                                                                   \
    if (T > t) {                                                                                                       \
        NAME(store)(sum + t * V * LANES, a##t);                                                                        \
        if (V > 1) NAME(store)(sum + t * V * LANES + LANES, b##t);                                                     \
    }
    EACH_PIXEL(BEGIN)
    for (ptrdiff_t n = 0; n < a->images; n++)
        for (ptrdiff_t p = 0; p < a->rows; p++) {
            const REAL *from = x + n * a->x_image + p * a->x_row, *d = dy + n * a->dy_image + p * a->dy_row;
            for (ptrdiff_t q = a->pixels; q > 0; q--, from += x_step, d += dy_step) {
                const REAL *second = from + gap, *third = second + gap;
                VEC d0 = NAME(load)(d), d1 = V > 1 ? NAME(load)(d + LANES) : d0;
                EACH_PIXEL(MULTIPLY)
            }
        }
    EACH_PIXEL(END)
#undef BEGIN
#undef MULTIPLY
#undef END
}

/* All elements of one run, in tiles of nearly equal size. */
static void NAME(dw_run)(int vectors, ptrdiff_t length, const struct NAME(sweep) * a, const REAL *x, const REAL *dy,
                         REAL *sum) {
    ptrdiff_t most = vectors > 1 ? TILE2 : TILE1;
    for (ptrdiff_t tiles = (length + most - 1) / most; tiles > 0; tiles--) {
        ptrdiff_t t = (length + tiles - 1) / tiles;
        assert(t > 0 && t <= most);
#define CASE1(n, g, r)                                                                                                 \
    case n + 1:                                                                                                        \
        if (n < TILE1) NAME(dw_tile)(1, n + 1, n + 1, 0, a, x, dy, sum);                                               \
        break;
#define CASE2(n, g, r)                                                                                                 \
    case n + 1:                                                                                                        \
        if (n < TILE2) NAME(dw_tile)(2, n + 1, n + 1, 0, a, x, dy, sum);                                               \
        break;
        if (vectors > 1) switch (t) {
                EACH_PIXEL(CASE2)
            }
        else switch (t) {
                EACH_PIXEL(CASE1)
            }
#undef CASE1
#undef CASE2
        x += t;
        sum += t * vectors * LANES;
        length -= t;
    }
}

/* Two or three short runs at once, whose sums fill the registers together: one after the other they would wait for each
 * other's additions. Returns how many runs, from the first of `left`, were taken; 0: they are long, or not alike. */
static int NAME(dw_short_runs)(const struct elq_run *run, int left, const struct NAME(sweep) * a, const REAL *x,
                               const REAL *dy, REAL *sum) {
    ptrdiff_t length = run->length, gap = left > 1 ? run[1].offset - run->offset : 0;
    if (left < 2 || 2 * length > TILE1 || run[1].length != length) return 0;
    int three = left > 2 && 3 * length <= TILE1 && run[2].length == length && run[2].offset - run[1].offset == gap;
#define CASE2(n, g, r)                                                                                                 \
    case n + 1:                                                                                                        \
        if (2 * (n + 1) <= TILE1) NAME(dw_tile)(1, 2 * (n + 1), n + 1, gap, a, x, dy, sum);                            \
        break;
#define CASE3(n, g, r)                                                                                                 \
    case n + 1:                                                                                                        \
        if (3 * (n + 1) <= TILE1) NAME(dw_tile)(1, 3 * (n + 1), n + 1, gap, a, x, dy, sum);                            \
        break;
    if (three) switch (length) {
            EACH_PIXEL(CASE3)
        }
    else switch (length) {
            EACH_PIXEL(CASE2)
        }
#undef CASE2
#undef CASE3
    return three ? 3 : 2;
}

/* What a unit is, or a part of it: pixels q0 .. q0 + pixels - 1 of the rows from p0 on of the outputs of the images from
 * n0 on. */
struct NAME(unit) {
    ptrdiff_t n0, images, p0, rows, q0, pixels;
};

static struct NAME(unit) NAME(dw_unit)(const struct NAME(dw) * e, ptrdiff_t unit) {
    const struct elq_conv *g = e->g;
    ptrdiff_t n0 = unit / e->bands * e->images, p0 = unit % e->bands * e->rows;
    return (struct NAME(unit)){
        n0, g->n - n0 < e->images ? g->n - n0 : e->images, p0, g->p - p0 < e->rows ? g->p - p0 : e->rows, 0, g->q};
}

/* dy of a unit, `outputs` channels from o on in `lanes` lanes, and its steps in *sweep: whole vectors of channels-last
 * memory where they are, others in `copy`. */
static const REAL *NAME(dw_outputs)(const struct NAME(dw) * e, const struct NAME(unit) * u, struct NAME(sweep) * sweep,
                                    REAL *copy, ptrdiff_t o, ptrdiff_t outputs, ptrdiff_t lanes) {
    const ptrdiff_t *s = e->dy.s, q = u->pixels;
    assert(outputs > 0 && outputs <= lanes && u->n0 + u->images <= e->g->n && u->p0 + u->rows <= e->g->p);
    const REAL *dy = (const REAL *)e->dy.data + u->n0 * s[0] + o * s[1];
    if (outputs == lanes && s[1] == 1) {
        sweep->dy_image = s[0], sweep->dy_row = s[2], sweep->dy_step = s[3];
        return dy + u->p0 * s[2] + u->q0 * s[3];
    }
    sweep->dy_image = u->rows * q * lanes, sweep->dy_row = q * lanes, sweep->dy_step = lanes;
    for (ptrdiff_t i = 0; i < u->images; i++)
        NAME(gather)(copy + i * sweep->dy_image, lanes, dy + i * s[0], s, outputs, e->g->p, e->g->q, u->p0, u->rows,
                     u->q0, q);
    return copy;
}

/* One chunk of `together` neighbouring blocks of a group, for which x is gathered once. */
static void NAME(dw_piece)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(dw) *e = context;
    const struct elq_conv *g = e->g;
    ptrdiff_t per_group = e->blocks / g->groups, parts = e->parts / g->groups;
    ptrdiff_t chunk = index / e->parts, group = index % e->parts / parts, first = index % parts * e->together;
    ptrdiff_t last = first + e->together < per_group ? first + e->together : per_group;
    assert(chunk < e->chunks && first < last);
    ptrdiff_t x_row = e->columns * g->c;
    REAL *buffer = e->scratch + worker * e->scratch_size, *copy = buffer + e->x_size;
    REAL *sums = e->sums + (chunk * e->blocks + group * per_group) * e->size;
    memset(sums + first * e->size, 0, (last - first) * e->size * sizeof(REAL));
    for (ptrdiff_t unit = chunk * e->units / e->chunks; unit < (chunk + 1) * e->units / e->chunks; unit++) {
        if (elq_given_up()) return;
        struct NAME(unit) u = NAME(dw_unit)(e, unit);
        struct NAME(sweep)
            sweep = {u.images,    u.rows, g->q, e->band_h * x_row, g->stride_h * x_row, g->stride_w * g->c,
                     /* dy: */ 0, 0,      0};
        const REAL *x = (const REAL *)e->x.data + u.n0 * e->x.s[0] + group * g->c * e->x.s[1];
        if (e->x_in_place) {
            sweep.x_image = e->x.s[0], sweep.x_row = e->x.s[2], sweep.x_step = e->x.s[3];
            x += u.p0 * e->x.s[2];
        } else {
            for (ptrdiff_t i = 0; i < u.images; i++)
                NAME(gather)(buffer + i * e->band_h * x_row, g->c, x + i * e->x.s[0], e->x.s, g->c, g->h, g->w,
                             u.p0 * g->stride_h - g->pad_h, (u.rows - 1) * g->stride_h + e->taps->span_h, -g->pad_w,
                             e->columns);
            x = buffer;
        }
        for (ptrdiff_t block = first; block < last; block++) {
            ptrdiff_t o = block * e->lanes, outputs = g->o - o < e->lanes ? g->o - o : e->lanes;
            ptrdiff_t lanes = outputs > LANES ? 2 * LANES : LANES;
            const REAL *dy = NAME(dw_outputs)(e, &u, &sweep, copy, group * g->o + o, outputs, lanes);
            REAL *to = sums + block * e->size;
            for (int k = 0, taken; k < e->taps->runs; k += taken) {
                const struct elq_run *run = e->taps->run + k;
                taken = 0;
                if (lanes == LANES)
                    taken = NAME(dw_short_runs)(run, e->taps->runs - k, &sweep, x + run->offset, dy, to);
                if (!taken) {
                    NAME(dw_run)(lanes / LANES, run->length, &sweep, x + run->offset, dy, to);
                    taken = 1;
                }
                to += taken * run->length * lanes;
            }
        }
    }
}

/* The sum of all chunks of one block, in the place of the first. */
static const REAL *NAME(dw_total)(const struct NAME(dw) * e, ptrdiff_t block) {
    REAL *sum = e->sums + block * e->size;
    for (ptrdiff_t chunk = 1; chunk < e->chunks; chunk++) {
        const REAL *part = sum + chunk * e->blocks * e->size;
        for (ptrdiff_t i = 0; i < e->size; i++) sum[i] += part[i];
    }
    return sum;
}

/* Put the sums of one block where they belong. */
static void NAME(dw_finish)(void *context, ptrdiff_t block, int worker) {
    const struct NAME(dw) *e = context;
    const struct elq_conv *g = e->g;
    const REAL *sum = NAME(dw_total)(e, block);
    REAL *dw = e->dw.data;
    const ptrdiff_t *s = e->dw.s;
    (void)worker;
    ptrdiff_t group_blocks = e->blocks / g->groups, group = block / group_blocks, o0 = block % group_blocks * e->lanes;
    ptrdiff_t lanes = g->o - o0 > LANES ? 2 * LANES : LANES;
    for (int k = 0; k < e->taps->count; k++)
        for (ptrdiff_t c = 0; c < g->c; c++, sum += lanes)
            for (ptrdiff_t l = 0; l < lanes && o0 + l < g->o; l++)
                dw[(group * g->o + o0 + l) * s[0] + c * s[1] + e->taps->i[k] * s[2] + e->taps->j[k] * s[3]] = sum[l];
}

#include "train/lanes_dw.inc.h"
#include "train/winograd_dw.inc.h"

static int NAME(conv_dw)(const struct elq_conv *geometry, struct elq_array dy, struct elq_array x,
                         struct elq_array dw) {
    assert(geometry->n > 0 && geometry->groups > 0 && geometry->p > 0 && geometry->q > 0);
    struct elq_conv dense = elq_without_strides(geometry, &x);
    const struct elq_conv *g = &dense;
    if (NAME(winograd_dw_fits)(g)) return NAME(winograd_dw)(g, dy, x, dw);
    struct elq_taps *taps = elq_taps_new(g->kh, g->kw);
    if (!taps) return -1;
    for (ptrdiff_t i = 0; i < g->kh; i++)
        for (ptrdiff_t j = 0; j < g->kw; j++) elq_taps_add(taps, i, j, i * g->dilation_h, j * g->dilation_w);
    int by_lanes = elq_conv_lanes(g->groups, g->o) > g->o;
    struct NAME(dw) e = {.g = g, .x = x, .dy = dy, .dw = dw, .taps = taps};
    e.channels = by_lanes ? g->c * WHOLE(g->groups * g->o) : g->c;
    e.lanes = by_lanes || g->o <= LANES ? LANES : 2 * LANES;
    e.blocks = by_lanes ? WHOLE(g->groups * g->o) / LANES : g->groups * ((g->o + e.lanes - 1) / e.lanes);
    e.columns = (g->q - 1) * g->stride_w + taps->span_w;
    e.x_in_place = taps->count == 1 && !g->pad_h && !g->pad_w && x.s[1] == 1;
    elq_taps_place(taps, e.columns, by_lanes ? g->c * LANES : g->c);
    e.size = taps->count * g->c * e.lanes;

    /* Units from the shapes alone. */
    ptrdiff_t limit = ELQ_BUFFER_BYTES / (ptrdiff_t)sizeof(REAL), row_size = e.columns * e.channels * g->stride_h;
    e.rows = limit / row_size + 1 < g->p ? limit / row_size + 1 : g->p;
    e.bands = (g->p + e.rows - 1) / e.rows;
    e.images = e.bands > 1 ? 1 : limit / (row_size * g->p) + 1;
    if (e.images > (g->n + ELQ_CHUNKS - 1) / ELQ_CHUNKS) e.images = (g->n + ELQ_CHUNKS - 1) / ELQ_CHUNKS;
    e.units = (g->n + e.images - 1) / e.images * e.bands;
    e.chunks = e.units < ELQ_CHUNKS ? e.units : ELQ_CHUNKS;
    assert(e.images == 1 || e.bands == 1);
    while (e.chunks > 1 && e.chunks * e.blocks * e.size * (ptrdiff_t)sizeof(REAL) > ELQ_SUMS_BYTES) e.chunks /= 2;
    /* As many blocks together as leave their sums in the cache and every thread two pieces. */
    ptrdiff_t groups = by_lanes ? 1 : g->groups, per_group = e.blocks / groups;
    e.together = ELQ_BUFFER_BYTES / (ptrdiff_t)sizeof(REAL) / e.size + 1;
    if (e.together > per_group) e.together = per_group;
    while (e.together > 1 && e.chunks * groups * ((per_group + e.together - 1) / e.together) < 2 * elq_num_threads())
        e.together = (e.together + 1) / 2;
    e.parts = by_lanes ? 1 : groups * ((per_group + e.together - 1) / e.together);
    e.band_h = (e.rows - 1) * g->stride_h + taps->span_h;
    e.x_size = WHOLE(e.images * e.band_h * e.columns * e.channels);
    e.scratch_size = WHOLE(e.x_size + e.images * e.rows * g->q * e.lanes);

    if (by_lanes && NAME(dw_place_lanes)(&e)) {
        free(taps);
        return -1;
    }
    REAL *memory = elq_memory_take((e.chunks * e.blocks * e.size + elq_num_threads() * e.scratch_size) * sizeof(REAL));
    if (memory) {
        e.sums = memory;
        e.scratch = memory + e.chunks * e.blocks * e.size;
        elq_parallel_for(e.chunks * e.parts, by_lanes ? NAME(dw_piece_lanes) : NAME(dw_piece), &e);
        elq_parallel_for(e.blocks, by_lanes ? NAME(dw_finish_lanes) : NAME(dw_finish), &e);
        elq_memory_give(memory);
    }
    free(e.there);
    free(taps);
    return memory ? 0 : -1;
}
