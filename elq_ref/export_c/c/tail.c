#include "layer.h"

/* int8 from sum(w x) of output channel o: clamp((((sum + b) << l) * q + 2^(s - 1)) >> s, lo, 127). As s >= 33, only the
 * high word of the product counts. */
static inline int8_t requantize(int32_t sum, const conv_t *layer, int o) {
    const int32_t q = layer->q[o], b = layer->b[o];
    if (q == 0) return (int8_t)b;
    const int s = layer->s[o];
    const int32_t shifted = (int32_t)((uint32_t)(sum + b) << layer->shape->l);
    const int32_t high = (int32_t)(((int64_t)shifted * q) >> 32);
    const int32_t y = (high + (int32_t)(1U << (s - 33))) >> (s - 32);
    if (y > 127) return 127;
    return (int8_t)(y < layer->shape->lo ? layer->shape->lo : y);
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
