#include "layer.h"
#include "tail.c"

#if defined __ARM_NEON
#include <arm_neon.h>

/* Adds 16 products of bytes to four sums; two of them must fit 16 bits. */
INLINE int32x4_t dot_16(int32x4_t sums, int8x16_t a, int8x16_t b) {
#if defined __ARM_FEATURE_DOTPROD
    return vdotq_s32(sums, a, b);
#else
    return vpadalq_s16(sums, vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(b)), vget_high_s8(a), vget_high_s8(b)));
#endif
}

/* The sum of each. */
INLINE int32x4_t four_sums(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) {
#if defined __aarch64__
    return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
#else
    const int32x2_t two =
        vpadd_s32(vadd_s32(vget_low_s32(a), vget_high_s32(a)), vadd_s32(vget_low_s32(b), vget_high_s32(b)));
    return vcombine_s32(
        two, vpadd_s32(vadd_s32(vget_low_s32(c), vget_high_s32(c)), vadd_s32(vget_low_s32(d), vget_high_s32(d))));
#endif
}

INLINE int32_t one_sum(int32x4_t a) { return vgetq_lane_s32(four_sums(a, a, a, a), 0); }

/* Element `at` and those of the next three pixels, of one channel. */
INLINE void emit_four(const conv_t *layer, int o, int32x4_t sums, int8_t *y, int at) {
    const shape_t *g = layer->shape;
    if (layer->raw != NULL || layer->q[o] == 0) {
        int32_t each[4];
        vst1q_s32(each, sums);
        for (int p = 0; p < 4; p++) emit(layer, o, each[p], y, at + p * g->o);
        return;
    }
    const int32x4_t shifted = vshlq_s32(vaddq_s32(sums, vdupq_n_s32(layer->b[o])), vdupq_n_s32(g->l));
    const int32x2_t low = vshrn_n_s64(vmull_n_s32(vget_low_s32(shifted), layer->q[o]), 32);
    const int32x2_t high = vshrn_n_s64(vmull_n_s32(vget_high_s32(shifted), layer->q[o]), 32);
    int32x4_t four = vshlq_s32(vcombine_s32(low, high), vdupq_n_s32(33 - layer->s[o]));
    four = vshrq_n_s32(vaddq_s32(four, vdupq_n_s32(1)), 1);
    four = vminq_s32(vmaxq_s32(four, vdupq_n_s32(g->lo)), vdupq_n_s32(127));
    y[at] = (int8_t)vgetq_lane_s32(four, 0);
    y[at + g->o] = (int8_t)vgetq_lane_s32(four, 1);
    y[at + 2 * g->o] = (int8_t)vgetq_lane_s32(four, 2);
    y[at + 3 * g->o] = (int8_t)vgetq_lane_s32(four, 3);
}
#endif
