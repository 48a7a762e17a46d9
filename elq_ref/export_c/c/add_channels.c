#include "layer.h"

/* clamp((a q1 + b q2 + 2^(s - 1)) >> s, lo, 127) of n elements, b one for each of c channels; y may be a. */
static void add_channels(const add_t *g, int c, const int8_t *a, const int8_t *b, int8_t *y, int n) {
    const int32_t half = (int32_t)(1U << (g->s - 1));
    int channel = 0;
    for (int i = 0; i < n; i++) {
        const int32_t sum = (a[i] * g->q1 + b[channel] * g->q2 + half) >> g->s;
        y[i] = (int8_t)(sum > 127 ? 127 : sum < g->lo ? g->lo : sum);
        if (++channel == c) channel = 0;
    }
}
