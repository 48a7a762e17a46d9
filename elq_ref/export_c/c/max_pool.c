#include "layer.h"

/* Maximum of whole windows; y may be x. */
static void max_pool(const shape_t *g, const int8_t *x, int8_t *y) {
    for (int p = 0; p < g->p; p++)
        for (int q = 0; q < g->q; q++)
            for (int c = 0; c < g->c; c++) {
                const int8_t *window = x + (p * g->sy * g->w + q * g->sx) * g->c + c;
                int8_t most = *window;
                for (int i = 0; i < g->kh; i++)
                    for (int j = 0; j < g->kw; j++) {
                        const int8_t element = window[(i * g->w + j) * g->c];
                        if (element > most) most = element;
                    }
                *y++ = most;
            }
}
