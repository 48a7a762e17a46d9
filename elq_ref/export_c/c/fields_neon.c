#include "gather.c"
#include "layer.h"
#include "neon.c"
#include "tail.c"

#if defined __ARM_NEON

/* Dot products of packed weights by byte vectors: of four words of a row, (v >> bits * i) & mask has field i, or for the odd
 * bytes of a word field 8 / bits + i. Operands are brought to the order of these bytes once for all outputs. */
enum { TOGETHER = 4 }; /* pixels */

/* For every byte of a word, within vector i and the four after it, which of its operands it is multiplied by. */
static const uint8_t order_of_fields[3][16] = {
    {2, 18, 0, 16, 3, 19, 1, 17, 6, 22, 4, 20, 7, 23, 5, 21},       /* 1 bit, i = 0 .. 3 */
    {10, 26, 8, 24, 11, 27, 9, 25, 14, 30, 12, 28, 15, 31, 13, 29}, /* 1 bit, i = 4 .. 7 */
    {2, 10, 0, 8, 3, 11, 1, 9, 6, 14, 4, 12, 7, 15, 5, 13},         /* 2 bits */
};

static inline uint8x16_t look_up(const int8_t *x, int bytes, const uint8_t *order) {
    const uint8_t *from = (const uint8_t *)x;
    const uint8x16_t at = vld1q_u8(order), first = vld1q_u8(from), second = bytes == 32 ? vld1q_u8(from + 16) : first;
#if defined __aarch64__
    const uint8x16x2_t table = {{first, second}};
    return vqtbl2q_u8(table, at);
#else
    const uint8x8x4_t table = {{vget_low_u8(first), vget_high_u8(first), vget_low_u8(second), vget_high_u8(second)}};
    return vcombine_u8(vtbl4_u8(table, vget_low_u8(at)), vtbl4_u8(table, vget_high_u8(at)));
#endif
}

/* `x`, of a multiple of four words of weights, in the order of the vectors: the sum of all. */
INLINE int32_t arrange(const int bits, const int8_t *x, int bytes, int8_t *to) {
    const int word = 32 / bits; /* operands of it */
    int32x4_t sums = vdupq_n_s32(0);
    for (int at = 0; at < bytes; at += 4 * word, to += 4 * word) {
        for (int i = 0; i < 4 * word; i += 16) sums = dot_16(sums, vld1q_s8(x + at + i), vdupq_n_s8(1));
        for (int half = 0; half < word / 16; half++) {
            uint32_t lanes[16]; /* [word][vector] */
            const uint8_t *order = order_of_fields[bits == 2 ? 2 : half];
            for (int i = 0; i < 4; i++)
                vst1q_u32(lanes + 4 * i, vreinterpretq_u32_u8(look_up(x + at + i * word, word, order)));
            const uint32x4x4_t v = vld4q_u32(lanes);
            for (int i = 0; i < 4; i++) vst1q_s8(to + 64 * half + 16 * i, vreinterpretq_s8_u32(v.val[i]));
        }
    }
    return one_sum(sums);
}

/* Sums of a row with each pixel. */
typedef struct {
    int32x4_t of0, of1, of2, of3;
} sums_t;

INLINE sums_t dot_pixels(const int pixels, sums_t sums, const int8_t *x, int bytes, uint8x16_t fields) {
    const int8x16_t codes = vreinterpretq_s8_u8(fields);
    sums.of0 = dot_16(sums.of0, vld1q_s8(x), codes);
    if (pixels == 1) return sums;
    sums.of1 = dot_16(sums.of1, vld1q_s8(x + bytes), codes);
    sums.of2 = dot_16(sums.of2, vld1q_s8(x + 2 * bytes), codes);
    sums.of3 = dot_16(sums.of3, vld1q_s8(x + 3 * bytes), codes);
    return sums;
}

