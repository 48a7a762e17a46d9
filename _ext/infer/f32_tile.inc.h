/* Sums of a tile of pixels in registers: a template like infer/f32_codes.inc.h, of TILE1 and TILE2.
 *
 *     y[t][lanes] (+)= sum over the runs and k of x[t * step + offset + k] * w[k][lanes]    t < TILE, 1 or 2 vectors
 *
 * A run is a stretch of weights whose inputs follow each other in memory. A sum is one chain in the order of k. */
#include "common/tile.h"

struct NAME(run) {
    ptrdiff_t offset, length; /* elements */
};

/* Accumulators a## (and b## for the second vector). T and V are constants where this is inlined. */
INLINE void NAME(tile)(const int V, const int T, const float *x, ptrdiff_t step, const struct NAME(run) * run,
                       ptrdiff_t runs, const float *w, float *y, int add) {
#define DECLARE(t, g, r) VEC a##t = {0}, b##t = {0};
#define LOAD(t, g, r)                                                                                                  \
    if (T > t) a##t = NAME(load)(y + t * V * LANES);                                                                   \
    if (T > t && V > 1) b##t = NAME(load)(y + t * V * LANES + LANES);
#define POINT(g) const float *x##g = from + 3 * g * step;
#define MULTIPLY(t, g, r)                                                                                              \
    if (T > t) {                                                                                                       \
        a##t += x##g[r * step] * w0;                                                                                   \
        if (V > 1) b##t += x##g[r * step] * w1;                                                                        \
    }
#define ADVANCE(g) x##g++;
#define STORE(t, g, r)                                                                                                 \
    if (T > t) NAME(store)(y + t * V * LANES, a##t);                                                                   \
    if (T > t && V > 1) NAME(store)(y + t * V * LANES + LANES, b##t);
    EACH_PIXEL(DECLARE)
    if (add) { EACH_PIXEL(LOAD) }
    for (ptrdiff_t i = 0; i < runs; i++) {
        const float *from = x + run[i].offset;
        EACH_POINTER(POINT)
        for (ptrdiff_t k = run[i].length; k > 0; k--) {
            VEC w0 = NAME(load)(w), w1 = V > 1 ? NAME(load)(w + LANES) : w0;
            EACH_PIXEL(MULTIPLY)
            EACH_POINTER(ADVANCE)
            w += V * LANES;
        }
    }
    EACH_PIXEL(STORE)
#undef DECLARE
#undef LOAD
#undef POINT
#undef MULTIPLY
#undef ADVANCE
#undef STORE
}

/* `pixels` neighbours in tiles of nearly equal size; sums to y, `vectors` a pixel, added to what is there if `add`. */
static void NAME(row)(int vectors, const float *x, ptrdiff_t step, const struct NAME(run) * run, ptrdiff_t runs,
                      const float *w, float *y, ptrdiff_t pixels, int add) {
    ptrdiff_t most = vectors > 1 ? TILE2 : TILE1;
    for (ptrdiff_t tiles = (pixels + most - 1) / most; tiles > 0; tiles--) {
        ptrdiff_t t = (pixels + tiles - 1) / tiles;
#define TILE(V, T) NAME(tile)(V, T, x, step, run, runs, w, y, add)
        CHOOSE_TILE(vectors, t)
#undef TILE
        x += t * step;
        y += t * vectors * LANES;
        pixels -= t;
    }
}
