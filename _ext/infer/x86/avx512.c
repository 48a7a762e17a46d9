/* The inference kernels for AVX-512 without VNNI. */
#include "infer/x86/i8_avx512.h"

#define HALVES(name) _mm512_##name
#define HALVES_AND _mm512_and_si512
#define HALVES_ZERO _mm512_setzero_si512
#include "infer/x86/i8_maddubs.h"

#include "infer/i8_conv.inc.h"
#include "infer/i8_depthwise.inc.h"

const elq_kernel elq_conv_i8_t2_depthwise__avx512 = {
    .name = "elq_conv_i8_t2_depthwise__avx512", .isa = ELQ_AVX512, .weights = ELQ_T2, I8_DEPTHWISE(t2)};
const elq_kernel elq_conv_i8_b1_depthwise__avx512 = {
    .name = "elq_conv_i8_b1_depthwise__avx512", .isa = ELQ_AVX512, .weights = ELQ_B1, I8_DEPTHWISE(b1)};
const elq_kernel elq_conv_i8_i8_depthwise__avx512 = {
    .name = "elq_conv_i8_i8_depthwise__avx512", .isa = ELQ_AVX512, .weights = ELQ_FULL, I8_DEPTHWISE(i8)};
const elq_kernel elq_conv_i8_t2__avx512 = {
    .name = "elq_conv_i8_t2__avx512", .isa = ELQ_AVX512, .weights = ELQ_T2, I8_CONV(t2)};
const elq_kernel elq_conv_i8_b1__avx512 = {
    .name = "elq_conv_i8_b1__avx512", .isa = ELQ_AVX512, .weights = ELQ_B1, I8_CONV(b1)};
const elq_kernel elq_conv_i8_i8__avx512 = {
    .name = "elq_conv_i8_i8__avx512", .isa = ELQ_AVX512, .weights = ELQ_FULL, I8_CONV(i8)};
const elq_kernel elq_conv_i8i32_t2__avx512 = {
    .name = "elq_conv_i8i32_t2__avx512", .isa = ELQ_AVX512, .weights = ELQ_T2, I8_SUMS(t2)};
const elq_kernel elq_conv_i8i32_b1__avx512 = {
    .name = "elq_conv_i8i32_b1__avx512", .isa = ELQ_AVX512, .weights = ELQ_B1, I8_SUMS(b1)};
const elq_kernel elq_conv_i8i32_i8__avx512 = {
    .name = "elq_conv_i8i32_i8__avx512", .isa = ELQ_AVX512, .weights = ELQ_FULL, I8_SUMS(i8)};

#undef TILE1
#undef TILE2
#define VECTOR_BYTES 64
#define TILE1 28
#define TILE2 14
#define LEAST 8 /* AVX2 does them */
#define MAXIMUM(low, v) ((VEC)_mm512_max_ps((__m512)(low), (__m512)(v)))
#define MINIMUM(high, v) ((VEC)_mm512_min_ps((__m512)(high), (__m512)(v)))
#include "infer/f32_kernels.inc.h"

/* One vector is a table, or two, which gcc must not load once more for each vector of words. A product that is an
 * addition: half of them go to the multipliers, which idle otherwise. */
#define GROUP_B1 4
#define GROUP_T2 3
#define TABLE(bits, table)                                                                                             \
    __m512 low = _mm512_loadu_ps(table), high = low;                                                                   \
    if ((bits) == 5) high = _mm512_loadu_ps((table) + 16);                                                             \
    if ((bits) == 5) __asm__("" : "+v"(low), "+v"(high));
#define LOOK_UP(bits, word)                                                                                            \
    (VEC)((bits) == 5 ? _mm512_permutex2var_ps(low, (__m512i)(word), high)                                             \
                      : _mm512_permutexvar_ps((__m512i)(word), low))
#define ADD_TOO(sum, v) ((VEC)_mm512_fmadd_ps((__m512)(v), (__m512)one, (__m512)(sum)))

#include "infer/f32_lookup.inc.h"

static int lookup_pays_b1(const elq_shape *s) {
    return s->o > 8 && s->c > 2 && (s->c > 8 || s->o > 32) && lookup_used(s, 64);
}

/* One or a few pixels use what is decoded. */
static int lookup_pays_t2(const elq_shape *s) {
    return s->o > 8 && s->c > 2 && (s->p * s->q < 4 || lookup_used(s, 112));
}

const elq_kernel elq_conv_f32_t2_lookup__avx512 = {
    .name = "elq_conv_f32_t2_lookup__avx512", .isa = ELQ_AVX512, .weights = ELQ_T2, F32_LOOKUP(t2)};
const elq_kernel elq_conv_f32_b1_lookup__avx512 = {
    .name = "elq_conv_f32_b1_lookup__avx512", .isa = ELQ_AVX512, .weights = ELQ_B1, F32_LOOKUP(b1)};
const elq_kernel elq_conv_f32_t2_winograd__avx512 = {
    .name = "elq_conv_f32_t2_winograd__avx512", .isa = ELQ_AVX512, .weights = ELQ_T2, F32_WINOGRAD(t2)};
const elq_kernel elq_conv_f32_b1_winograd__avx512 = {
    .name = "elq_conv_f32_b1_winograd__avx512", .isa = ELQ_AVX512, .weights = ELQ_B1, F32_WINOGRAD(b1)};
const elq_kernel elq_conv_f32_t2_depthwise__avx512 = {
    .name = "elq_conv_f32_t2_depthwise__avx512", .isa = ELQ_AVX512, .weights = ELQ_T2, F32_DEPTHWISE(t2)};
const elq_kernel elq_conv_f32_b1_depthwise__avx512 = {
    .name = "elq_conv_f32_b1_depthwise__avx512", .isa = ELQ_AVX512, .weights = ELQ_B1, F32_DEPTHWISE(b1)};
const elq_kernel elq_conv_f32_f32_depthwise__avx512 = {
    .name = "elq_conv_f32_f32_depthwise__avx512", .isa = ELQ_AVX512, .weights = ELQ_FULL, F32_DEPTHWISE(f32)};
const elq_kernel elq_conv_f32_t2__avx512 = {
    .name = "elq_conv_f32_t2__avx512", .isa = ELQ_AVX512, .weights = ELQ_T2, F32_DIRECT(t2)};
const elq_kernel elq_conv_f32_b1__avx512 = {
    .name = "elq_conv_f32_b1__avx512", .isa = ELQ_AVX512, .weights = ELQ_B1, F32_DIRECT(b1)};
const elq_kernel elq_conv_f32_f32__avx512 = {
    .name = "elq_conv_f32_f32__avx512", .isa = ELQ_AVX512, .weights = ELQ_FULL, F32_DIRECT(f32)};

/* The limits, as for AVX2, twice as wide. */
#include "infer/limit.h"

#define FMA_STEP(sum) __asm__ volatile("vfmadd231ps %2, %2, %0" : "+v"(sum), "=v"(t) : "v"(x));
#define BYTES_STEP(sum) __asm__ volatile("vpmaddubsw %2, %2, %1\n\tvpaddw %1, %0, %0" : "+v"(sum), "=&v"(t) : "v"(x));

ELQ_LIMIT(elq_limit_f32__avx512, "vfmadd231ps, 512 bits", ELQ_AVX512, ELQ_F32, __m512, FMA_STEP, 16)
ELQ_LIMIT(elq_limit_i8__avx512, "vpmaddubsw and vpaddw, 512 bits", ELQ_AVX512, ELQ_I8, __m512i, BYTES_STEP, 64)
