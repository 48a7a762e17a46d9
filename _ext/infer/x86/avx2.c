/* The inference kernels for AVX2 and FMA. */
#include "infer/x86/i8_avx2.h"

#include "infer/i8_conv.inc.h"
#include "infer/i8_depthwise.inc.h"
#include "infer/x86/i8_lookup_avx2.h"

const elq_kernel elq_conv_i8_t2_depthwise__avx2 = {
    .name = "elq_conv_i8_t2_depthwise__avx2", .isa = ELQ_AVX2, .weights = ELQ_T2, I8_DEPTHWISE(t2)};
const elq_kernel elq_conv_i8_b1_depthwise__avx2 = {
    .name = "elq_conv_i8_b1_depthwise__avx2", .isa = ELQ_AVX2, .weights = ELQ_B1, I8_DEPTHWISE(b1)};
const elq_kernel elq_conv_i8_i8_depthwise__avx2 = {
    .name = "elq_conv_i8_i8_depthwise__avx2", .isa = ELQ_AVX2, .weights = ELQ_FULL, I8_DEPTHWISE(i8)};
const elq_kernel elq_conv_i8_t2__avx2 = {
    .name = "elq_conv_i8_t2__avx2", .isa = ELQ_AVX2, .weights = ELQ_T2, I8_CONV(t2)};
const elq_kernel elq_conv_i8_b1__avx2 = {
    .name = "elq_conv_i8_b1__avx2", .isa = ELQ_AVX2, .weights = ELQ_B1, I8_CONV(b1)};
const elq_kernel elq_conv_i8_i8__avx2 = {
    .name = "elq_conv_i8_i8__avx2", .isa = ELQ_AVX2, .weights = ELQ_FULL, I8_CONV(i8)};
const elq_kernel elq_conv_i8i32_t2__avx2 = {
    .name = "elq_conv_i8i32_t2__avx2", .isa = ELQ_AVX2, .weights = ELQ_T2, I8_SUMS(t2)};
const elq_kernel elq_conv_i8i32_b1__avx2 = {
    .name = "elq_conv_i8i32_b1__avx2", .isa = ELQ_AVX2, .weights = ELQ_B1, I8_SUMS(b1)};
const elq_kernel elq_conv_i8i32_i8__avx2 = {
    .name = "elq_conv_i8i32_i8__avx2", .isa = ELQ_AVX2, .weights = ELQ_FULL, I8_SUMS(i8)};

#undef TILE1
#undef TILE2
#define VECTOR_BYTES 32
#define TILE1 12
#define TILE2 6
#define LEAST 3 /* plain C does them */
#define MAXIMUM(low, v) ((VEC)_mm256_max_ps((__m256)(low), (__m256)(v)))
#define MINIMUM(high, v) ((VEC)_mm256_min_ps((__m256)(high), (__m256)(v)))
#include "infer/f32_kernels.inc.h"

/* One vector is a table of 3 bits; two are one of 4, and the word's bit 3 chooses between them. */
#define GROUP_B1 3
#define GROUP_T2 2
#define TABLE(bits, table)                                                                                             \
    const __m256 low = _mm256_loadu_ps(table), high = (bits) == 3 ? low : _mm256_loadu_ps((table) + 8);
#define HALF(word, half) _mm256_permutevar8x32_ps(half, (__m256i)(word))
#define LOOK_UP(bits, word)                                                                                            \
    (VEC)((bits) == 3 ? HALF(word, low) : _mm256_blendv_ps(HALF(word, low), HALF(word, high), (__m256)((word) << 28)))
#define ADD_TOO(sum, v) ((sum) + (v))

#include "infer/f32_lookup.inc.h"

/* One or a few pixels use what is decoded. */
static int lookup_pays_t2(const elq_shape *s) { return s->o > 3 && s->c > 2 && s->p * s->q < 4; }
static int lookup_pays_b1(const elq_shape *s) {
    return lookup_pays_t2(s) || (s->c > 2 && (s->c > 8 || s->o > 32) && lookup_used(s, 64));
}

const elq_kernel elq_conv_f32_t2_lookup__avx2 = {
    .name = "elq_conv_f32_t2_lookup__avx2", .isa = ELQ_AVX2, .weights = ELQ_T2, F32_LOOKUP(t2)};
const elq_kernel elq_conv_f32_b1_lookup__avx2 = {
    .name = "elq_conv_f32_b1_lookup__avx2", .isa = ELQ_AVX2, .weights = ELQ_B1, F32_LOOKUP(b1)};
const elq_kernel elq_conv_f32_t2_winograd__avx2 = {
    .name = "elq_conv_f32_t2_winograd__avx2", .isa = ELQ_AVX2, .weights = ELQ_T2, F32_WINOGRAD(t2)};
const elq_kernel elq_conv_f32_b1_winograd__avx2 = {
    .name = "elq_conv_f32_b1_winograd__avx2", .isa = ELQ_AVX2, .weights = ELQ_B1, F32_WINOGRAD(b1)};
const elq_kernel elq_conv_f32_t2_depthwise__avx2 = {
    .name = "elq_conv_f32_t2_depthwise__avx2", .isa = ELQ_AVX2, .weights = ELQ_T2, F32_DEPTHWISE(t2)};
const elq_kernel elq_conv_f32_b1_depthwise__avx2 = {
    .name = "elq_conv_f32_b1_depthwise__avx2", .isa = ELQ_AVX2, .weights = ELQ_B1, F32_DEPTHWISE(b1)};
const elq_kernel elq_conv_f32_f32_depthwise__avx2 = {
    .name = "elq_conv_f32_f32_depthwise__avx2", .isa = ELQ_AVX2, .weights = ELQ_FULL, F32_DEPTHWISE(f32)};
const elq_kernel elq_conv_f32_t2__avx2 = {
    .name = "elq_conv_f32_t2__avx2", .isa = ELQ_AVX2, .weights = ELQ_T2, F32_DIRECT(t2)};
const elq_kernel elq_conv_f32_b1__avx2 = {
    .name = "elq_conv_f32_b1__avx2", .isa = ELQ_AVX2, .weights = ELQ_B1, F32_DIRECT(b1)};
const elq_kernel elq_conv_f32_f32__avx2 = {
    .name = "elq_conv_f32_f32__avx2", .isa = ELQ_AVX2, .weights = ELQ_FULL, F32_DIRECT(f32)};

/* The limits. Bytes: vpmaddubsw and a 16-bit sum, which only ternary and binary weights may use. */
#include "infer/limit.h"

#define FMA_STEP(sum) __asm__ volatile("vfmadd231ps %2, %2, %0" : "+x"(sum), "=x"(t) : "x"(x));
#define BYTES_STEP(sum) __asm__ volatile("vpmaddubsw %2, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(sum), "=&x"(t) : "x"(x));

ELQ_LIMIT(elq_limit_f32__avx2, "vfmadd231ps, 256 bits", ELQ_AVX2, ELQ_F32, __m256, FMA_STEP, 8)
ELQ_LIMIT(elq_limit_i8__avx2, "vpmaddubsw and vpaddw, 256 bits", ELQ_AVX2, ELQ_I8, __m256i, BYTES_STEP, 32)
