#include "gather.c"
#include "layer.h"
#include "neon.c"
#include "spread.c"
#include "tail.c"
#include "words.c"

/* Convolution by weights of a byte. Two rows, word by word beside each other, are multiplied by one pixel or by as many as
 * there are registers for: sums[4 * row + pixel]. Where the operands of each pixel are, is what the three ways differ in. */
#if defined __ARM_NEON
enum { MOST_OF_INT8 = 4 };

static inline void operands_of_int8(const shape_t *g, const int8_t *x, corner_t at, int group, int8_t *to, int pixel,
                                    int pixels) {
    const int length = (g->k + 15) & ~15;
    int8_t *const bytes = to + pixel * length;
    (void)pixels;
    memset(bytes + length - 16, 0, 16);
    gather(g, x, at, group, bytes);
}

INLINE void dot_int8(const int pixels, const uint32_t *w, int words, const int8_t *x, int32_t *sums) {
    const int32x4_t zero = vdupq_n_s32(0);
    const int length = (words + 3) / 4 * 16;
    int32x4_t a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    for (; words > 0; words -= 4, w += 8, x += 16) {
        uint32_t ends[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        const uint32x4x2_t two = vld2q_u32(words < 4 ? memcpy(ends, w, (size_t)words * 8) : w);
        const int8x16_t a = vreinterpretq_s8_u32(two.val[0]), b = vreinterpretq_s8_u32(two.val[1]), x0 = vld1q_s8(x);
        a0 = dot_16(a0, x0, a);
        b0 = dot_16(b0, x0, b);
        if (pixels == 1) continue;
        const int8x16_t x1 = vld1q_s8(x + length), x2 = vld1q_s8(x + 2 * length), x3 = vld1q_s8(x + 3 * length);
        a1 = dot_16(a1, x1, a);
        b1 = dot_16(b1, x1, b);
        a2 = dot_16(a2, x2, a);
        b2 = dot_16(b2, x2, b);
        a3 = dot_16(a3, x3, a);
        b3 = dot_16(b3, x3, b);
    }
    vst1q_s32(sums, four_sums(a0, a1, a2, a3));
    vst1q_s32(sums + 4, four_sums(b0, b1, b2, b3));
}
#elif defined __ARM_FEATURE_DSP
enum { MOST_OF_INT8 = 2 };

static inline void operands_of_int8(const shape_t *g, const int8_t *x, corner_t at, int group, int8_t *to, int pixel,
                                    int pixels) {
    uint32_t *const lanes = (uint32_t *)(void *)to, *const starts = lanes + pixels * ((g->k + 7) / 8 * 4);
    spread_window(g, x, at, group, lanes + pixel, starts, pixels, (int8_t *)(starts + 1));
}

INLINE void dot_int8(const int pixels, const uint32_t *w, int words, const int8_t *x, int32_t *sums) {
    const uint32_t *lanes = (const uint32_t *)(const void *)x, *const end = w + 2 * words;
    int32_t a = 0, b = 0, c = 0, d = 0;
    do {
        const uint32_t u = *w++, v = *w++;
#define MULTIPLY(n, of)                                                                                                \
    do {                                                                                                               \
        const int16x2_t f = (int16x2_t)of(u), g = (int16x2_t)of(v), p = (int16x2_t)lanes[pixels * (n)];                \
        a = __smlad(f, p, a);                                                                                          \
        c = __smlad(g, p, c);                                                                                          \
        if (pixels == 2) {                                                                                             \
            const int16x2_t q = (int16x2_t)lanes[pixels * (n) + pixels - 1];                                           \
            b = __smlad(f, q, b);                                                                                      \
            d = __smlad(g, q, d);                                                                                      \
        }                                                                                                              \
    } while (0)
        MULTIPLY(0, even_lanes);
        MULTIPLY(1, odd_lanes);
#undef MULTIPLY
        lanes += 2 * pixels;
        KEEP(lanes);
    } while (w != end);
    sums[0] = a;
    sums[1] = b;
    sums[4] = c;
    sums[5] = d;
}
#else
#if defined __thumb__ && !defined __thumb2__
enum { MOST_OF_INT8 = 1 };
#else
enum { MOST_OF_INT8 = 2 };
#endif

static inline void operands_of_int8(const shape_t *g, const int8_t *x, corner_t at, int group, int8_t *to, int pixel,
                                    int pixels) {
    (void)pixels;
    gather(g, x, at, group, to + pixel * ((g->k + 7) / 8 * 8));
}

INLINE void dot_int8(const int pixels, const uint32_t *w, int words, const int8_t *x, int32_t *sums) {
    const int8_t *both = (const int8_t *)w, *const end = both + 8 * words,
                 *next = x + (pixels - 1) * ((words + 1) / 2 * 8);
    int32_t a = 0, b = 0, c = 0, d = 0;
    do {
#define MULTIPLY(n)                                                                                                    \
    do {                                                                                                               \
        const int32_t f = both[n], g = both[4 + (n)], x0 = x[n];                                                       \
        a += f * x0;                                                                                                   \
        c += g * x0;                                                                                                   \
        if (pixels == 2) {                                                                                             \
            const int32_t x1 = next[n];                                                                                \
            b += f * x1;                                                                                               \
            d += g * x1;                                                                                               \
        }                                                                                                              \
    } while (0)
        MULTIPLY(0);
        MULTIPLY(1);
        MULTIPLY(2);
        MULTIPLY(3);
#undef MULTIPLY
        both += 8;
        x += 4;
        next += 4;
    } while (both != end);
    sums[0] = a;
    sums[1] = b;
    sums[4] = c;
    sums[5] = d;
}
#endif

INLINE void emit_int8(const int pixels, const conv_t *layer, int o, const int32_t *sums, int8_t *y, int at) {
    if (pixels == 1) {
        emit(layer, o, sums[0], y, at);
        return;
    }
#if defined __ARM_NEON
    emit_four(layer, o, vld1q_s32(sums), y, at);
#else
    emit_two(layer, o, sums[0], sums[1], y, at);
#endif
}

/* All outputs of a group for the pixels from `pixel` on. */
INLINE void outputs_int8(const int pixels, const conv_t *layer, int group, const int8_t *x, int8_t *y, int pixel) {
    const shape_t *g = layer->shape;
    const int outputs = g->o / g->groups, words = (g->k + 3) / 4;
    const uint32_t *w = layer->weights + group * ((outputs + 1) / 2 * 2) * words;
    for (int o = 0; o < outputs; o += 2, w += 2 * words) {
        const int channel = group * outputs + o, at = pixel * g->o + channel;
        int32_t sums[8];
        dot_int8(pixels, w, words, x, sums);
        emit_int8(pixels, layer, channel, sums, y, at);
        if (o + 1 < outputs) emit_int8(pixels, layer, channel + 1, sums + 4, y, at + 1);
    }
}

static void conv_int8(const conv_t *layer, const int8_t *x, int8_t *y, void *scratch) {
    const shape_t *g = layer->shape;
    const int pixels = g->p * g->q;
    for (int group = 0; group < g->groups; group++) {
        corner_t at = first_corner(g);
        for (int pixel = 0; pixel < pixels;) {
            const int some = pixels - pixel < MOST_OF_INT8 ? 1 : MOST_OF_INT8;
            for (int p = 0; p < some; p++, next_corner(g, &at)) operands_of_int8(g, x, at, group, scratch, p, some);
            if (some == 1) outputs_int8(1, layer, group, scratch, y, pixel);
            else outputs_int8(MOST_OF_INT8, layer, group, scratch, y, pixel);
            pixel += some;
        }
    }
}
