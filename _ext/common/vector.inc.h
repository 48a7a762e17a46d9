/* The vector type of one template instance. The including file has defined REAL (float or double), VECTOR_BYTES and
 * NAME(x), which appends type and instruction set to a symbol. No include guard: included once per type. */
#include <stddef.h>
#include <string.h>

#undef LANES
#undef INLINE
#undef VEC
#undef LOOSE
#undef WHOLE
#define LANES ((ptrdiff_t)(VECTOR_BYTES / sizeof(REAL)))
#define INLINE static inline __attribute__((always_inline))
#define WHOLE(n) (((n) + LANES - 1) / LANES * LANES) /* as many elements as whole vectors have */
#define VEC NAME(vec)
#define LOOSE NAME(loose)

typedef REAL VEC __attribute__((vector_size(VECTOR_BYTES)));
/* A comparison is all bits of a lane, or none: a vector of integers as long as REAL. */
typedef __typeof__(((VEC){0} < (VEC){0})[0]) NAME(integer);
typedef NAME(integer) NAME(bits) __attribute__((vector_size(VECTOR_BYTES)));
/* The same in memory: aligned as an element is, and an alias of the elements. */
typedef REAL LOOSE __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

INLINE VEC NAME(load)(const REAL *p) { return *(const LOOSE *)p; }
INLINE void NAME(store)(REAL *p, VEC v) { *(LOOSE *)p = v; }

/* The first n lanes; the whole vector if n >= LANES. Lanes that are not loaded are 0. */
INLINE VEC NAME(load_some)(const REAL *p, ptrdiff_t n) {
    if (n >= LANES) return NAME(load)(p);
    VEC v = {0};
    for (ptrdiff_t i = 0; i < n; i++) v[i] = p[i];
    return v;
}
INLINE void NAME(store_some)(REAL *p, VEC v, ptrdiff_t n) {
    if (n >= LANES) NAME(store)(p, v);
    else
        for (ptrdiff_t i = 0; i < n; i++) p[i] = v[i];
}
/* v with 0 in all lanes from n on. */
INLINE VEC NAME(first_lanes)(VEC v, ptrdiff_t n) {
    if (n >= LANES) return v;
    NAME(bits) lane;
    for (int l = 0; l < LANES; l++) lane[l] = l;
    return (VEC)((NAME(bits))v & (lane < (NAME(bits)){0} + (NAME(integer))n));
}
