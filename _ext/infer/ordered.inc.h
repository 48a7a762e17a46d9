/* The kernel of one instruction set whose every bit is defined (ELQ_F32_ORDERED of infer/kernels.h): the direct one, whose
 * sums are one chain in the order KH KW C, compiled without fusing products and sums. It is so for the sources whose name
 * begins with "ordered" (setup.py, tests/c/run.sh: -ffp-contract=off). Vectors lie across output channels, so that neither
 * their length nor the tile decides in which order something is added.
 *
 * The including file defines VECTOR_BYTES, TILE1, TILE2 and LEAST as for infer/f32_kernels.inc.h. */
#include "common/cpu.h"

#ifdef __FAST_MATH__
#error "the order of sums is not the compiler's choice"
#endif

#define NO_CODES /* weights are floats: infer/f32_codes.inc.h */
#define REAL float
#define NAME(x) ordered_##x
#define WHERE(chosen, a, b) ((VEC)(((chosen) & (NAME(bits))(a)) | (~(chosen) & (NAME(bits))(b))))
#define MAXIMUM(low, v) WHERE((v) < (low), low, v)
#define MINIMUM(high, v) WHERE((v) > (high), high, v)

#include "infer/f32_codes.inc.h"
#include "common/gather.inc.h"
#include "infer/f32_tile.inc.h"
#include "infer/f32_direct.inc.h"

static size_t ordered_bytes(const elq_shape *s) { return ordered_direct_bytes(32, s); }
static void ordered_pack(const elq_shape *s, const void *rows, void *packed) {
    ordered_direct_pack(32, s, rows, packed);
}
static void ordered_run(const elq_conv *conv, ptrdiff_t task, void *scratch) {
    ordered_direct_run(32, conv, task, scratch);
}

/* Of an elq_kernel, what does not say its name, its instruction set and when it pays. */
#define ORDERED                                                                                                        \
    .activations = ELQ_F32_ORDERED, .weights = ELQ_FULL, .runs = elq_always, .weight_bytes = ordered_bytes,            \
    .pack = ordered_pack, .scratch_bytes = ordered_direct_scratch, .tasks = ordered_direct_tasks, .run = ordered_run,  \
    .error = ELQ_DIRECT
