#include "depthwise.c"
#include "layer.h"

/* One input channel an output channel, binary weights of one bit, 1 for -1. */
static void depthwise_sign(const conv_t *layer, const int8_t *x, int8_t *y, void *scratch) {
    conv_depthwise(1, layer, x, y, scratch);
}
