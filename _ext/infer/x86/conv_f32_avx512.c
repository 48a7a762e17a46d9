/* Convolutions with float activations for AVX-512. */
#define VECTOR_BYTES 64
#define TILE1 28
#define TILE2 14
#define ISA avx512
#define ELQ_ISA ELQ_AVX512
#define LEAST 8 /* AVX2 does them */
#define MAXIMUM(low, v) ((VEC)_mm512_max_ps((__m512)(low), (__m512)(v)))

#include <immintrin.h>

#include "infer/f32_kernels.inc.h"
