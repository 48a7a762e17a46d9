/* Convolution in the defined order for AVX2. */
#define VECTOR_BYTES 32
#define TILE1 12
#define TILE2 6
#define LEAST 4 /* half a vector: the narrower ones do them */
#include "infer/ordered.inc.h"

const elq_kernel elq_conv_ordered_f32__avx2 = {
    .name = "elq_conv_ordered_f32__avx2", .isa = ELQ_AVX2, .pays = ordered_direct_pays, ORDERED};
