#include "layer.h"
#include "tail.c"

/* Sums of whole windows, requantized by one b, q and s, in which the division is; y may be x. */
static void avg_pool(const conv_t *layer, const int8_t *x, int8_t *y) {
    const shape_t *g = layer->shape;
    int at = 0;
    for (int p = 0; p < g->p; p++)
        for (int q = 0; q < g->q; q++)
            for (int c = 0; c < g->c; c++, at++) {
                const int8_t *window = x + (p * g->sy * g->w + q * g->sx) * g->c + c;
                int32_t sum = 0;
                for (int i = 0; i < g->kh; i++)
                    for (int j = 0; j < g->kw; j++) sum += window[(i * g->w + j) * g->c];
                emit(layer, 0, sum, y, at);
            }
}
