#include "gather.c"
#include "layer.h"
#include "spread.c"
#include "tail.c"

#if !defined __ARM_NEON

/* Dot products of packed weights, two multiply-adds an instruction. Of four weights the first two lie in the high half of
 * a word and the others in its low half, in fields of `bits` bits that follow each other in both, here for 2 bits:
 *
 *    bit          30 28 ...    22 20 18 16 | 14 12 ...     6 4 2 0
 *    weight       .. ..  ...   .. 5  4  1  0 |  .. ..  ...   7 6 3 2
 *
 * (w >> bits * i) & mask takes a weight out of each half, code0 * 2^16 + code2 or code1 * 2^16 + code3. With the operands
 * x0 + x2 * 2^16 or x1 + x3 * 2^16, the cross product code0 x0 + code2 x2 is one instruction of the DSP extension
 * (SMLADX). Without it that is the high half of the product of both words. Its low half, code2 x0, is rubbish, but too
 * small to be more than a carry, which START rounds off; and the sum fits the high half: of 256 fields of one bit as it is,
 * of 240 fields w + 1 because -sum(x) is what it begins with. */
#if defined __ARM_FEATURE_DSP
static inline uint32_t cross(uint32_t sum, uint32_t codes, uint32_t lanes) {
    return (uint32_t)__smladx((int16x2_t)codes, (int16x2_t)lanes, (int32_t)sum);
}
static inline int32_t crossed(uint32_t sum) { return (int32_t)sum; }
#else
static inline uint32_t cross(uint32_t sum, uint32_t codes, uint32_t lanes) { return sum + codes * lanes; }
static inline int32_t crossed(uint32_t sum) { return (int32_t)sum >> 16; }
#endif

#if defined __thumb__ && !defined __thumb2__
enum { MOST_PIXELS = 1 }; /* eight registers */
#else
enum { MOST_PIXELS = 2 };
#endif

/* sums[pixel + 2 * row]: the dot products of two rows of weights, word by word beside each other, with one or two pixels,
 * whose lanes alternate. */
INLINE void dot_fields(const int bits, const int pixels, const uint32_t *w, int words, const uint32_t *x,
                       const uint32_t *starts, int32_t *sums) {
    uint32_t mask = bits == 2 ? 0x30003U : 0x10001U;
    KEEP(mask);
    sums[0] = sums[1] = sums[2] = sums[3] = 0;
    do {
        const int most = bits == 2 ? SEGMENT / 16 : 8, part = words < most ? words : most;
        const uint32_t *const end = w + 2 * part;
        uint32_t a = bits == 2 ? starts[0] : START, b = bits == 2 ? starts[pixels - 1] : START, c = a, d = b;
        starts += pixels;
        words -= part;
        do {
            const uint32_t first = *w++, second = *w++;
#define STEP(i)                                                                                                        \
    do {                                                                                                               \
        const uint32_t f = first >> (bits * (i)) & mask, g = second >> (bits * (i)) & mask, x0 = x[pixels * (i)];      \
        a = cross(a, f, x0);                                                                                           \
        c = cross(c, g, x0);                                                                                           \
        KEEP(a);                                                                                                       \
        KEEP(c);                                                                                                       \
        if (pixels == 2) {                                                                                             \
            const uint32_t x1 = x[pixels * (i) + pixels - 1];                                                          \
            b = cross(b, f, x1);                                                                                       \
            d = cross(d, g, x1);                                                                                       \
            KEEP(b);                                                                                                   \
            KEEP(d);                                                                                                   \
        }                                                                                                              \
    } while (0)
            STEP(0);
            STEP(1);
            STEP(2);
            STEP(3);
            STEP(4);
            STEP(5);
            STEP(6);
            STEP(7);
            if (bits == 1) {
                STEP(8);
                STEP(9);
                STEP(10);
                STEP(11);
                STEP(12);
                STEP(13);
                STEP(14);
                STEP(15);
            }
#undef STEP
            x += pixels * (16 / bits);
            KEEP(x);
        } while (w != end);
        sums[0] += crossed(a);
        sums[2] += crossed(c);
        if (pixels == 2) {
            sums[1] += crossed(b);
            sums[3] += crossed(d);
        }
    } while (words != 0);
}

/* sum(w x): of fields w + 1 the sum of the operands is taken off already, fields (1 - w) / 2 are of one bit. */
INLINE int32_t sum_of(const int bits, int32_t dot, int32_t total) { return bits == 2 ? dot : total - 2 * dot; }

/* All outputs of a group for one or two pixels, of which `pixel` is the first. */
INLINE void fields_outputs(const int bits, const int pixels, const conv_t *layer, int group, int words,
                           const uint32_t *lanes, const uint32_t *starts, const int32_t *totals, int8_t *y, int pixel) {
    const shape_t *g = layer->shape;
    const int outputs = g->o / g->groups;
    const uint32_t *w = layer->weights + group * ((outputs + 1) / 2 * 2) * words;
    for (int o = 0; o < outputs; o += 2, w += 2 * words) {
        int32_t sums[4];
        dot_fields(bits, pixels, w, words, lanes, starts, sums);
        for (int row = 0; row < 2 && o + row < outputs; row++) {
            const int channel = group * outputs + o + row, at = pixel * g->o + channel;
            const int32_t sum = sum_of(bits, sums[2 * row], totals[0]);
            if (pixels == 2) emit_two(layer, channel, sum, sum_of(bits, sums[2 * row + 1], totals[1]), y, at);
            else emit(layer, channel, sum, y, at);
        }
    }
}

INLINE void conv_fields(const int bits, const conv_t *layer, const int8_t *x, int8_t *y, void *scratch) {
    const shape_t *g = layer->shape;
    const int words = (g->k + 32 / bits - 1) / (32 / bits), pixels = g->p * g->q,
              together = pixels < 2 ? 1 : MOST_PIXELS;
    uint32_t *const lanes = scratch;
    uint32_t *const starts = lanes + together * (16 / bits) * words;
    int8_t *const bytes = (int8_t *)(starts + together * ((g->k + SEGMENT - 1) / SEGMENT));
    for (int group = 0; group < g->groups; group++) {
        corner_t at = first_corner(g);
        for (int pixel = 0; pixel < pixels;) {
            int32_t totals[2];
            const int some = pixels - pixel < together ? 1 : together;
            for (int i = 0; i < some; i++) {
                totals[i] = spread_window(g, x, at, group, lanes + i, starts + i, some, bytes);
                next_corner(g, &at);
            }
            if (some == 1) fields_outputs(bits, 1, layer, group, words, lanes, starts, totals, y, pixel);
            else fields_outputs(bits, 2, layer, group, words, lanes, starts, totals, y, pixel);
            pixel += some;
        }
    }
}
#endif
