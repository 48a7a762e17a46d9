/* infer/functions.inc.h and infer/bytes.inc.h for AVX2 and FMA. */
#include <immintrin.h>

#define VECTOR_BYTES 32
#define NAME(x) avx2_##x
#define MAXIMUM(low, v) ((VEC)_mm256_max_ps((__m256)(low), (__m256)(v)))
#define MINIMUM(high, v) ((VEC)_mm256_min_ps((__m256)(high), (__m256)(v)))
#define ROWS(op) elq_rows_##op##_f32__avx2
#include "infer/functions.inc.h"

#undef ROWS
#define ROWS(op) elq_rows_##op##_i8__avx2
#include "infer/bytes.inc.h"
