#include "layer.h"
#include "tail.c"

/* Every channel times 64, or -64 where its bit of the weights is set (32 to a word from its low end), requantized; y may
 * be x. */
static void scale_shift(const conv_t *layer, const int8_t *x, int8_t *y) {
    const shape_t *g = layer->shape;
    int at = 0;
    for (int pixel = 0; pixel < g->p * g->q; pixel++)
        for (int c = 0; c < g->c; c++, at++) {
            const int negative = (int)(layer->weights[c / 32] >> (c % 32) & 1);
            emit(layer, c, x[at] * (negative ? -64 : 64), y, at);
        }
}
