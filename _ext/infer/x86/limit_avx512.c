/* infer/limit.h for AVX-512: as for AVX2 (infer/x86/limit_avx2.c), twice as wide. */
#include <immintrin.h>

#include "infer/limit.h"

#define FMA(sum) __asm__ volatile("vfmadd231ps %2, %2, %0" : "+v"(sum), "=v"(t) : "v"(x));
#define BYTES(sum) __asm__ volatile("vpmaddubsw %2, %2, %1\n\tvpaddw %1, %0, %0" : "+v"(sum), "=&v"(t) : "v"(x));

ELQ_LIMIT(elq_limit_f32__avx512, "vfmadd231ps, 512 bits", ELQ_AVX512, ELQ_F32, __m512, FMA, 16)
ELQ_LIMIT(elq_limit_i8__avx512, "vpmaddubsw and vpaddw, 512 bits", ELQ_AVX512, ELQ_I8, __m512i, BYTES, 64)
