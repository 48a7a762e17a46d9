#include "layer.h"
#include "tail.c"
#include "window.h"

/* The average of a window, all channels of pixel `pixel`: b, q and s are those of the number that it counts. */
static void average(const conv_t *layer, const uint16_t *counts, window_t rows, window_t columns, const int8_t *x,
                    int8_t *y, int pixel) {
    const shape_t *g = layer->shape;
    int which = 0;
    while (counts[which] != rows.counted * columns.counted) which++;
    for (int c = 0; c < g->c; c++) {
        int32_t sum = 0;
        for (int i = rows.first; i < rows.last; i++)
            for (int j = columns.first; j < columns.last; j++) sum += x[(i * g->w + j) * g->c + c];
        emit(layer, which, sum, y, pixel * g->c + c);
    }
}
