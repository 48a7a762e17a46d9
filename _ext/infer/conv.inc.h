/* A convolution of infer/kernels.h in plain C, for any shape. The file that includes this one defines, before it, the
 * types
 *
 *   element   of x and residual
 *   number    of an input and of a weight that are about to be multiplied
 *   sum_t     of a sum; its 0 is all bits 0
 *   tail_t    elq_tail_f32 or elq_tail_i8
 *
 * and, behind it, the two functions that are declared below and a finisher. The packed weights are the rows of the file
 * as they are.
 * A task is a strip of pixels times a chunk of output channels of a group:
 *
 *   for every DEPTH of K:          gather the inputs of the strip's pixels     patches[pixel][k]
 *     for every two channels:      decode their weights                        panel[channel][k]
 *       for every four pixels:     add their dot products to                   sums[channel][pixel]
 *   y = tail(sums)
 */
#include <string.h>

enum {
    STRIP = 32,  /* pixels of a task */
    CHUNK = 64,  /* output channels of a task */
    DEPTH = 256, /* of K at a time; whole bytes of codes */
    UNIT = 8     /* dot products are as long as a multiple of it: zeros of patches[] fill up */
};

typedef struct {
    number patches[STRIP][DEPTH];
    number panel[2][DEPTH];
    sum_t sums[CHUNK][STRIP];
} scratch_t;

/* sums[i][t] += x[t] . w[i] for 4 pixels and 2 channels of patches, panel and sums; depth is a multiple of UNIT. */
static void eight_sums(const number *x, const number *w, ptrdiff_t depth, sum_t *sums);

/* x . w of one pixel and one channel. */
static sum_t one_sum(const number *x, const number *w, ptrdiff_t depth);

/* Writes the outputs y[at .. at + channels) of a pixel, whose first one is output channel `first`, from sums[channel][0];
 * residual, if there is one, is that of y[at]. */
typedef void (*finisher)(const tail_t *tail, const sum_t *sums, ptrdiff_t first, ptrdiff_t channels,
                         const element *residual, void *y, ptrdiff_t at);

/* Weights first .. first + depth - 1 of a row to panel; up to UNIT - 1 numbers behind them may be anything finite. */
typedef void (*decoder)(const void *row, ptrdiff_t first, ptrdiff_t depth, number *panel);

#define CODE2(v, i) (number)(((v) >> (2 * (i)) & 1) - ((v) >> (2 * (i)) & 2))
#define QUAD2(v) {CODE2(v, 0), CODE2(v, 1), CODE2(v, 2), CODE2(v, 3)}
#define QUAD2_4(v) QUAD2(v), QUAD2((v) + 1), QUAD2((v) + 2), QUAD2((v) + 3)
#define QUAD2_16(v) QUAD2_4(v), QUAD2_4((v) + 4), QUAD2_4((v) + 8), QUAD2_4((v) + 12)
#define QUAD2_64(v) QUAD2_16(v), QUAD2_16((v) + 16), QUAD2_16((v) + 32), QUAD2_16((v) + 48)
/* The four codes of every byte. The reserved pattern 10 never gets here: the loader refuses it. */
static const number TERNARY[256][4] = {QUAD2_64(0), QUAD2_64(64), QUAD2_64(128), QUAD2_64(192)};

#define CODE1(v, i) (number)(1 - 2 * ((v) >> (i) & 1))
#define QUAD1(v) {CODE1(v, 0), CODE1(v, 1), CODE1(v, 2), CODE1(v, 3)}
#define QUAD1_4(v) QUAD1(v), QUAD1((v) + 1), QUAD1((v) + 2), QUAD1((v) + 3)
/* The four codes of every half of a byte. */
static const number BINARY[16][4] = {QUAD1_4(0), QUAD1_4(4), QUAD1_4(8), QUAD1_4(12)};

static void decode_t2(const void *row, ptrdiff_t first, ptrdiff_t depth, number *panel) {
    const uint8_t *codes = (const uint8_t *)row + first / 4;
    for (ptrdiff_t k = 0; k < depth; k += 4) memcpy(panel + k, TERNARY[codes[k / 4]], sizeof TERNARY[0]);
    if (depth % 8 && depth % 8 <= 4) memset(panel + (depth + 3) / 4 * 4, 0, 4 * sizeof *panel);
}

static void decode_b1(const void *row, ptrdiff_t first, ptrdiff_t depth, number *panel) {
    const uint8_t *codes = (const uint8_t *)row + first / 8;
    for (ptrdiff_t k = 0; k < depth; k += 8) {
        memcpy(panel + k, BINARY[codes[k / 8] & 15], sizeof BINARY[0]);
        memcpy(panel + k + 4, BINARY[codes[k / 8] >> 4], sizeof BINARY[0]);
    }
}

static void decode_full(const void *row, ptrdiff_t first, ptrdiff_t depth, number *panel) {
    const element *weights = (const element *)row + first;
    for (ptrdiff_t k = 0; k < depth; k++) panel[k] = weights[k];
    for (ptrdiff_t k = depth; k % UNIT; k++) panel[k] = 0;
}

/* patch[0 .. depth) = the inputs that output pixel `pixel` multiplies by the weights first .. first + depth - 1, and
 * zeros up to a multiple of UNIT. */
