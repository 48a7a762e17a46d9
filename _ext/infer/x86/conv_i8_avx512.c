/* Convolution with int8 activations, AVX-512 without VNNI: see infer/i8_maddubs.h. */
#include "infer/i8_avx512.h"

#define HALVES(name) _mm512_##name
#define HALVES_AND _mm512_and_si512
#define HALVES_ZERO _mm512_setzero_si512
#include "infer/i8_maddubs.h"

#include "infer/i8_conv.inc.h"
#include "infer/i8_depthwise.inc.h"

KERNEL(t2, avx512, ELQ_AVX512, ELQ_T2)
KERNEL(b1, avx512, ELQ_AVX512, ELQ_B1)
KERNEL(i8, avx512, ELQ_AVX512, ELQ_FULL)

DEPTHWISE(t2, avx512, ELQ_AVX512, ELQ_T2)
DEPTHWISE(b1, avx512, ELQ_AVX512, ELQ_B1)
DEPTHWISE(i8, avx512, ELQ_AVX512, ELQ_FULL)
