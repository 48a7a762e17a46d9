/* Convolution with int8 activations, AVX-512 VNNI: vpdpbusd adds four products of a uint8 and an int8 to an int32. */
#include "infer_i8_avx512.h"

#define SUMS __m512i
#define WIDE_WEIGHTS 0
#define MOST_STEPS(weights) ((void)(weights), 0)
#define sums_zero() _mm512_setzero_si512()
#define sums_step(sums, x, w, weights) _mm512_dpbusd_epi32(sums, x, w)
#define sums_widen(sums, weights) (sums)

#include "infer_i8_conv.inc.h"

KERNEL(t2, avx512vnni, ELQ_AVX512VNNI, ELQ_T2)
KERNEL(b1, avx512vnni, ELQ_AVX512VNNI, ELQ_B1)
KERNEL(i8, avx512vnni, ELQ_AVX512VNNI, ELQ_FULL)
