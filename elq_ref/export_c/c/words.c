#include "layer.h"
#include "tail.c"
#if defined __ARM_FEATURE_DSP
#include <arm_acle.h>
#endif

/* Bytes x0 x1 x2 x3 -> two words of int16 lanes, x0 x2 and x1 x3. Without DSP extension a lane's sign is borrowed from the
 * one above it: the word is x0 + 2^16 x2. */
INLINE uint32_t even_lanes(uint32_t four) {
#if defined __ARM_FEATURE_DSP
    return (uint32_t)__sxtb16((int8x4_t)four);
#else
    return ((four ^ 0x80808080U) & 0xFF00FFU) - 0x800080U;
#endif
}

INLINE uint32_t odd_lanes(uint32_t four) {
#if defined __ARM_FEATURE_DSP
    return (uint32_t)__sxtb16((int8x4_t)(four >> 8 | four << 24));
#else
    return ((four ^ 0x80808080U) >> 8 & 0xFF00FFU) - 0x800080U;
#endif
}

INLINE uint32_t word_at(const int8_t *x) { /* a multiple of 4 */
    uint32_t word;
#if defined __GNUC__
    memcpy(&word, __builtin_assume_aligned(x, 4), 4);
#else
    memcpy(&word, x, 4);
#endif
    return word;
}