/* Adds the products of four words of two rows, which alternate, and one or four pixels of `bytes` bytes. */
INLINE void dot_block(const int bits, const int pixels, const uint32_t *w, const int8_t *x, int bytes, sums_t *first,
                      sums_t *second) {
    const uint32x4x2_t two = vld2q_u32(w);
    const uint8x16_t a = vreinterpretq_u8_u32(two.val[0]), b = vreinterpretq_u8_u32(two.val[1]);
    const uint8x16_t mask = vdupq_n_u8(bits == 2 ? 3 : 1);
#define STEP(i)                                                                                                        \
    do {                                                                                                               \
        const int8x16_t shift = vdupq_n_s8((int8_t)(-bits * (i)));                                                     \
        const uint8x16_t f = vandq_u8(vshlq_u8(a, shift), mask), g = vandq_u8(vshlq_u8(b, shift), mask);               \
        *first = dot_pixels(pixels, *first, x + 16 * (i), bytes, f);                                                   \
        *second = dot_pixels(pixels, *second, x + 16 * (i), bytes, g);                                                 \
    } while (0)
    STEP(0);
    STEP(1);
    STEP(2);
    STEP(3);
    if (bits == 1) {
        STEP(4);
        STEP(5);
        STEP(6);
        STEP(7);
    }
#undef STEP
}

/* One or four pixels, of which `pixel` is the first. */
INLINE void emit_sums(const int bits, const int pixels, const conv_t *layer, int o, sums_t sums, const int32_t *totals,
                      int8_t *y, int pixel) {
    const int at = pixel * layer->shape->o + o;
    if (pixels == 1) {
        const int32_t dot = one_sum(sums.of0);
        emit(layer, o, bits == 2 ? dot - totals[0] : totals[0] - 2 * dot, y, at);
        return;
    }
    const int32x4_t dots = four_sums(sums.of0, sums.of1, sums.of2, sums.of3), all = vld1q_s32(totals);
    emit_four(layer, o, bits == 2 ? vsubq_s32(dots, all) : vsubq_s32(all, vaddq_s32(dots, dots)), y, at);
}

INLINE void fields_outputs(const int bits, const int pixels, const conv_t *layer, int group, int words, const int8_t *x,
                           int bytes, const int32_t *totals, int8_t *y, int pixel) {
    const shape_t *g = layer->shape;
    const int outputs = g->o / g->groups, block = 128 / bits;
    const uint32_t *w = layer->weights + group * ((outputs + 1) / 2 * 2) * words;
    for (int o = 0; o < outputs; o += 2, w += 2 * words) {
        const int channel = group * outputs + o;
        const int32x4_t zero = vdupq_n_s32(0);
        sums_t first = {zero, zero, zero, zero}, second = first;
        int done = 0;
        for (; done + 4 <= words; done += 4)
            dot_block(bits, pixels, w + 2 * done, x + done / 4 * block, bytes, &first, &second);
        if (done < words) {
            uint32_t rest[8] = {0, 0, 0, 0, 0, 0, 0, 0};
            memcpy(rest, w + 2 * done, (size_t)(words - done) * 8);
            dot_block(bits, pixels, rest, x + done / 4 * block, bytes, &first, &second);
        }
        emit_sums(bits, pixels, layer, channel, first, totals, y, pixel);
        if (o + 1 < outputs) emit_sums(bits, pixels, layer, channel + 1, second, totals, y, pixel);
    }
}

INLINE void conv_fields(const int bits, const conv_t *layer, const int8_t *x, int8_t *y, void *scratch) {
    const shape_t *g = layer->shape;
    const int words = (g->k + 32 / bits - 1) / (32 / bits), pixels = g->p * g->q;
    const int bytes = (words + 3) / 4 * (128 / bits), together = pixels < TOGETHER ? 1 : TOGETHER;
    int8_t *const arranged = scratch, *const gathered = arranged + together * bytes;
    for (int group = 0; group < g->groups; group++) {
        corner_t at = first_corner(g);
        memset(gathered, 0, (size_t)bytes);
        for (int pixel = 0; pixel < pixels;) {
            int32_t totals[TOGETHER];
            const int some = pixels - pixel < together ? 1 : together;
            for (int p = 0; p < some; p++) {
                gather(g, x, at, group, gathered);
                totals[p] = arrange(bits, gathered, bytes, arranged + p * bytes);
                next_corner(g, &at);
            }
            if (some == 1) fields_outputs(bits, 1, layer, group, words, arranged, bytes, totals, y, pixel);
            else fields_outputs(bits, TOGETHER, layer, group, words, arranged, bytes, totals, y, pixel);
            pixel += some;
        }
    }
}
#endif
