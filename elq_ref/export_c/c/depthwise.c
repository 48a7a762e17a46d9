#include "layer.h"
#include "tail.c"

/* Convolution where each output channel reads one input channel, whose rows are copied with their border, each once. Codes
 * compute two neighbouring pixels in one word: at a column it holds the operand of the one and, 16 bits higher, that of the
 * other, `sx` columns further; a sum of 255 products fits. Weights of a byte compute one pixel. A row of weights begins at
 * a word, weight k at bit bits * k of it. */
INLINE int weight_of(const int bits, const uint32_t *row, int k) {
    const uint32_t field = row[k * bits / 32] >> (k * bits % 32);
    return bits == 8 ? (int8_t)(field & 0xFF) : bits == 2 ? (int)(field & 3) - 1 : 1 - 2 * (int)(field & 1);
}

/* Row y of a channel as words. */
static void copy_line(const shape_t *g, const int8_t *x, int y, int width, int pixels, uint32_t *to) {
    memset(to, 0, (size_t)width * 4);
    if (y < 0 || y >= g->h) return;
    x += y * g->w * g->c;
    for (int pixel = 0; pixel < pixels; pixel++) {
        const int begin = g->left - pixel * g->sx, skipped = begin < 0 ? -begin : 0; /* columns before the words */
        const int count = g->w < width - begin ? g->w : width - begin;
        const int8_t *from = x + skipped * g->c;
        for (int column = skipped; column < count; column++, from += g->c)
            to[begin + column] += (uint32_t)*from << 16 * pixel;
    }
}

/* The sum over a window that begins at `line` in words, which go on at `first` behind `end`: `down` is one step. */
APART static uint32_t sum_of_window(const shape_t *g, const int8_t *w, const uint32_t *line, int down,
                                    const uint32_t *end, int size) {
    const int kw = g->kw, dx = g->dx;
    uint32_t sum = 0;
    for (int i = g->kh; i > 0; i--, w += kw) {
        if (kw == 3) sum += (uint32_t)w[0] * line[0] + (uint32_t)w[1] * line[dx] + (uint32_t)w[2] * line[2 * dx];
        else
            for (int j = 0, at = 0; j < kw; j++, at += dx) sum += (uint32_t)w[j] * line[at];
        line += down;
        if (line >= end) line -= size;
    }
    return sum;
}

INLINE void conv_depthwise(const int bits, const conv_t *layer, const int8_t *x, int8_t *y, void *scratch) {
    const shape_t *g = layer->shape;
    const int words = (g->k * bits + 31) / 32, outputs = g->o / g->groups, pixels = bits == 8 ? 1 : 2;
    const int width = (g->q - 1) * g->sx + (g->kw - 1) * g->dx + 1, lines = (g->kh - 1) * g->dy + 1;
    uint32_t *const first = scratch, *const end = first + lines * width;
    int8_t *const w = (int8_t *)end;
    for (int o = 0; o < g->o; o++) {
        uint32_t *next = first, *top = first; /* where the next line goes, where the window begins */
        int to_come = -g->top;
        for (int k = 0; k < g->k; k++) w[k] = (int8_t)weight_of(bits, layer->weights + o * words, k);
        for (int p = 0, at = o, r = -g->top; p < g->p; p++, r += g->sy) {
            for (; to_come < r + lines; to_come++) {
                if (to_come >= r) copy_line(g, x + o / outputs, to_come, width, pixels, next);
                next = next + width == end ? first : next + width;
            }
            for (int q = 0; q < g->q; q += pixels, at += pixels * g->o) {
                const uint32_t sum = sum_of_window(g, w, top + q * g->sx, g->dy * width, end, lines * width);
                const int32_t one = pixels == 1 ? (int32_t)sum : (int16_t)(sum & 0xFFFFU);
                if (pixels == 1 || q + 1 == g->q) emit(layer, o, one, y, at);
                else emit_two(layer, o, one, (int32_t)(sum + 0x8000U) >> 16, y, at);
            }
            if (pixels == 2 && g->q % 2 != 0) at -= g->o;
            for (int step = 0; step < g->sy; step++) top = top + width == end ? first : top + width;
        }
    }
}
