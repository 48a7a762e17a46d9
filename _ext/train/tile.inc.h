/* The inner kernels of a convolution and what they work for: a template of REAL, VECTOR_BYTES, NAME, TILE1, TILE2.
 *
 *     y[t][lanes] = start[lanes] + sum x[t * step + run + c] * w[run + c][lanes]      t < TILE pixels, 1 or 2 vectors */
#include "common/tile.h"

/* Accumulators a## (and b## for the second vector). T and V are constants where this is inlined. */
INLINE void NAME(tile)(const int V, const int T, const REAL *x, ptrdiff_t step, const struct elq_taps *taps,
                       const REAL *start, const REAL *w, REAL *y, ptrdiff_t y_step) {
#define DECLARE(t, g, r) VEC a##t = s0, b##t = s1;
#define POINT(g) const REAL *x##g = from + 3 * g * step;
#define MULTIPLY(t, g, r)                                                                                              \
    if (T > t) {                                                                                                       \
        a##t += x##g[r * step] * w0;                                                                                   \
        if (V > 1) b##t += x##g[r * step] * w1;                                                                        \
    }
#define ADVANCE(g) x##g++;
#define STORE(t, g, r)                                                                                                 \
    if (T > t) {                                                                                                       \
        NAME(store)(y + t * y_step, a##t);                                                                             \
        if (V > 1) NAME(store)(y + t * y_step + LANES, b##t);                                                          \
    }
    VEC s0 = NAME(load)(start), s1 = V > 1 ? NAME(load)(start + LANES) : s0;
    EACH_PIXEL(DECLARE)
    for (int k = 0; k < taps->runs; k++) {
        const REAL *from = x + taps->run[k].offset;
        EACH_POINTER(POINT)
        for (ptrdiff_t c = taps->run[k].length; c > 0; c--) {
            VEC w0 = NAME(load)(w), w1 = V > 1 ? NAME(load)(w + LANES) : w0;
            EACH_PIXEL(MULTIPLY)
            EACH_POINTER(ADVANCE)
            w += V * LANES;
        }
    }
    EACH_PIXEL(STORE)
#undef DECLARE
#undef POINT
#undef MULTIPLY
#undef ADVANCE
#undef STORE
}

/* `pixels` neighbours of one output row, in tiles of nearly equal size. Where the row has fewer outputs than the
 * vectors have lanes, the tile goes through `whole`. */
static void NAME(row)(int vectors, const REAL *x, ptrdiff_t step, const struct elq_taps *taps, const REAL *start,
                      const REAL *w, REAL *y, ptrdiff_t y_step, ptrdiff_t pixels, ptrdiff_t outputs) {
    REAL whole[TILE1 > 2 * TILE2 ? TILE1 * LANES : 2 * TILE2 * LANES];
    ptrdiff_t most = vectors > 1 ? TILE2 : TILE1, lanes = vectors * LANES;
    for (ptrdiff_t tiles = (pixels + most - 1) / most; tiles > 0; tiles--) {
        ptrdiff_t t = (pixels + tiles - 1) / tiles;
        assert(t > 0 && t <= most && outputs > 0);
        REAL *to = outputs < lanes ? whole : y;
        ptrdiff_t to_step = outputs < lanes ? lanes : y_step;
#define TILE(V, T) NAME(tile)(V, T, x, step, taps, start, w, to, to_step)
        CHOOSE_TILE(vectors, t)
#undef TILE
        if (outputs < lanes)
            for (ptrdiff_t k = 0; k < t; k++) memcpy(y + k * y_step, whole + k * lanes, outputs * sizeof(REAL));
        x += t * step;
        y += t * y_step;
        pixels -= t;
    }
}

/* One convolution over a lattice of output pixels; per group, c inputs and o outputs. */
struct NAME(engine) {
    ptrdiff_t n, groups, c, o, h, w; /* input */
    const REAL *x;
    const ptrdiff_t *xs;
    ptrdiff_t p, q, step_h, step_w; /* output lattice, and input pixels from one of its pixels to the next */
    REAL *y;
    ptrdiff_t y_n, y_h, y_w;
    ptrdiff_t top, left;    /* where the input pixel of output (0, 0) and the first tap lies: row -top, column -left */
    int in_place;           /* a kernel of one element that never leaves the image: x needs no buffer */
    struct elq_taps *taps;  /* in a buffer of `columns` pixels a row */
    struct elq_taps *there; /* the same in x itself; train/lanes.inc.h only, or NULL */
    const REAL *bias;       /* of every output, contiguous, or NULL */
    const REAL *start;      /* bias or 0 per lane, `lanes` of them a group (train/lanes.inc.h: of all groups) */
    ptrdiff_t lanes;
    const REAL *weights; /* packed; `panel` elements a group */
    ptrdiff_t panel;
    ptrdiff_t images;        /* a piece; more than 1 only by Winograd, of small images */
    ptrdiff_t rows, columns; /* output rows a piece (Winograd: of tiles), buffer pixels a row */
    REAL *scratch;
    ptrdiff_t scratch_size;
};
