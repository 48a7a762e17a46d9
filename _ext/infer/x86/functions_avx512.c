/* infer/functions.inc.h and infer/bytes.inc.h for AVX-512. */
#include <immintrin.h>

#define VECTOR_BYTES 64
#define NAME(x) avx512_##x
#define MAXIMUM(low, v) ((VEC)_mm512_max_ps((__m512)(low), (__m512)(v)))
#define MINIMUM(high, v) ((VEC)_mm512_min_ps((__m512)(high), (__m512)(v)))
#define ROWS(op) elq_rows_##op##_f32__avx512
#include "infer/functions.inc.h"

#undef ROWS
#define ROWS(op) elq_rows_##op##_i8__avx512
#include "infer/bytes.inc.h"
