#include "layer.h"

/* The channels from `first` on; y may be x. */
static void slice(const shape_t *g, int first, const int8_t *x, int8_t *y) {
    x += first;
    for (int pixel = 0; pixel < g->p * g->q; pixel++, x += g->c)
        for (int c = 0; c < g->o; c++) *y++ = x[c];
}
