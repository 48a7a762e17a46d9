#include "layer.h"

/* From the order row, column, channel to the order channel, row, column. */
static void flatten(const shape_t *g, const int8_t *x, int8_t *y) {
    for (int c = 0; c < g->c; c++)
        for (int pixel = 0; pixel < g->h * g->w; pixel++) *y++ = x[pixel * g->c + c];
}
