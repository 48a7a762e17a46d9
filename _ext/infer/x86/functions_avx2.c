/* infer/functions.inc.h and infer/bytes.inc.h for AVX2 and FMA. */
#include <immintrin.h>

#define VECTOR_BYTES 32
#define NAME(x) avx2_##x
#define MAXIMUM(low, v) ((VEC)_mm256_max_ps((__m256)(low), (__m256)(v)))
#define MINIMUM(high, v) ((VEC)_mm256_min_ps((__m256)(high), (__m256)(v)))
#define ROWS(op) elq_rows_##op##_f32__avx2
#include "infer/functions.inc.h"

#undef ROWS
#define BYTES_OF __m256i
#define OF(name) _mm256_##name
#define EITHER _mm256_xor_si256
#define BROADCAST _mm256_broadcastsi128_si256
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#include "infer/x86/look_up.h"
#define ROWS(op) elq_rows_##op##_i8__avx2
#include "infer/bytes.inc.h"
