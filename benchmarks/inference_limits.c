/* Multiply-adds of one x86 core with every operand in registers, for benchmarks/inference_limits.py: twelve sums are
 * more than latency times throughput of any unit of today. The empty assembly keeps the compiler from computing ends. */
#include <immintrin.h>

#define EACH(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)

#define LIMIT(NAME, TYPE, REGISTER, ZERO, STEP)                                                                      \
    void NAME(long steps) {                                                                                          \
        EACH(DECLARE_##NAME)                                                                                         \
        TYPE b = ZERO, c = ZERO;                                                                                     \
        __asm__ volatile("" : "+" REGISTER(b), "+" REGISTER(c));                                                     \
        for (long k = 0; k < steps; k++) {                                                                           \
            EACH(STEP)                                                                                               \
        }                                                                                                            \
    }

/* vpdpbusd, 512 bits: 64 products of unsigned and signed bytes, summed by four into 32 bits. */
#define DECLARE_vnni_512(i) __m512i a##i = _mm512_setzero_si512();
#define STEP_VNNI_512(i) a##i = _mm512_dpbusd_epi32(a##i, b, c); __asm__ volatile("" : "+v"(a##i));
__attribute__((target("avx512f,avx512vnni")))
LIMIT(vnni_512, __m512i, "v", _mm512_setzero_si512(), STEP_VNNI_512)

/* vpmaddubsw and a 16-bit sum, 256 bits: 32 products; 64 of them fit 16 bits where one factor is -1, 0 or 1. */
#define DECLARE_avx2_16(i) __m256i a##i = _mm256_setzero_si256();
#define STEP_AVX2_16(i)                                                                                              \
    a##i = _mm256_add_epi16(a##i, _mm256_maddubs_epi16(b, c)); __asm__ volatile("" : "+x"(a##i), "+x"(b));
__attribute__((target("avx2")))
LIMIT(avx2_16, __m256i, "x", _mm256_setzero_si256(), STEP_AVX2_16)

/* FMA, 256 bits: 8 products of float32. */
#define DECLARE_fma_256(i) __m256 a##i = _mm256_setzero_ps();
#define STEP_FMA_256(i) a##i = _mm256_fmadd_ps(a##i, b, c); __asm__ volatile("" : "+x"(a##i));
__attribute__((target("avx2,fma")))
LIMIT(fma_256, __m256, "x", _mm256_setzero_ps(), STEP_FMA_256)
