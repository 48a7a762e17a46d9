#include "gather.c"
#include "layer.h"
#include "tail.c"

/* Convolution by lists of the places of +1 and of -1: nothing is multiplied, and zeros cost nothing. Places are cut into
 * windows of 255, so that a place in its window is a byte. For every row and window there are
 *
 *    n  m  n * 4 places to add  m * 4 places to subtract
 *
 * filled up with the place behind the window, where the operands have a 0. A gap longer than a window is a window with n = 0
 * and m = 0. Four pixels at a time have 16 bits each in the words of a place, which 255 terms do not leave. */
enum { WINDOW = 255 };

#if defined __GNUC__ /* a function whose loops have the registers to themselves */
#define APART __attribute__((noinline))
#else
#define APART
#endif

#if UINTPTR_MAX > 0xFFFFFFFFU
typedef uint64_t lanes_t; /* of four pixels */
enum { WORDS = 1 };
#else
typedef uint32_t lanes_t; /* of two */
enum { WORDS = 2 };
#endif

/* Where operands go, and how many more before the 0 behind a window. */
typedef struct {
    lanes_t *to;
    int room;
} places_t;

static inline void end_window(places_t *s) {
    for (int i = 0; i < WORDS; i++) *s->to++ = 0;
    s->room = WINDOW;
}

/* The next n operands of each of four pixels. */
APART static void put_places(places_t *s, const int8_t *const *from, int n) {
    const int8_t *a = from[0], *b = from[1], *c = from[2], *d = from[3];
    while (n > 0) {
        const int part = n < s->room ? n : s->room;
        lanes_t *to = s->to;
        const lanes_t *const end = to + part * WORDS;
        do {
            const lanes_t one = (lanes_t)*a++ + ((lanes_t)*b++ << 16), other = (lanes_t)*c++ + ((lanes_t)*d++ << 16);
            if (WORDS == 1) *to++ = one + (other << 16 << 16);
            else {
                *to++ = one;
                *to++ = other;
            }
        } while (to != end);
        s->to = to;
        s->room -= part;
        n -= part;
        if (s->room == 0) end_window(s);
    }
}

/* The operands of four pixels; `zeros`: of a tap in the border. */
static void four_windows(const shape_t *g, const int8_t *x, const corner_t *at, int group, const int8_t *zeros,
                         lanes_t *to) {
    const int channels = g->c / g->groups;
    places_t s = {to, WINDOW};
    int whole = g->groups == 1 && g->dx == 1; /* rows of the window in one piece */
    for (int p = 0; p < 4; p++)
        whole &= at[p].x >= 0 && at[p].x + g->kw <= g->w && at[p].y >= 0 && at[p].y + (g->kh - 1) * g->dy < g->h;
    for (int i = 0; i < g->kh; i++)
        for (int j = 0; j < (whole ? 1 : g->kw); j++) {
            const int8_t *from[4];
            for (int p = 0; p < 4; p++) {
                const int r = at[p].y + i * g->dy, c = at[p].x + j * g->dx;
                const int inside = r >= 0 && r < g->h && c >= 0 && c < g->w;
                from[p] = inside ? x + ((r * g->w + c) * g->c + group * channels) : zeros;
            }
            put_places(&s, from, whole ? g->kw * channels : channels);
        }
    if (s.room != WINDOW) end_window(&s);
}

/* Adds or subtracts the words of a place. */
#if defined __arm__ /* the second word from a base of its own: its address costs no instruction then */
#define PLACE(sign, n)                                                                                                 \
    do {                                                                                                               \
        const int place = list[n] * WORDS;                                                                             \
        a sign x[place];                                                                                               \
        b sign second[place];                                                                                          \
        KEEP(a);                                                                                                       \
        KEEP(b);                                                                                                       \
    } while (0)
#else
#define PLACE(sign, n)                                                                                                 \
    do {                                                                                                               \
        const lanes_t *place = x + list[n] * WORDS;                                                                    \
        KEEP(place);                                                                                                   \
        a sign place[0];                                                                                               \
        if (WORDS == 2) b sign place[WORDS - 1];                                                                       \
        KEEP(a);                                                                                                       \
        KEEP(b);                                                                                                       \
    } while (0)
#endif

static inline void add_halves(int32_t *sums, uint32_t lanes) {
    sums[0] += (int16_t)(lanes & 0xFFFFU);
    sums[1] += (int32_t)(lanes + 0x8000U) >> 16;
}

