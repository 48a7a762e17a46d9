/* Convolutions with float activations for AVX2. */
#define VECTOR_BYTES 32
#define TILE1 12
#define TILE2 6
#define ISA avx2
#define ELQ_ISA ELQ_AVX2
#define LEAST 3 /* plain C does them */
#define MAXIMUM(low, v) ((VEC)_mm256_max_ps((__m256)(low), (__m256)(v)))

#include <immintrin.h>

#include "infer/f32_kernels.inc.h"
