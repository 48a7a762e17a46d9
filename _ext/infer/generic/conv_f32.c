/* Convolution with float activations in plain C. A dot product runs in four lanes, one for every k mod 4. */
#include "common/cpu.h"
#include "infer/kernels.h"

typedef float element, number, sum_t;
typedef elq_tail_f32 tail_t;

#include "infer/conv.inc.h"

/* Four floats side by side: SSE, NEON, or four scalars where the target has neither. */
typedef float quad __attribute__((vector_size(16)));

static inline quad load(const float *from) {
    quad value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline float total(quad v) { return (v[0] + v[2]) + (v[1] + v[3]); }

static void eight_sums(const float *x, const float *w, ptrdiff_t depth, float *sums) {
    const float *x1 = x + DEPTH, *x2 = x1 + DEPTH, *x3 = x2 + DEPTH, *w1 = w + DEPTH;
    quad a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};
    for (ptrdiff_t k = 0; k < depth; k += 4) {
        const quad a = load(w + k), b = load(w1 + k);
        quad v = load(x + k);
        a0 += a * v, b0 += b * v;
        v = load(x1 + k);
        a1 += a * v, b1 += b * v;
        v = load(x2 + k);
        a2 += a * v, b2 += b * v;
        v = load(x3 + k);
        a3 += a * v, b3 += b * v;
    }
    sums[0] += total(a0), sums[1] += total(a1), sums[2] += total(a2), sums[3] += total(a3);
    sums += STRIP;
    sums[0] += total(b0), sums[1] += total(b1), sums[2] += total(b2), sums[3] += total(b3);
}

static float one_sum(const float *x, const float *w, ptrdiff_t depth) {
    quad sum = {0};
    for (ptrdiff_t k = 0; k < depth; k += 4) sum += load(w + k) * load(x + k);
    return total(sum);
}

static void finish(const elq_tail_f32 *tail, const float *sums, ptrdiff_t first, ptrdiff_t channels,
                   const float *residual, void *y_all, ptrdiff_t at) {
    float *y = (float *)y_all + at;
    for (ptrdiff_t o = 0; o < channels; o++) {
        float v = tail->scale[first + o] * sums[o * STRIP] + tail->bias[first + o];
        if (residual) v += residual[o];
        y[o] = elq_bounded(v, tail->low, tail->high);
    }
}

GENERIC_FUNCTIONS(t2, 2)
GENERIC_FUNCTIONS(b1, 1)
GENERIC_FUNCTIONS(f32, 32)
GENERIC_RUN(run_t2, 2, decode_t2, finish)
GENERIC_RUN(run_b1, 1, decode_b1, finish)
GENERIC_RUN(run_f32, 32, decode_full, finish)

const elq_kernel elq_conv_f32_t2__generic = {
    .name = "elq_conv_f32_t2__generic", .isa = ELQ_GENERIC, .activations = ELQ_F32, .weights = ELQ_T2, GENERIC(t2)};
const elq_kernel elq_conv_f32_b1__generic = {
    .name = "elq_conv_f32_b1__generic", .isa = ELQ_GENERIC, .activations = ELQ_F32, .weights = ELQ_B1, GENERIC(b1)};
const elq_kernel elq_conv_f32_f32__generic = {
    .name = "elq_conv_f32_f32__generic", .isa = ELQ_GENERIC, .activations = ELQ_F32, .weights = ELQ_FULL, GENERIC(f32)};