/* The sums of one row for four pixels; the list behind it. */
APART static const uint8_t *add_lists(const uint8_t *list, const lanes_t *x, int windows, int32_t *sums) {
    sums[0] = sums[1] = sums[2] = sums[3] = 0;
    do {
        const uint8_t *const middle = list + 2 + 4 * list[0], *const end = middle + 4 * list[1];
        lanes_t a = 0, b = 0;
#if defined __arm__
        const lanes_t *second = x + 1;
        KEEP(second);
#endif
        for (list += 2; list != middle; list += 4) {
            PLACE(+=, 0);
            PLACE(+=, 1);
            PLACE(+=, 2);
            PLACE(+=, 3);
        }
        for (; list != end; list += 4) {
            PLACE(-=, 0);
            PLACE(-=, 1);
            PLACE(-=, 2);
            PLACE(-=, 3);
        }
        add_halves(sums, (uint32_t)a);
        add_halves(sums + 2, WORDS == 2 ? (uint32_t)b : (uint32_t)((a + 0x80000000U) >> 16 >> 16));
        x += (WINDOW + 1) * WORDS;
    } while (--windows != 0);
    return list;
}
#undef PLACE

/* The sum of one row for one pixel, whose operands are bytes with a 0 behind each window; the list behind it. */
static const uint8_t *add_bytes(const uint8_t *list, const int8_t *x, int windows, int32_t *sum) {
    *sum = 0;
    do {
        const uint8_t *const middle = list + 2 + 4 * list[0], *const end = middle + 4 * list[1];
        int32_t a = 0;
        for (list += 2; list != middle; list += 4) a += x[list[0]] + x[list[1]] + x[list[2]] + x[list[3]];
        for (; list != end; list += 4) a -= x[list[0]] + x[list[1]] + x[list[2]] + x[list[3]];
        *sum += a;
        x += WINDOW + 1;
    } while (--windows != 0);
    return list;
}

/* All outputs for four pixels, of which the first `some` are wanted. */
static void four_pixels(const conv_t *layer, const int8_t *x, const corner_t *at, int some, int windows, lanes_t *lanes,
                        const int8_t *zeros, int8_t *y, int pixel) {
    const shape_t *g = layer->shape;
    const uint8_t *list = (const uint8_t *)layer->weights;
    const int outputs = g->o / g->groups;
    for (int group = 0, o = 0; group < g->groups; group++) {
        four_windows(g, x, at, group, zeros, lanes);
        for (const int end = o + outputs; o < end; o++) {
            int32_t sums[4];
            list = add_lists(list, lanes, windows, sums);
            if (some == 4) {
                emit_two(layer, o, sums[0], sums[1], y, pixel * g->o + o);
                emit_two(layer, o, sums[2], sums[3], y, (pixel + 2) * g->o + o);
            } else
                for (int p = 0; p < some; p++) emit(layer, o, sums[p], y, (pixel + p) * g->o + o);
        }
    }
}

/* All outputs for one pixel. */
static void one_pixel(const conv_t *layer, const int8_t *x, corner_t at, int windows, int8_t *places, int8_t *y,
                      int pixel) {
    const shape_t *g = layer->shape;
    const uint8_t *list = (const uint8_t *)layer->weights;
    const int outputs = g->o / g->groups;
    int8_t *const bytes = places + g->k + windows;
    for (int group = 0, o = 0; group < g->groups; group++) {
        gather(g, x, at, group, bytes);
        for (int k = 0, to = 0; k < g->k; k += WINDOW) {
            const int part = g->k - k < WINDOW ? g->k - k : WINDOW;
            memcpy(places + to, bytes + k, (size_t)part);
            places[to + part] = 0;
            to += part + 1;
        }
        for (const int end = o + outputs; o < end; o++) {
            int32_t sum;
            list = add_bytes(list, places, windows, &sum);
            emit(layer, o, sum, y, pixel * g->o + o);
        }
    }
}

static void conv_lists(const conv_t *layer, const int8_t *x, int8_t *y, void *scratch) {
    const shape_t *g = layer->shape;
    const int windows = (g->k + WINDOW - 1) / WINDOW, pixels = g->p * g->q;
    corner_t next = first_corner(g);
    if (pixels < 4) {
        for (int pixel = 0; pixel < pixels; pixel++, next_corner(g, &next))
            one_pixel(layer, x, next, windows, scratch, y, pixel);
        return;
    }
    const uintptr_t odd = (uintptr_t)scratch % sizeof(lanes_t); /* a multiple of 4 */
    lanes_t *const lanes = (lanes_t *)(void *)((int8_t *)scratch + (odd == 0 ? 0 : sizeof(lanes_t) - odd));
    int8_t *const zeros = (int8_t *)(lanes + (g->k + windows) * WORDS);
    memset(zeros, 0, (size_t)(g->c / g->groups));
    for (int pixel = 0; pixel < pixels; pixel += 4) {
        const int some = pixels - pixel < 4 ? pixels - pixel : 4;
        corner_t at[4] = {next, next, next, next};
        for (int p = 0; p < some; p++, next_corner(g, &next)) at[p] = next;
        four_pixels(layer, x, at, some, windows, lanes, zeros, y, pixel);
    }
}
