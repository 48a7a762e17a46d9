/* infer/functions.inc.h and infer/bytes.inc.h for AVX-512. */
#include <immintrin.h>

#define VECTOR_BYTES 64
#define NAME(x) avx512_##x
#define MAXIMUM(low, v) ((VEC)_mm512_max_ps((__m512)(low), (__m512)(v)))
#define MINIMUM(high, v) ((VEC)_mm512_min_ps((__m512)(high), (__m512)(v)))
#define ROWS(op) elq_rows_##op##_f32__avx512
#include "infer/functions.inc.h"

#undef ROWS
#define BYTES_OF __m512i
#define OF(name) _mm512_##name
#define EITHER _mm512_xor_si512
#define BROADCAST _mm512_broadcast_i32x4
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, v) _mm512_storeu_si512(p, v)
#include "infer/x86/look_up.h"
#define ROWS(op) elq_rows_##op##_i8__avx512
#include "infer/bytes.inc.h"