static void gather(const elq_conv *conv, ptrdiff_t group, ptrdiff_t pixel, ptrdiff_t first, ptrdiff_t depth,
                   number *patch) {
    const elq_shape *g = &conv->shape;
    const ptrdiff_t channels = g->c / g->groups;
    const ptrdiff_t n = pixel / (g->p * g->q), p = pixel / g->q % g->p, q = pixel % g->q;
    const ptrdiff_t top = p * g->stride_h - g->pad_h, left = q * g->stride_w - g->pad_w;
    ptrdiff_t tap = first / channels, c = first % channels;
    ptrdiff_t i = tap / g->kw, j = tap % g->kw;
    for (ptrdiff_t k = depth; k % UNIT; k++) patch[k] = 0;
    while (depth > 0) {
        const ptrdiff_t row = top + i * g->dilation_h, column = left + j * g->dilation_w;
        const ptrdiff_t count = channels - c < depth ? channels - c : depth;
        if (row < 0 || row >= g->h || column < 0 || column >= g->w) {
            for (ptrdiff_t k = 0; k < count; k++) patch[k] = 0;
        } else {
            const element *from = (const element *)conv->x;
            from += ((n * g->h + row) * g->w + column) * g->c + group * channels + c;
            for (ptrdiff_t k = 0; k < count; k++) patch[k] = from[k];
        }
        patch += count, depth -= count, c = 0;
        if (++j == g->kw) j = 0, i++;
    }
}

static ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

static ptrdiff_t row_length(const elq_shape *g) { return g->kh * g->kw * (g->c / g->groups); }

static ptrdiff_t tasks(const elq_shape *g, ptrdiff_t n) {
    return g->groups * ceil_div(g->o / g->groups, CHUNK) * ceil_div(n * g->p * g->q, STRIP);
}

static size_t scratch_bytes(const elq_shape *g) { return (void)g, sizeof(scratch_t); }

/* Task `task` of weights whose rows take `bits` bits for every k. */
static void run(const elq_conv *conv, ptrdiff_t task, scratch_t *s, decoder decode, ptrdiff_t bits, finisher finish) {
    const elq_shape *g = &conv->shape;
    const ptrdiff_t outputs = g->o / g->groups, chunks = ceil_div(outputs, CHUNK);
    const ptrdiff_t length = row_length(g), row_bytes = ceil_div(length * bits, 8);
    const ptrdiff_t chunk = task % chunks, group = task / chunks % g->groups, strip = task / chunks / g->groups;
    const ptrdiff_t first_pixel = strip * STRIP, all_pixels = conv->n * g->p * g->q;
    const ptrdiff_t pixels = all_pixels - first_pixel < STRIP ? all_pixels - first_pixel : STRIP;
    const ptrdiff_t first_output = group * outputs + chunk * CHUNK, left = outputs - chunk * CHUNK;
    const ptrdiff_t channels = left < CHUNK ? left : CHUNK;
    const char *rows = (const char *)conv->weights + first_output * row_bytes;

    assert(task >= 0 && strip * STRIP < all_pixels && channels > 0);
    memset(s->sums, 0, (size_t)channels * sizeof s->sums[0]);
    for (ptrdiff_t first = 0; first < length; first += DEPTH) {
        const ptrdiff_t depth = length - first < DEPTH ? length - first : DEPTH;
        const ptrdiff_t whole = ceil_div(depth, UNIT) * UNIT;
        for (ptrdiff_t t = 0; t < pixels; t++) gather(conv, group, first_pixel + t, first, depth, s->patches[t]);
        for (ptrdiff_t o = 0; o < channels; o += 2) {
            const ptrdiff_t two = channels - o < 2 ? 1 : 2;
            for (ptrdiff_t i = 0; i < two; i++) decode(rows + (o + i) * row_bytes, first, depth, s->panel[i]);
            ptrdiff_t t = 0;
            if (two == 2)
                for (; t + 4 <= pixels; t += 4) eight_sums(s->patches[t], s->panel[0], whole, s->sums[o] + t);
            for (; t < pixels; t++)
                for (ptrdiff_t i = 0; i < two; i++) s->sums[o + i][t] += one_sum(s->patches[t], s->panel[i], whole);
        }
    }
    for (ptrdiff_t t = 0; t < pixels; t++) {
        const ptrdiff_t at = (first_pixel + t) * g->o + first_output;
        finish(conv->tail, s->sums[0] + t, first_output, channels,
               conv->residual ? (const element *)conv->residual + at : NULL, conv->y, at);
    }
}

/* The functions for one kind of weights of `bits` bits. */
#define GENERIC_FUNCTIONS(word, bits)                                                                                  \
    static size_t bytes_##word(const elq_shape *g) { return (size_t)(g->o * ceil_div(row_length(g) * (bits), 8)); }    \
    static void pack_##word(const elq_shape *g, const void *rows, void *packed) {                                      \
        memcpy(packed, rows, bytes_##word(g));                                                                         \
    }

/* And `name`, which runs a task. */
#define GENERIC_RUN(name, bits, decode, finish)                                                                        \
    static void name(const elq_conv *conv, ptrdiff_t task, void *scratch) {                                            \
        run(conv, task, scratch, decode, bits, finish);                                                                \
    }

/* Of an elq_kernel, what does not say its name and what it multiplies. */
#define GENERIC_OF(word, run_it)                                                                                       \
    .runs = elq_always, .pays = elq_always, .weight_bytes = bytes_##word, .pack = pack_##word,                         \
    .scratch_bytes = scratch_bytes, .tasks = tasks, .run = run_it
#define GENERIC(word) GENERIC_OF(word, run_##word)
#define GENERIC_SUMS(word) GENERIC_OF(word, sums_##word)
