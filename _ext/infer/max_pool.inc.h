/* Max pooling: a template of ELEMENT, VECTOR_BYTES, POOL(name) for its own names, ROWS(op) for the function's, and
 * NO_NUMBER(v), nonzero (of a vector: -1 in the lanes) for a NaN. A pixel of y at a time, the widest vectors first. */
#include <string.h>

/* clang-format off */
#define POOL_BY(bytes)                                                                                                 \
    typedef ELEMENT POOL(vector_##bytes) __attribute__((vector_size(bytes)));                                          \
    /* a < b ? b : a, lane by lane; a NaN is larger than all. */                                                       \
    static inline __attribute__((always_inline)) POOL(vector_##bytes)                                                  \
        POOL(larger_##bytes)(POOL(vector_##bytes) a, POOL(vector_##bytes) b) {                                         \
        const __typeof__(a < b) chosen = (a < b) | NO_NUMBER(b);                                                       \
        return (POOL(vector_##bytes))(((__typeof__(a < b))b & chosen) | ((__typeof__(a < b))a & ~chosen));             \
    }
#define POOL_CHANNELS(bytes)                                                                                           \
    for (const ptrdiff_t wide = bytes / (ptrdiff_t)sizeof(ELEMENT); c + wide <= g->c; c += wide) {                     \
        POOL(vector_##bytes) most, one;                                                                                \
        memcpy(&most, window + c, sizeof most);                                                                        \
        for (ptrdiff_t i = 0; i < seen.rows; i++)                                                                      \
            for (ptrdiff_t j = 0; j < seen.columns; j++) {                                                             \
                memcpy(&one, window + (i * g->w + j) * g->c + c, sizeof one);                                          \
                most = POOL(larger_##bytes)(most, one);                                                                \
            }                                                                                                          \
        memcpy(to + c, &most, sizeof most);                                                                            \
    }
/* clang-format on */

POOL_BY(16)
#if VECTOR_BYTES > 16
POOL_BY(32)
#endif
#if VECTOR_BYTES > 32
POOL_BY(64)
#endif

void ROWS(max_pool)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                    ptrdiff_t last) {
    const elq_shape *g = &s->shape;
    (void)residual;
    for (ptrdiff_t pixel = first; pixel < last; pixel++) {
        const elq_window seen = elq_window_of(g, pixel);
        const ELEMENT *window = (const ELEMENT *)x + seen.at;
        ELEMENT *to = (ELEMENT *)y + pixel * g->c;
        ptrdiff_t c = 0;
#if VECTOR_BYTES > 32
        POOL_CHANNELS(64)
#endif
#if VECTOR_BYTES > 16
        POOL_CHANNELS(32)
#endif
        POOL_CHANNELS(16)
        for (; c < g->c; c++) {
            ELEMENT most = window[c];
            for (ptrdiff_t i = 0; i < seen.rows; i++)
                for (ptrdiff_t j = 0; j < seen.columns; j++) {
                    const ELEMENT one = window[(i * g->w + j) * g->c + c];
                    most = most < one || NO_NUMBER(one) ? one : most;
                }
            to[c] = most;
        }
    }
}
#undef POOL_BY
#undef POOL_CHANNELS
#undef POOL
#undef ELEMENT
#undef NO_NUMBER
