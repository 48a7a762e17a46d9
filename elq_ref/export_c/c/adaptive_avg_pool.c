#include "average.c"
#include "layer.h"
#include "window.h"

/* Part i of `parts` of an axis: floor(i length / parts) .. ceil((i + 1) length / parts) - 1. */
static window_t part_of(uint32_t i, uint32_t parts, uint32_t length) {
    const int first = (int)(i * length / parts), last = (int)(((i + 1) * length + parts - 1) / parts);
    const window_t w = {first, last, last - first};
    return w;
}

/* Averages of parts; y may be x where no window begins before its own pixel of y. */
static void adaptive_avg_pool(const conv_t *layer, const uint16_t *counts, const int8_t *x, int8_t *y) {
    const shape_t *g = layer->shape;
    for (int p = 0; p < g->p; p++)
        for (int q = 0; q < g->q; q++) {
            const window_t rows = part_of((uint32_t)p, g->p, g->h), columns = part_of((uint32_t)q, g->q, g->w);
            average(layer, counts, rows, columns, x, y, p * g->q + q);
        }
}
