/* Direct convolution, forward and with respect to x: a template of REAL, VECTOR_BYTES, NAME, TILE1, TILE2.
 *
 * One engine does both, and every stride, padding and dilation. Its input lies in a buffer with the border already in
 * it, pixel by pixel, C channels each (`gather`); an output pixel is a sum over taps, places in the buffer at fixed
 * offsets from the pixel. Taps that follow each other in memory (those of one kernel row without dilation) are one
 * `run`, so the innermost loop is long even for 3 channels.
 *
 * The gradient with respect to x is the same sum over dy with transposed weights. With a stride, dx falls into
 * stride_h * stride_w lattices of pixels that see different taps: one engine call each, and no multiplication by
 * inserted zeros. The sum of a pixel is one chain of additions in the order of the taps, so tiles do not change bits. */
#include "train/tile.inc.h"
#include "train/lanes.inc.h"
#include "train/winograd.inc.h"

static void NAME(piece)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(engine) *e = context;
    ptrdiff_t blocks = (e->p + e->rows - 1) / e->rows, n = index / blocks, p0 = index % blocks * e->rows;
    ptrdiff_t rows = e->p - p0 < e->rows ? e->p - p0 : e->rows;
    ptrdiff_t step = e->step_w * e->c, row_step = e->step_h * e->columns * e->c;
    REAL *buffer = e->scratch + worker * e->scratch_size;
    if (e->in_place) step = e->step_w * e->xs[3], row_step = e->step_h * e->xs[2];
    for (ptrdiff_t g = 0; g < e->groups; g++) {
        const REAL *x = e->x + n * e->xs[0] + g * e->c * e->xs[1];
        if (e->in_place) x += p0 * row_step;
        else if (e->taps->count) {
            NAME(gather)(buffer, e->c, x, e->xs, e->c, e->h, e->w, p0 * e->step_h - e->top,
                         (rows - 1) * e->step_h + e->taps->span_h, -e->left, e->columns);
            x = buffer;
        }
        REAL *y = e->y + n * e->y_n + p0 * e->y_h + g * e->o;
        const REAL *w = e->weights + g * e->panel, *start = e->start + g * e->lanes;
        for (ptrdiff_t o = 0; o < e->o;) {
            int vectors = e->o - o > LANES ? 2 : 1;
            for (ptrdiff_t p = 0; p < rows; p++)
                NAME(row)(vectors, x + p * row_step, step, e->taps, start + o, w, y + p * e->y_h + o, e->y_w, e->q,
                          e->o - o);
            o += vectors * LANES;
            w += vectors * LANES * e->taps->count * e->c;
        }
    }
}

/* Weights of one group as the inner kernel reads them: [block of 1 or 2 vectors of outputs][tap][c][lanes], the lanes
 * beyond the last output 0. `w` has strides so, sc for outputs and inputs of this engine (swapped for dx). */
static void NAME(pack)(REAL *to, const struct elq_taps *taps, ptrdiff_t outputs, ptrdiff_t inputs, const REAL *w,
                       ptrdiff_t so, ptrdiff_t sc, ptrdiff_t si, ptrdiff_t sj) {
    for (ptrdiff_t o = 0; o < outputs;) {
        ptrdiff_t lanes = outputs - o > LANES ? 2 * LANES : LANES;
        for (int k = 0; k < taps->count; k++)
            for (ptrdiff_t c = 0; c < inputs; c++, to += lanes) {
                const REAL *from = w + taps->i[k] * si + taps->j[k] * sj + c * sc + o * so;
                for (ptrdiff_t l = 0; l < lanes; l++) to[l] = o + l < outputs ? from[l * so] : 0;
            }
        o += lanes;
    }
}

/* Run engine `e`, whose buffers are not there yet, with weights w of strides so .. sj and sg between groups. */
static int NAME(run)(struct NAME(engine) * e, const REAL *w, ptrdiff_t sg, ptrdiff_t so, ptrdiff_t sc, ptrdiff_t si,
                     ptrdiff_t sj) {
    if (e->p < 1 || e->q < 1) return 0;
    if (NAME(winograd_fits)(e)) return NAME(winograd)(e, w, so, sc, si, sj);
    if (elq_conv_lanes(e->groups, e->o) > e->o) return NAME(run_lanes)(e, 1, w, sg, so, sc, si, sj);
    struct elq_taps *taps = e->taps;
    e->columns = (e->q - 1) * e->step_w + taps->span_w;
    e->in_place = taps->count == 1 && !e->top && !e->left && e->xs[1] == 1 && (e->p - 1) * e->step_h < e->h &&
                  (e->q - 1) * e->step_w < e->w;
    elq_taps_place(taps, e->columns, e->c);

    e->lanes = WHOLE(e->o);
    e->panel = e->lanes * taps->count * e->c;
    ptrdiff_t packed = e->panel * e->groups, starts = e->lanes * e->groups;
    int threads = elq_num_threads();
    ptrdiff_t row_size = e->columns * e->c * e->step_h;
    e->rows = ELQ_BUFFER_BYTES / (ptrdiff_t)sizeof(REAL) / row_size + 1;
    while (e->rows > 1 && e->n * ((e->p + e->rows - 1) / e->rows) < 2 * threads) e->rows = (e->rows + 1) / 2;
    if (e->rows > e->p) e->rows = e->p;
    e->scratch_size = WHOLE(((e->rows - 1) * e->step_h + taps->span_h) * e->columns * e->c);

    REAL *memory = elq_memory_take((packed + starts + e->scratch_size * threads) * sizeof(REAL));
    if (!memory) return -1;
    REAL *start = memory + packed;
    e->weights = memory;
    e->start = start;
    e->scratch = start + starts;
    for (ptrdiff_t g = 0; g < e->groups; g++, start += e->lanes) {
        for (ptrdiff_t o = 0; o < e->lanes; o++) start[o] = e->bias && o < e->o ? e->bias[g * e->o + o] : 0;
        NAME(pack)(memory + g * e->panel, taps, e->o, e->c, w + g * sg, so, sc, si, sj);
    }
    elq_parallel_for(e->n * ((e->p + e->rows - 1) / e->rows), NAME(piece), e);
    elq_memory_give(memory);
    return 0;
}

