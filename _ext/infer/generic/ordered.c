/* Convolution in the defined order for every CPU: vectors of 16 bytes are SSE2, NEON, or what the target makes of them. */
#define VECTOR_BYTES 16
#define TILE1 12
#define TILE2 6
#define LEAST 0
#include "infer/ordered.inc.h"

const elq_kernel elq_conv_ordered_f32__generic = {
    .name = "elq_conv_ordered_f32__generic", .isa = ELQ_GENERIC, .pays = ordered_direct_pays, ORDERED};
