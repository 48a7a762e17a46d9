/* The limit of a machine: how fast it multiplies and adds when every operand is in a register. Not a kernel; `elq bench`
 * and the benchmarks set the kernels beside it. */
#ifndef ELQ_INFER_LIMIT_H
#define ELQ_INFER_LIMIT_H

#include <stddef.h>

#include "common/cpu.h"
#include "infer/kernels.h"

/* One instruction (or the few that do one step of its kind), repeated. */
typedef struct {
    const char *name; /* the instruction */
    int isa;
    enum elq_activations activations; /* ELQ_F32 or ELQ_I8 */
    ptrdiff_t macs;                   /* multiply-adds of one repetition */
    void (*run)(ptrdiff_t repetitions);
} elq_limit;

/* The one of the best instruction set in use; NULL for plain C, whose limit is the compiler's. */
const elq_limit *elq_infer_limit(elq_features features, enum elq_activations activations);

/* Twelve sums, more than latency times throughput of any unit of today. STEP(sum) does `lanes` multiply-adds of x with
 * itself; t is free. */
#define ELQ_LIMIT(limit, word, set, kind, TYPE, STEP, lanes)                                                           \
    static void run_##limit(ptrdiff_t repetitions) {                                                                   \
        const TYPE x = {0};                                                                                            \
        TYPE a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x, t;                    \
        for (; repetitions > 0; repetitions--) {                                                                       \
            STEP(a) STEP(b) STEP(c) STEP(d) STEP(e) STEP(f) STEP(g) STEP(h) STEP(i) STEP(j) STEP(k) STEP(l)            \
        }                                                                                                              \
    }                                                                                                                  \
    const elq_limit limit = {word, set, kind, 12 * (lanes), run_##limit};
#endif
