/* The float kernels of one instruction set. The including file defines VECTOR_BYTES, the tiles TILE1 and TILE2, LEAST,
 * the number of outputs that are too few for its vectors, and MAXIMUM(low, v) and MINIMUM(high, v), v where either is not
 * a number or both are zeros. It includes this behind the int8 ones, whose names of vectors end here. */
#include "common/cpu.h"

#define REAL float
#define NAME(x) f32_##x

#include "infer/f32_codes.inc.h"
#include "common/gather.inc.h"
#include "infer/f32_tile.inc.h"
#include "infer/f32_winograd.inc.h"
#include "infer/f32_direct.inc.h"
#include "infer/f32_depthwise.inc.h"

/* The functions of `kind` (winograd, direct, depthwise) for weights of `bits` bits. */
#define F32_FUNCTIONS(kind, word, bits)                                                                                \
    static size_t NAME(kind##_bytes_##word)(const elq_shape *s) { return NAME(kind##_bytes)(bits, s); }                \
    static void NAME(kind##_pack_##word)(const elq_shape *s, const void *rows, void *packed) {                         \
        NAME(kind##_pack)(bits, s, rows, packed);                                                                      \
    }                                                                                                                  \
    static void NAME(kind##_run_##word)(const elq_conv *conv, ptrdiff_t task, void *scratch) {                         \
        NAME(kind##_run)(bits, conv, task, scratch);                                                                   \
    }
F32_FUNCTIONS(winograd, t2, 2)
F32_FUNCTIONS(winograd, b1, 1)
F32_FUNCTIONS(depthwise, t2, 2)
F32_FUNCTIONS(depthwise, b1, 1)
F32_FUNCTIONS(depthwise, f32, 32)
F32_FUNCTIONS(direct, t2, 2)
F32_FUNCTIONS(direct, b1, 1)
F32_FUNCTIONS(direct, f32, 32)
#undef F32_FUNCTIONS

/* Of an elq_kernel, what does not say its name, its instruction set and its weights. */
#define F32_OF(kind, word, runs_it)                                                                                    \
    .activations = ELQ_F32, .runs = runs_it, .pays = f32_##kind##_pays, .weight_bytes = f32_##kind##_bytes_##word,     \
    .pack = f32_##kind##_pack_##word, .scratch_bytes = f32_##kind##_scratch, .tasks = f32_##kind##_tasks,              \
    .run = f32_##kind##_run_##word
#define F32_WINOGRAD(word) F32_OF(winograd, word, f32_winograd_runs), .error = ELQ_WINOGRAD
#define F32_DEPTHWISE(word) F32_OF(depthwise, word, f32_depthwise_runs), .error = ELQ_DIRECT
#define F32_DIRECT(word) F32_OF(direct, word, elq_always), .error = ELQ_DIRECT
