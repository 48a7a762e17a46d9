#include "layer.h"

/* One channel of each group, then the next of each. */
static void shuffle(const shape_t *g, const int8_t *x, int8_t *y) {
    const int each = g->c / g->groups;
    for (int pixel = 0; pixel < g->p * g->q; pixel++, x += g->c)
        for (int c = 0; c < each; c++)
            for (int group = 0; group < g->groups; group++) *y++ = x[group * each + c];
}
