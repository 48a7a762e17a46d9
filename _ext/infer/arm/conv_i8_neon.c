/* Convolution with int8 activations, the baseline of aarch64.
 *
 * Codes: smlal adds products to sums of 16 bits, each output having four of them; at most 128 a step, so that 255 steps
 * stay below 2^15. Int8 weights: smull, and sadalp adds pairs to sums of 32 bits, two for each output. */
#include "infer/i8_neon.h"

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

KERNEL(t2, neon, ELQ_NEON, ELQ_T2)
KERNEL(b1, neon, ELQ_NEON, ELQ_B1)
KERNEL(i8, neon, ELQ_NEON, ELQ_FULL)

DEPTHWISE(t2, neon, ELQ_NEON, ELQ_T2)
DEPTHWISE(b1, neon, ELQ_NEON, ELQ_B1)
DEPTHWISE(i8, neon, ELQ_NEON, ELQ_FULL)
