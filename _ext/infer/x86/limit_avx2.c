/* infer/limit.h for AVX2 and FMA. Bytes: vpmaddubsw and a 16-bit sum, which only ternary and binary weights may use. */
#include <immintrin.h>

#include "infer/limit.h"

#define FMA(sum) __asm__ volatile("vfmadd231ps %2, %2, %0" : "+x"(sum), "=x"(t) : "x"(x));
#define BYTES(sum) __asm__ volatile("vpmaddubsw %2, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(sum), "=&x"(t) : "x"(x));

ELQ_LIMIT(elq_limit_f32__avx2, "vfmadd231ps, 256 bits", ELQ_AVX2, ELQ_F32, __m256, FMA, 8)
ELQ_LIMIT(elq_limit_i8__avx2, "vpmaddubsw and vpaddw, 256 bits", ELQ_AVX2, ELQ_I8, __m256i, BYTES, 32)
