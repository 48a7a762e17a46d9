/* The table of limits, the best first: infer/limit.h. */
#include "infer/limit.h"

#if ELQ_X86
#define ALL(L)                                                                                                         \
    L(elq_limit_i8__avx512vnni)                                                                                        \
    L(elq_limit_f32__avx512)                                                                                           \
    L(elq_limit_i8__avx512)                                                                                            \
    L(elq_limit_f32__avx2)                                                                                             \
    L(elq_limit_i8__avx2)
#elif defined(__aarch64__)
#define ALL(L)                                                                                                         \
    L(elq_limit_i8__dotprod)                                                                                           \
    L(elq_limit_f32__neon)                                                                                             \
    L(elq_limit_i8__neon)
#else
#define ALL(L)
#endif

#define DECLARE(name) extern const elq_limit name;
ALL(DECLARE)

#define ADDRESS(name) &name,
static const elq_limit *const TABLE[] = {ALL(ADDRESS) NULL};

const elq_limit *elq_infer_limit(elq_features features, enum elq_activations activations) {
    for (const elq_limit *const *l = TABLE; *l; l++)
        if ((*l)->activations == activations && elq_isa_runs(features, (*l)->isa)) return *l;
    return NULL;
}
