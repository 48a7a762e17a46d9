#include "layer.h"

/* The pixels of every sy-th row and sx-th column; y may be x. */
static void subsample(const shape_t *g, const int8_t *x, int8_t *y) {
    for (int p = 0; p < g->p; p++)
        for (int q = 0; q < g->q; q++) {
            const int8_t *pixel = x + (p * g->sy * g->w + q * g->sx) * g->c;
            for (int c = 0; c < g->c; c++) *y++ = pixel[c];
        }
}
