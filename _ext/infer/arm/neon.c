/* The inference kernels for NEON, the baseline of aarch64.
 *
 * int8, codes: smlal adds products to sums of 16 bits, each output having four of them; at most 128 a step, so that 255 steps
 * stay below 2^15. Int8 weights: smull, and sadalp adds pairs to sums of 32 bits, two for each output. */
#include "infer/arm/i8_neon.h"

#define TILE1 12
#define TILE2 6
typedef struct {
    int32x4_t first, second; /* outputs 0 and 1, 2 and 3; of codes int16x8_t */
} SUMS;
#define WIDE_WEIGHTS 1
#define MOST_STEPS(weights) ((weights) == ELQ_FULL ? 0 : 255)

static inline SUMS sums_zero(void) { return (SUMS){vdupq_n_s32(0), vdupq_n_s32(0)}; }

INLINE SUMS sums_step(SUMS s, BYTES x, BYTES w, const int weights) {
    if (weights == ELQ_FULL)
        return (SUMS){vpadalq_s16(s.first, vmull_s8(vget_low_s8(x), vget_low_s8(w))),
                      vpadalq_s16(s.second, vmull_high_s8(x, w))};
    const int16x8_t first = vreinterpretq_s16_s32(s.first), second = vreinterpretq_s16_s32(s.second);
    return (SUMS){vreinterpretq_s32_s16(vmlal_s8(first, vget_low_s8(x), vget_low_s8(w))),
                  vreinterpretq_s32_s16(vmlal_high_s8(second, x, w))};
}

INLINE VEC sums_widen(SUMS s, const int weights) {
    if (weights == ELQ_FULL) return vpaddq_s32(s.first, s.second);
    return vpaddq_s32(vpaddlq_s16(vreinterpretq_s16_s32(s.first)), vpaddlq_s16(vreinterpretq_s16_s32(s.second)));
}

#include "infer/i8_conv.inc.h"
#include "infer/i8_depthwise.inc.h"

const elq_kernel elq_conv_i8_t2_depthwise__neon = {
    .name = "elq_conv_i8_t2_depthwise__neon", .isa = ELQ_NEON, .weights = ELQ_T2, I8_DEPTHWISE(t2)};
const elq_kernel elq_conv_i8_b1_depthwise__neon = {
    .name = "elq_conv_i8_b1_depthwise__neon", .isa = ELQ_NEON, .weights = ELQ_B1, I8_DEPTHWISE(b1)};
const elq_kernel elq_conv_i8_i8_depthwise__neon = {
    .name = "elq_conv_i8_i8_depthwise__neon", .isa = ELQ_NEON, .weights = ELQ_FULL, I8_DEPTHWISE(i8)};
const elq_kernel elq_conv_i8_t2__neon = {
    .name = "elq_conv_i8_t2__neon", .isa = ELQ_NEON, .weights = ELQ_T2, I8_CONV(t2)};
const elq_kernel elq_conv_i8_b1__neon = {
    .name = "elq_conv_i8_b1__neon", .isa = ELQ_NEON, .weights = ELQ_B1, I8_CONV(b1)};
const elq_kernel elq_conv_i8_i8__neon = {
    .name = "elq_conv_i8_i8__neon", .isa = ELQ_NEON, .weights = ELQ_FULL, I8_CONV(i8)};
const elq_kernel elq_conv_i8i32_t2__neon = {
    .name = "elq_conv_i8i32_t2__neon", .isa = ELQ_NEON, .weights = ELQ_T2, I8_SUMS(t2)};
const elq_kernel elq_conv_i8i32_b1__neon = {
    .name = "elq_conv_i8i32_b1__neon", .isa = ELQ_NEON, .weights = ELQ_B1, I8_SUMS(b1)};
const elq_kernel elq_conv_i8i32_i8__neon = {
    .name = "elq_conv_i8i32_i8__neon", .isa = ELQ_NEON, .weights = ELQ_FULL, I8_SUMS(i8)};

#undef TILE1
#undef TILE2
#define VECTOR_BYTES 16
#define TILE1 15
#define TILE2 9
#define LEAST 1 /* plain C does them */
#define QUAD(v) ((float32x4_t)(v))
#define MAXIMUM(low, v) ((VEC)vbslq_f32(vcltq_f32(QUAD(v), QUAD(low)), QUAD(low), QUAD(v)))
#define MINIMUM(high, v) ((VEC)vbslq_f32(vcgtq_f32(QUAD(v), QUAD(high)), QUAD(high), QUAD(v)))
#include "infer/f32_kernels.inc.h"

const elq_kernel elq_conv_f32_t2_winograd__neon = {
    .name = "elq_conv_f32_t2_winograd__neon", .isa = ELQ_NEON, .weights = ELQ_T2, F32_WINOGRAD(t2)};
const elq_kernel elq_conv_f32_b1_winograd__neon = {
    .name = "elq_conv_f32_b1_winograd__neon", .isa = ELQ_NEON, .weights = ELQ_B1, F32_WINOGRAD(b1)};
const elq_kernel elq_conv_f32_t2_depthwise__neon = {
    .name = "elq_conv_f32_t2_depthwise__neon", .isa = ELQ_NEON, .weights = ELQ_T2, F32_DEPTHWISE(t2)};
const elq_kernel elq_conv_f32_b1_depthwise__neon = {
    .name = "elq_conv_f32_b1_depthwise__neon", .isa = ELQ_NEON, .weights = ELQ_B1, F32_DEPTHWISE(b1)};
const elq_kernel elq_conv_f32_f32_depthwise__neon = {
    .name = "elq_conv_f32_f32_depthwise__neon", .isa = ELQ_NEON, .weights = ELQ_FULL, F32_DEPTHWISE(f32)};
const elq_kernel elq_conv_f32_t2__neon = {
    .name = "elq_conv_f32_t2__neon", .isa = ELQ_NEON, .weights = ELQ_T2, F32_DIRECT(t2)};
const elq_kernel elq_conv_f32_b1__neon = {
    .name = "elq_conv_f32_b1__neon", .isa = ELQ_NEON, .weights = ELQ_B1, F32_DIRECT(b1)};
const elq_kernel elq_conv_f32_f32__neon = {
    .name = "elq_conv_f32_f32__neon", .isa = ELQ_NEON, .weights = ELQ_FULL, F32_DIRECT(f32)};

/* The limits. Bytes: smlal, 8 products and 16-bit sums, which only ternary and binary weights may use. */
#include "infer/limit.h"

#define FMA_STEP(sum) __asm__ volatile("fmla %0.4s, %2.4s, %2.4s" : "+w"(sum), "=w"(t) : "w"(x));
#define BYTES_STEP(sum) __asm__ volatile("smlal %0.8h, %2.8b, %2.8b" : "+w"(sum), "=w"(t) : "w"(x));

ELQ_LIMIT(elq_limit_f32__neon, "fmla", ELQ_NEON, ELQ_F32, float32x4_t, FMA_STEP, 4)
ELQ_LIMIT(elq_limit_i8__neon, "smlal", ELQ_NEON, ELQ_I8, int8x16_t, BYTES_STEP, 8)
