/* Convolution with int8 activations in plain C. Inputs and weights are widened to 16 bits, whose sums of products
 * compilers know (pmaddwd, smlal); 256 of them stay below 2^23, and beyond that sums are unsigned. */
#include "common/cpu.h"
#include "infer/kernels.h"

typedef int8_t element;
typedef int16_t number;
typedef uint32_t sum_t;
typedef elq_tail_i8 tail_t;

#include "infer/conv.inc.h"

static void eight_sums(const int16_t *x, const int16_t *w, ptrdiff_t depth, uint32_t *sums) {
    const int16_t *x1 = x + DEPTH, *x2 = x1 + DEPTH, *x3 = x2 + DEPTH, *w1 = w + DEPTH;
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
    for (ptrdiff_t k = 0; k < depth; k++) {
        a0 += w[k] * x[k], b0 += w1[k] * x[k];
        a1 += w[k] * x1[k], b1 += w1[k] * x1[k];
        a2 += w[k] * x2[k], b2 += w1[k] * x2[k];
        a3 += w[k] * x3[k], b3 += w1[k] * x3[k];
    }
    sums[0] += (uint32_t)a0, sums[1] += (uint32_t)a1, sums[2] += (uint32_t)a2, sums[3] += (uint32_t)a3;
    sums += STRIP;
    sums[0] += (uint32_t)b0, sums[1] += (uint32_t)b1, sums[2] += (uint32_t)b2, sums[3] += (uint32_t)b3;
}

static uint32_t one_sum(const int16_t *x, const int16_t *w, ptrdiff_t depth) {
    int32_t sum = 0;
    for (ptrdiff_t k = 0; k < depth; k++) sum += w[k] * x[k];
    return (uint32_t)sum;
}

static void finish(const elq_tail_i8 *tail, const uint32_t *sums, ptrdiff_t first, ptrdiff_t channels,
                   const int8_t *residual, void *y_all, ptrdiff_t at) {
    int8_t *y = (int8_t *)y_all + at;
    for (ptrdiff_t k = 0; k < channels; k++) {
        const ptrdiff_t o = first + k;
        const int32_t a = (int32_t)(sums[k * STRIP] + (uint32_t)tail->b[o]);
        const int v = elq_requantize(a, tail->l, tail->q[o], tail->s[o], tail->lo[o], tail->hi[o]);
        y[k] = (int8_t)(residual ? elq_add_i8(v, residual[k], tail) : v);
    }
}

static void store_sums(const elq_tail_i8 *tail, const uint32_t *sums, ptrdiff_t first, ptrdiff_t channels,
                       const int8_t *residual, void *y, ptrdiff_t at) {
    (void)residual;
    for (ptrdiff_t k = 0; k < channels; k++)
        ((int32_t *)y)[at + k] = (int32_t)(sums[k * STRIP] + (uint32_t)tail->b[first + k]);
}

GENERIC_FUNCTIONS(t2, 2)
GENERIC_FUNCTIONS(b1, 1)
GENERIC_FUNCTIONS(i8, 8)
GENERIC_RUN(run_t2, 2, decode_t2, finish)
GENERIC_RUN(run_b1, 1, decode_b1, finish)
GENERIC_RUN(run_i8, 8, decode_full, finish)
GENERIC_RUN(sums_t2, 2, decode_t2, store_sums)
GENERIC_RUN(sums_b1, 1, decode_b1, store_sums)
GENERIC_RUN(sums_i8, 8, decode_full, store_sums)

const elq_kernel elq_conv_i8_t2__generic = {
    .name = "elq_conv_i8_t2__generic", .isa = ELQ_GENERIC, .activations = ELQ_I8, .weights = ELQ_T2, GENERIC(t2)};
const elq_kernel elq_conv_i8_b1__generic = {
    .name = "elq_conv_i8_b1__generic", .isa = ELQ_GENERIC, .activations = ELQ_I8, .weights = ELQ_B1, GENERIC(b1)};
const elq_kernel elq_conv_i8_i8__generic = {
    .name = "elq_conv_i8_i8__generic", .isa = ELQ_GENERIC, .activations = ELQ_I8, .weights = ELQ_FULL, GENERIC(i8)};
const elq_kernel elq_conv_i8i32_t2__generic = {.name = "elq_conv_i8i32_t2__generic",
                                               .isa = ELQ_GENERIC,
                                               .activations = ELQ_I8_SUMS,
                                               .weights = ELQ_T2,
                                               GENERIC_SUMS(t2)};
const elq_kernel elq_conv_i8i32_b1__generic = {.name = "elq_conv_i8i32_b1__generic",
                                               .isa = ELQ_GENERIC,
                                               .activations = ELQ_I8_SUMS,
                                               .weights = ELQ_B1,
                                               GENERIC_SUMS(b1)};
const elq_kernel elq_conv_i8i32_i8__generic = {.name = "elq_conv_i8i32_i8__generic",
                                               .isa = ELQ_GENERIC,
                                               .activations = ELQ_I8_SUMS,
                                               .weights = ELQ_FULL,
                                               GENERIC_SUMS(i8)};
