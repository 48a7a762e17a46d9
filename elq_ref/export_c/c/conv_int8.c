#include "layer.h"
#include "tail.c"

/* Convolution by int8 weights, four to a word from its low end; every row starts at a word. */
static void conv_int8(const conv_t *layer, const int8_t *x, int8_t *y) {
    const shape_t *g = layer->shape;
    const int words = (g->k + 3) / 4, inputs = g->c / g->groups, outputs = g->o / g->groups;
    for (int p = 0; p < g->p; p++)
        for (int q = 0; q < g->q; q++)
            for (int o = 0; o < g->o; o++) {
                const uint32_t *row = layer->weights + (uint32_t)(o * words);
                const int8_t *group = x + o / outputs * inputs;
                int32_t sum = 0;
                int k = 0;
                for (int i = 0; i < g->kh; i++)
                    for (int j = 0; j < g->kw; j++) {
                        const int r = p * g->sy - g->top + i * g->dy, t = q * g->sx - g->left + j * g->dx;
                        if (r < 0 || r >= g->h || t < 0 || t >= g->w) {
                            k += inputs;
                            continue;
                        }
                        const int8_t *pixel = group + (r * g->w + t) * g->c;
                        for (int c = 0; c < inputs; c++, k++)
                            sum += (int8_t)(uint8_t)(row[k / 4] >> (k % 4 * 8)) * pixel[c];
                    }
                emit(layer, o, sum, y, (p * g->q + q) * g->o + o);
            }
}
