#include "depthwise.c"
#include "layer.h"

/* One input channel an output channel, weights of a byte. */
static void depthwise_int8(const conv_t *layer, const int8_t *x, int8_t *y, void *scratch) {
    conv_depthwise(8, layer, x, y, scratch);
}