static int NAME(conv)(const struct elq_conv *geometry, struct elq_array x, struct elq_array w, const void *bias,
                      struct elq_array y) {
    assert(y.s[1] == 1 && geometry->n > 0 && geometry->groups > 0 && geometry->p > 0 && geometry->q > 0);
    struct elq_conv dense = elq_without_strides(geometry, &x);
    const struct elq_conv *g = &dense;
    struct elq_taps *taps = elq_taps_new(g->kh, g->kw);
    if (!taps) return -1;
    for (ptrdiff_t i = 0; i < g->kh; i++)
        for (ptrdiff_t j = 0; j < g->kw; j++) elq_taps_add(taps, i, j, i * g->dilation_h, j * g->dilation_w);
    struct NAME(engine) e = {.n = g->n,
                             .groups = g->groups,
                             .c = g->c,
                             .o = g->o,
                             .h = g->h,
                             .w = g->w,
                             .x = x.data,
                             .xs = x.s,
                             .p = g->p,
                             .q = g->q,
                             .step_h = g->stride_h,
                             .step_w = g->stride_w,
                             .y = y.data,
                             .y_n = y.s[0],
                             .y_h = y.s[2],
                             .y_w = y.s[3],
                             .top = g->pad_h,
                             .left = g->pad_w,
                             .taps = taps,
                             .bias = bias};
    int status = NAME(run)(&e, w.data, g->o * w.s[0], w.s[0], w.s[1], w.s[2], w.s[3]);
    free(taps);
    return status;
}

/* Rows a, a + stride, ... of dx see the taps i with (a + pad - i dilation) divisible by the stride, and of dy the rows
 * u + (a + pad - i dilation) / stride; columns likewise. */
static int NAME(lattice)(struct NAME(engine) * e, const struct elq_conv *g, const struct elq_array *dy,
                         struct elq_array dx, ptrdiff_t a, ptrdiff_t b) {
    struct elq_taps *taps = elq_taps_new(g->kh, g->kw);
    if (!taps) return -1;
    ptrdiff_t top = elq_first_row(a + g->pad_h, g->kh, g->dilation_h, g->stride_h);
    ptrdiff_t left = elq_first_row(b + g->pad_w, g->kw, g->dilation_w, g->stride_w);
    for (ptrdiff_t i = g->kh - 1; i >= 0; i--) {
        ptrdiff_t row = a + g->pad_h - i * g->dilation_h;
        if (row % g->stride_h) continue;
        for (ptrdiff_t j = g->kw - 1; j >= 0; j--) {
            ptrdiff_t column = b + g->pad_w - j * g->dilation_w;
            if (column % g->stride_w) continue;
            elq_taps_add(taps, i, j, row / g->stride_h - top, column / g->stride_w - left);
        }
    }
    *e = (struct NAME(engine)){.n = g->n,
                               .groups = g->groups,
                               .c = g->o,
                               .o = g->c,
                               .h = g->p,
                               .w = g->q,
                               .x = dy->data,
                               .xs = dy->s,
                               .p = (g->h - a + g->stride_h - 1) / g->stride_h,
                               .q = (g->w - b + g->stride_w - 1) / g->stride_w,
                               .step_h = 1,
                               .step_w = 1,
                               .y = (REAL *)dx.data + a * dx.s[2] + b * dx.s[3],
                               .y_n = dx.s[0],
                               .y_h = g->stride_h * dx.s[2],
                               .y_w = g->stride_w * dx.s[3],
                               .top = -top,
                               .left = -left,
                               .taps = taps};
    return 0;
}

static int NAME(conv_dx)(const struct elq_conv *g, struct elq_array dy, struct elq_array w, struct elq_array dx) {
    ptrdiff_t rows = g->stride_h < g->h ? g->stride_h : g->h, columns = g->stride_w < g->w ? g->stride_w : g->w;
    ptrdiff_t ready = 0, count = rows * columns;
    assert(dx.s[1] == 1 && count > 0);
    struct NAME(engine) *all = malloc(count * sizeof *all);
    if (!all) return -1;
    while (ready < count && !NAME(lattice)(&all[ready], g, &dy, dx, ready / columns, ready % columns)) ready++;
    int status = ready < count ? -1 : 0;
#define WEIGHTS w.data, g->o *w.s[0], w.s[1], w.s[0], w.s[2], w.s[3]
    if (!status && elq_conv_lanes(g->groups, g->c) > g->c) status = NAME(run_lanes)(all, count, WEIGHTS);
    else
        for (ptrdiff_t k = 0; k < count && !status; k++) status = NAME(run)(&all[k], WEIGHTS);
#undef WEIGHTS
    while (ready > 0) free(all[--ready].taps);
    free(all);
    return status;
}
