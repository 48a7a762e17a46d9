#include "gather.c"
#include "layer.h"
#include "words.c"

/* Where lanes go, a word every `step` words, and what is known of them: `total` is the sum of all, `starts` has that of
 * every SEGMENT bytes, of which `room` are to come and `sum` is of those before, such that the difference from it may
 * begin: -sum in the high half, and half a step for rounding in the low half where there is no DSP extension. */
#if defined __ARM_FEATURE_DSP
enum { SEGMENT = 1 << 20, START = 0 };
#else
enum { SEGMENT = 240, START = 0x8000 };
#endif
typedef struct {
    uint32_t *to, *starts;
    int room;
    int32_t sum, total;
} spread_t;

static inline void end_segment(spread_t *s, const int step) {
#if defined __ARM_FEATURE_DSP
    *s->starts = 0U - (uint32_t)s->sum;
#else
    *s->starts = START - ((uint32_t)s->sum << 16);
#endif
    s->starts += step;
    s->total += s->sum;
    s->sum = 0;
    s->room = SEGMENT;
}

/* A multiple of 8 bytes as lanes. */
INLINE void spread(spread_t *s, const int8_t *x, int bytes, const int step) {
    uint32_t *to = s->to;
    while (bytes != 0) {
        const int part = bytes < s->room ? bytes : s->room;
        const int8_t *const end = x + part;
        uint32_t lanes = 0;
        bytes -= part;
        do {
            const uint32_t four = word_at(x), next = word_at(x + 4);
            const uint32_t a = even_lanes(four), b = odd_lanes(four), c = even_lanes(next), d = odd_lanes(next);
#if defined __ARM_FEATURE_DSP
            lanes = (uint32_t)__smlad((int16x2_t)a, 0x10001, (int32_t)lanes);
            lanes = (uint32_t)__smlad((int16x2_t)b, 0x10001, (int32_t)lanes);
            lanes = (uint32_t)__smlad((int16x2_t)c, 0x10001, (int32_t)lanes);
            lanes = (uint32_t)__smlad((int16x2_t)d, 0x10001, (int32_t)lanes);
#else
            lanes += a + b + c + d;
#endif
            to[0] = a;
            to[step] = b;
            to[2 * step] = c;
            to[3 * step] = d;
            to += 4 * step;
            KEEP(to);
            x += 8;
        } while (x != end);
#if defined __ARM_FEATURE_DSP
        s->sum += (int32_t)lanes;
#else
        s->sum += (int16_t)(lanes & 0xFFFFU) + ((int32_t)(lanes + 0x8000U) >> 16);
#endif
        s->room -= part;
        if (s->room == 0) end_segment(s, step);
    }
    s->to = to;
}

/* The operands of a row of weights as lanes; their sum. Where the window is inside the picture and its rows are whole
 * words, they are read in place, otherwise they are gathered in `bytes` first. */
INLINE int32_t spread_window(const shape_t *g, const int8_t *x, corner_t at, int group, uint32_t *to, uint32_t *starts,
                             const int step, int8_t *bytes) {
    const int row = g->kw * g->c, line = g->w * g->c;
    const int inside = at.y >= 0 && at.x >= 0 && at.y + (g->kh - 1) * g->dy < g->h && at.x + g->kw <= g->w;
    spread_t s = {to, starts, SEGMENT, 0, 0};
    if (g->groups == 1 && g->dx == 1 && inside && row % 8 == 0 && line % 4 == 0 && at.x * g->c % 4 == 0) {
        const int8_t *from = x + (at.y * line + at.x * g->c);
        for (int i = 0; i < g->kh; i++, from += g->dy * line) spread(&s, from, row, step);
    } else {
        gather(g, x, at, group, bytes);
        spread(&s, bytes, (g->k + 7) & ~7, step);
    }
    if (s.room != SEGMENT) end_segment(&s, step);
    return s.total;
}
