#include "layer.h"

/* Functions that become part of the code where they are called, with arguments that are constants there. */
#if defined __GNUC__
#define INLINE static inline __attribute__((always_inline, unused))
#else
#define INLINE static inline
#endif

/* The high 32 bits of a product, 0 <= q < 2^31. A core without 64-bit products makes it of 16-bit pieces. */
static inline int32_t high_word(int32_t a, int32_t q) {
#if defined __ARM_ARCH_6M__ || defined __ARM_ARCH_8M_BASE__
    const uint32_t a0 = (uint32_t)a & 0xFFFFU, q0 = (uint32_t)q & 0xFFFFU;
    const int32_t a1 = a >> 16, q1 = q >> 16, middle = a1 * (int32_t)q0 + (int32_t)(a0 * q0 >> 16);
    return a1 * q1 + (middle >> 16) + (int32_t)((a0 * (uint32_t)q1 + ((uint32_t)middle & 0xFFFFU)) >> 16);
#else
    return (int32_t)(((int64_t)a * q) >> 32);
#endif
}

/* int8 from sum(w x) of output channel o: clamp((((sum + b) << l) * q + 2^(s - 1)) >> s, lo, 127). As s >= 33, only the
 * high word of the product counts, and with n = s - 33, (high + 2^n) >> (n + 1) is ((high >> n) + 1) >> 1. */
static inline int8_t requantize(int32_t sum, const conv_t *layer, int o) {
    const int32_t q = layer->q[o], b = layer->b[o], lo = layer->shape->lo;
    if (q == 0) return (int8_t)b;
    const int32_t high = high_word((int32_t)((uint32_t)(sum + b) << layer->shape->l), q);
    const int32_t y = ((high >> (layer->s[o] - 33)) + 1) >> 1;
    if (y > 127) return 127;
    return (int8_t)(y < lo ? lo : y);
}

/* The same sum as the int32 that the caller of the last layer gets. */
static inline int32_t raw_sum(int32_t sum, const conv_t *layer, int o) {
    const int32_t raw = layer->q[o] == 0 ? layer->b[o] : sum + layer->b[o];
    return raw < 0 && layer->shape->lo == 0 ? 0 : raw;
}

/* Element `at` of the value, from sum(w x), with the constants of channel o. */
static inline void emit(const conv_t *layer, int o, int32_t sum, int8_t *y, int at) {
    if (layer->raw != NULL) layer->raw[at] = raw_sum(sum, layer, o);
    else y[at] = requantize(sum, layer, o);
}

/* Elements `at` and one pixel further, of the same channel. */
INLINE void emit_two(const conv_t *layer, int o, int32_t first, int32_t second, int8_t *y, int at) {
    if (layer->raw != NULL) {
        emit(layer, o, first, y, at);
        emit(layer, o, second, y, at + layer->shape->o);
        return;
    }
    const int8_t here = requantize(first, layer, o), there = requantize(second, layer, o);
    y[at] = here; /* behind both: a store might change the constants, as far as the compiler knows */
    y[at + layer->shape->o] = there;
}
