/* infer/limit.h for the byte dot product of AVX-512 VNNI: 64 products, summed by four into 32 bits. */
#include <immintrin.h>

#include "infer/limit.h"

#define BYTES(sum) __asm__ volatile("vpdpbusd %2, %2, %0" : "+v"(sum), "=v"(t) : "v"(x));

ELQ_LIMIT(elq_limit_i8__avx512vnni, "vpdpbusd, 512 bits", ELQ_AVX512VNNI, ELQ_I8, __m512i, BYTES, 64)
