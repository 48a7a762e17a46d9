#include "average.c"
#include "layer.h"
#include "window.c"

/* Averages of windows with a border, of which so much counts (top, left, bottom, right); y may be x where no window begins
 * before its own pixel of y. */
static void avg_pool_border(const conv_t *layer, const uint16_t *counts, const uint16_t *border, const int8_t *x,
                            int8_t *y) {
    const shape_t *g = layer->shape;
    for (int p = 0; p < g->p; p++)
        for (int q = 0; q < g->q; q++) {
            const window_t rows = window_at(p * g->sy - g->top, g->kh, g->h, border[0], border[2]);
            const window_t columns = window_at(q * g->sx - g->left, g->kw, g->w, border[1], border[3]);
            average(layer, counts, rows, columns, x, y, p * g->q + q);
        }
}
