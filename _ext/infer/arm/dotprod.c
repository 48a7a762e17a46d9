/* Convolution with int8 activations, aarch64 with SDOT: four products of int8 added to an int32. */
#include "infer/arm/i8_neon.h"

#define TILE1 16
#define TILE2 12
#define SUMS int32x4_t
#define WIDE_WEIGHTS 0
#define MOST_STEPS(weights) ((void)(weights), 0)
#define sums_zero() vdupq_n_s32(0)
#define sums_step(sums, x, w, weights) vdotq_s32(sums, x, w)
#define sums_widen(sums, weights) (sums)

#include "infer/i8_conv.inc.h"

const elq_kernel elq_conv_i8_t2__dotprod = {
    .name = "elq_conv_i8_t2__dotprod", .isa = ELQ_DOTPROD, .weights = ELQ_T2, I8_CONV(t2)};
const elq_kernel elq_conv_i8_b1__dotprod = {
    .name = "elq_conv_i8_b1__dotprod", .isa = ELQ_DOTPROD, .weights = ELQ_B1, I8_CONV(b1)};
const elq_kernel elq_conv_i8_i8__dotprod = {
    .name = "elq_conv_i8_i8__dotprod", .isa = ELQ_DOTPROD, .weights = ELQ_FULL, I8_CONV(i8)};
const elq_kernel elq_conv_i8i32_t2__dotprod = {
    .name = "elq_conv_i8i32_t2__dotprod", .isa = ELQ_DOTPROD, .weights = ELQ_T2, I8_SUMS(t2)};
const elq_kernel elq_conv_i8i32_b1__dotprod = {
    .name = "elq_conv_i8i32_b1__dotprod", .isa = ELQ_DOTPROD, .weights = ELQ_B1, I8_SUMS(b1)};
const elq_kernel elq_conv_i8i32_i8__dotprod = {
    .name = "elq_conv_i8i32_i8__dotprod", .isa = ELQ_DOTPROD, .weights = ELQ_FULL, I8_SUMS(i8)};

/* The limit: 16 products, summed by four into 32 bits. */
#include "infer/limit.h"

#define BYTES_STEP(sum) __asm__ volatile("sdot %0.4s, %2.16b, %2.16b" : "+w"(sum), "=w"(t) : "w"(x));

ELQ_LIMIT(elq_limit_i8__dotprod, "sdot", ELQ_DOTPROD, ELQ_I8, int8x16_t, BYTES_STEP, 16)
