/* The float kernels of one instruction set. The including file defines VECTOR_BYTES, the tiles TILE1 and TILE2, the
 * word ISA and the number ELQ_ISA of its instruction set, LEAST, the number of outputs that are too few for its
 * vectors, and MAXIMUM(low, v), v where either is not a number or both are zeros. */
#include "common/cpu.h"

#define REAL float
#define JOIN(a, b) JOIN_OF(a, b)
#define JOIN_OF(a, b) a##b
#define NAME(x) JOIN(x##_infer_f32__, ISA)
#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x

#include "infer/f32_codes.inc.h"
#include "common/gather.inc.h"
#include "infer/f32_tile.inc.h"
#include "infer/f32_winograd.inc.h"
#include "infer/f32_direct.inc.h"
#include "infer/f32_depthwise.inc.h"

/* One elq_kernel of `kind` (winograd, direct, depthwise); `word` is its place in the name. */
#define KERNEL(weights, number, bits, kind, word, error)                                                               \
    static size_t weights##_##kind##_bytes(const elq_shape *s) { return NAME(kind##_bytes)(bits, s); }                 \
    static void weights##_##kind##_pack(const elq_shape *s, const void *rows, void *packed) {                          \
        NAME(kind##_pack)(bits, s, rows, packed);                                                                      \
    }                                                                                                                  \
    static void weights##_##kind##_run(const elq_conv *conv, ptrdiff_t task, void *scratch) {                          \
        NAME(kind##_run)(bits, conv, task, scratch);                                                                   \
    }                                                                                                                  \
    const elq_kernel JOIN(elq_conv_f32_##weights##word##__, ISA) = {                                                   \
        TEXT(JOIN(elq_conv_f32_##weights##word##__, ISA)), ELQ_ISA, ELQ_F32, number, NAME(kind##_fits),                \
        weights##_##kind##_bytes, weights##_##kind##_pack, NAME(kind##_scratch), NAME(kind##_tasks),                   \
        weights##_##kind##_run, error};

KERNEL(t2, ELQ_T2, 2, winograd, _winograd, ELQ_WINOGRAD)
KERNEL(b1, ELQ_B1, 1, winograd, _winograd, ELQ_WINOGRAD)
KERNEL(t2, ELQ_T2, 2, depthwise, _depthwise, ELQ_DIRECT)
KERNEL(b1, ELQ_B1, 1, depthwise, _depthwise, ELQ_DIRECT)
KERNEL(f32, ELQ_FULL, 32, depthwise, _depthwise, ELQ_DIRECT)
KERNEL(t2, ELQ_T2, 2, direct, , ELQ_DIRECT)
KERNEL(b1, ELQ_B1, 1, direct, , ELQ_DIRECT)
KERNEL(f32, ELQ_FULL, 32, direct, , ELQ_DIRECT)
