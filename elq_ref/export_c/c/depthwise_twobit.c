#include "depthwise.c"
#include "layer.h"

/* One input channel an output channel, ternary weights of two bits, w + 1. */
static void depthwise_twobit(const conv_t *layer, const int8_t *x, int8_t *y, void *scratch) {
    conv_depthwise(2, layer, x, y, scratch);
}
