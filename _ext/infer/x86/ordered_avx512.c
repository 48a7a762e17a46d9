/* Convolution in the defined order for AVX-512. */
#define VECTOR_BYTES 64
#define TILE1 28
#define TILE2 14
#define LEAST 8 /* half a vector: the narrower ones do them */
#include "infer/ordered.inc.h"

const elq_kernel elq_conv_ordered_f32__avx512 = {
    .name = "elq_conv_ordered_f32__avx512", .isa = ELQ_AVX512, .pays = ordered_direct_pays, ORDERED};
