#include "layer.h"
#include "tail.c"

/* Products, requantized by one b, q and s; b is as long as a, or has a number for each channel of a: n. y may be a, and b
 * where that is as long. */
static void mul(const conv_t *layer, int n, const int8_t *a, const int8_t *b, int8_t *y) {
    const shape_t *g = layer->shape;
    int i = 0;
    for (int at = 0; at < g->p * g->q * g->o; at++) {
        emit(layer, 0, a[at] * b[i], y, at);
        if (++i == n) i = 0;
    }
}
