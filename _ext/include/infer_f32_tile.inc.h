/* Sums of a tile of pixels in registers: a template like infer_f32_codes.inc.h, of TILE1 and TILE2.
 *
 *     y[t][lanes] (+)= sum over the runs and k of x[t * step + offset + k] * w[k][lanes]    t < TILE, 1 or 2 vectors
 *
 * A run is a stretch of weights whose inputs follow each other in memory. A sum is one chain in the order of k. */
struct NAME(run) {
    ptrdiff_t offset, length; /* elements */
};

/* Up to 28 accumulators a## (and 14 b## for the second vector): named, as gcc keeps no array of them in registers.
 * T and V are constants where this is inlined. Pixel t is read as pointer t / 3 plus (t % 3) * step, which is an x86
 * address, so that ten pointers do for all. */
#define EACH_PIXEL(M)                                                                                                  \
    M(0, 0, 0) M(1, 0, 1) M(2, 0, 2) M(3, 1, 0) M(4, 1, 1) M(5, 1, 2) M(6, 2, 0) M(7, 2, 1) M(8, 2, 2) M(9, 3, 0)      \
    M(10, 3, 1) M(11, 3, 2) M(12, 4, 0) M(13, 4, 1) M(14, 4, 2) M(15, 5, 0) M(16, 5, 1) M(17, 5, 2) M(18, 6, 0)        \
    M(19, 6, 1) M(20, 6, 2) M(21, 7, 0) M(22, 7, 1) M(23, 7, 2) M(24, 8, 0) M(25, 8, 1) M(26, 8, 2) M(27, 9, 0)
#define EACH_POINTER(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9)

INLINE void NAME(tile)(const int V, const int T, const float *x, ptrdiff_t step, const struct NAME(run) *run,
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
static void NAME(row)(int vectors, const float *x, ptrdiff_t step, const struct NAME(run) *run, ptrdiff_t runs,
                      const float *w, float *y, ptrdiff_t pixels, int add) {
    ptrdiff_t most = vectors > 1 ? TILE2 : TILE1;
    for (ptrdiff_t tiles = (pixels + most - 1) / most; tiles > 0; tiles--) {
        ptrdiff_t t = (pixels + tiles - 1) / tiles;
#define CASE1(n, g, r)                                                                                                 \
    case n + 1:                                                                                                        \
        if (n < TILE1) NAME(tile)(1, n + 1, x, step, run, runs, w, y, add);                                            \
        break;
#define CASE2(n, g, r)                                                                                                 \
    case n + 1:                                                                                                        \
        if (n < TILE2) NAME(tile)(2, n + 1, x, step, run, runs, w, y, add);                                            \
        break;
        if (vectors > 1) switch (t) { EACH_PIXEL(CASE2) }
        else switch (t) { EACH_PIXEL(CASE1) }
#undef CASE1
#undef CASE2
        x += t * step;
        y += t * vectors * LANES;
        pixels -= t;
    }
}
