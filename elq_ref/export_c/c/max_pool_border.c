#include "layer.h"
#include "window.c"

/* Maximum of what lies inside; y may be x where no window begins before its own pixel of y. */
static void max_pool_border(const shape_t *g, const int8_t *x, int8_t *y) {
    for (int p = 0; p < g->p; p++)
        for (int q = 0; q < g->q; q++) {
            const window_t rows = window_at(p * g->sy - g->top, g->kh, g->h, 0, 0);
            const window_t columns = window_at(q * g->sx - g->left, g->kw, g->w, 0, 0);
            for (int c = 0; c < g->c; c++) {
                int8_t most = -128;
                for (int i = rows.first; i < rows.last; i++)
                    for (int j = columns.first; j < columns.last; j++) {
                        const int8_t element = x[(i * g->w + j) * g->c + c];
                        if (element > most) most = element;
                    }
                *y++ = most;
            }
        }
}
