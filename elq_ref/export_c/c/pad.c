#include "layer.h"

/* Zeros around x: `front` channels before the first, top rows, left columns, and what is left of the value behind. */
static void pad(const shape_t *g, int front, const int8_t *x, int8_t *y) {
    memset(y, 0, (uint32_t)(g->p * g->q * g->o));
    for (int r = 0; r < g->h; r++)
        for (int t = 0; t < g->w; t++, x += g->c)
            memcpy(y + ((r + g->top) * g->q + t + g->left) * g->o + front, x, g->c);
}
