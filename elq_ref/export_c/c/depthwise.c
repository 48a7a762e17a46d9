#include "layer.h"
#include "tail.c"

/* Convolution where each output channel reads one input channel: its weights are unpacked once, to bytes, and move over
 * the picture. Nothing is gathered, for nothing would be used twice. A row of weights begins at a word, weight k at bit
 * bits * k of it. */
INLINE int weight_of(const int bits, const uint32_t *row, int k) {
    const uint32_t field = row[k * bits / 32] >> (k * bits % 32);
    return bits == 8 ? (int8_t)(field & 0xFF) : bits == 2 ? (int)(field & 3) - 1 : 1 - 2 * (int)(field & 1);
}

/* Of a window that begins at `at` and steps by `step`, the first element that is not before 0, and the first that is not
 * before `size`; `count` of them there are. */
static inline void clip(int at, int step, int count, int size, int *first, int *end) {
    *first = 0;
    *end = count;
    while (*first < count && at + *first * step < 0) ++*first;
    while (*end > *first && at + (*end - 1) * step >= size) --*end;
}

/* The sum of rows of taps; from one row to the next it is `over` bytes in x. */
static inline int32_t sum_of_taps(const int8_t *w, int kw, const int8_t *x, int rows, int columns, int step, int over) {
    int32_t sum = 0;
    for (; rows > 0; rows--, w += kw, x += over) {
        const int8_t *tap = x;
        for (int j = 0; j < columns; j++, tap += step) sum += w[j] * *tap;
    }
    return sum;
}

INLINE void conv_depthwise(const int bits, const conv_t *layer, const int8_t *x, int8_t *y, void *scratch) {
    const shape_t *g = layer->shape;
    const int words = (g->k * bits + 31) / 32, outputs = g->o / g->groups, step = g->dx * g->c,
              over = g->dy * g->w * g->c;
    int8_t *const w = scratch;
    for (int o = 0; o < g->o; o++) {
        const int8_t *channel = x + o / outputs;
        for (int k = 0; k < g->k; k++) w[k] = (int8_t)weight_of(bits, layer->weights + o * words, k);
        for (int p = 0, at = o, r = -g->top; p < g->p; p++, r += g->sy) {
            int i, rows;
            clip(r, g->dy, g->kh, g->h, &i, &rows);
            for (int q = 0, c = -g->left; q < g->q; q++, c += g->sx, at += g->o) {
                int j = 0, columns = g->kw;
                if (c < 0 || c + (g->kw - 1) * g->dx >= g->w) clip(c, g->dx, g->kw, g->w, &j, &columns);
                const int8_t *w0 = w + i * g->kw + j;
                const int at_x = ((r + i * g->dy) * g->w + c + j * g->dx) * g->c, some = i < rows && j < columns;
                const int32_t sum =
                    some ? sum_of_taps(w0, g->kw, channel + at_x, rows - i, columns - j, step, over) : 0;
                emit(layer, o, sum, y, at);
            }
        }
    }
}
