/* Depthwise convolution with int8 activations: one input and one output channel a group, channels are the lanes. Included
 * behind infer/i8_conv.inc.h, whose blocks and tail it uses.
 *
 *   band (bytes, border included)          weights of a block
 *   | c c c c ... | c c c c ... | ...      [tap][2 vectors]     sums[pixel][lane] += x[pixel + tap][lane] * w[tap][lane]
 *
 * Packed weights are [tap][channel] in 2, 1 or 8 bits, each tap in whole bytes; a task decodes them block by block.
 * Products and sums are modulo 2^32. */
typedef uint32_t DEPTHWISE_SUMS __attribute__((vector_size(4 * LANES)));

enum { DEPTHWISE_PIXELS = 4, DEPTHWISE_BAND = 1 << 16 }; /* of a tile; bytes of a band at least, where there are rows */

/* How a call is cut into tasks: pictures x bands of rows. */
struct depthwise_plan {
    ptrdiff_t rows, bands, width, taps; /* width in pixels of the buffer */
};

static struct depthwise_plan depthwise_plan(const elq_shape *g) {
    struct depthwise_plan p = {.width = (g->q - 1) * g->stride_w + (g->kw - 1) * g->dilation_w + 1,
                               .taps = g->kh * g->kw};
    p.rows = elq_least(DEPTHWISE_BAND / (p.width * g->c * g->stride_h) + 1, (g->p + 1) / 2); /* at least two tasks */
    p.bands = elq_ceil_div(g->p, p.rows);
    return p;
}

static ptrdiff_t depthwise_height(const elq_shape *g, ptrdiff_t rows) {
    return (rows - 1) * g->stride_h + (g->kh - 1) * g->dilation_h + 1;
}

INLINE ptrdiff_t depthwise_bits(const int weights) { return weights == ELQ_T2 ? 2 : weights == ELQ_B1 ? 1 : 8; }

INLINE ptrdiff_t depthwise_tap_bytes(const elq_shape *g, const int weights) {
    return elq_ceil_div(g->c * depthwise_bits(weights), 8);
}

INLINE void depthwise_pack(const elq_shape *g, const int weights, const void *rows, void *packed) {
    const ptrdiff_t bits = depthwise_bits(weights), taps = g->kh * g->kw;
    const ptrdiff_t row_bytes = elq_ceil_div(taps * bits, 8), tap_bytes = depthwise_tap_bytes(g, weights);
    const uint8_t *from = rows;
    uint8_t *to = packed;
    memset(to, 0, (size_t)(taps * tap_bytes));
    for (ptrdiff_t c = 0; c < g->c; c++)
        for (ptrdiff_t k = 0; k < taps; k++) {
            const int code = from[c * row_bytes + k * bits / 8] >> k * bits % 8 & ((1 << bits) - 1);
            to[k * tap_bytes + c * bits / 8] |= (uint8_t)(code << c * bits % 8);
        }
}

/* The codes of LANES channels from the first of `bits` bits of `row` on, in the low end of a word; there may be fewer. */
INLINE uint32_t depthwise_word(const uint8_t *row, ptrdiff_t tap_bytes, ptrdiff_t first, const ptrdiff_t bits) {
    const ptrdiff_t at = first * bits / 8, wanted = LANES * bits < 8 ? 1 : LANES * bits / 8;
    uint32_t word = 0;
    if (at + wanted <= tap_bytes) memcpy(&word, row + at, (size_t)wanted);
    else
        for (ptrdiff_t k = at; k < tap_bytes; k++) word |= (uint32_t)row[k] << 8 * (k - at);
    return word >> first * bits % 8;
}

/* w[tap][2 * LANES] of the channels first .. first + count - 1; the lanes behind them are never used. */
INLINE void depthwise_decode(const int weights, const uint8_t *packed, ptrdiff_t tap_bytes, ptrdiff_t taps,
                             ptrdiff_t first, ptrdiff_t count, int32_t *w) {
    const ptrdiff_t bits = depthwise_bits(weights);
    DEPTHWISE_SUMS shift;
    for (int k = 0; k < LANES; k++) shift[k] = (uint32_t)(k * bits);
    for (ptrdiff_t k = 0; k < taps; k++, packed += tap_bytes, w += 2 * LANES) {
        if (weights == ELQ_FULL)
            for (ptrdiff_t i = 0; i < count; i++) w[i] = (int8_t)packed[first + i];
        else
            for (ptrdiff_t i = 0; i < count; i += LANES) {
                const DEPTHWISE_SUMS codes =
                    (depthwise_word(packed, tap_bytes, first + i, bits) - (DEPTHWISE_SUMS){0}) >> shift;
                /* 00, 01, 11 are 0, 1, -1; 0, 1 are 1, -1 */
                const DEPTHWISE_SUMS values = weights == ELQ_T2 ? (codes & 1) - (codes & 2) : 1 - 2 * (codes & 1);
                memcpy(w + i, &values, sizeof values);
            }
    }
}

/* The rows of x that output rows first .. first + rows - 1 of picture n see. */
static void depthwise_gather(const elq_conv *conv, ptrdiff_t n, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t width,
                             int8_t *to) {
    const elq_shape *g = &conv->shape;
    const ptrdiff_t left = elq_least(g->pad_w, width), middle = elq_least(g->w, width - left);
    const ptrdiff_t top = first * g->stride_h - g->pad_h;
    for (ptrdiff_t r = top; r < top + depthwise_height(g, rows); r++, to += width * g->c) {
        if (r < 0 || r >= g->h) {
            memset(to, 0, (size_t)(width * g->c));
            continue;
        }
        const int8_t *from = (const int8_t *)conv->x + (n * g->h + r) * g->w * g->c;
        memset(to, 0, (size_t)(left * g->c));
        memcpy(to + left * g->c, from, (size_t)(middle * g->c));
        memset(to + (left + middle) * g->c, 0, (size_t)((width - left - middle) * g->c));
    }
}

static inline DEPTHWISE_SUMS depthwise_load(const int32_t *from) {
    DEPTHWISE_SUMS v;
    memcpy(&v, from, sizeof v);
    return v;
}

/* block->sums of T neighbouring pixels and V vectors of channels. */
INLINE void depthwise_tile(const int V, const int T, const elq_shape *g, ptrdiff_t pitch, const int8_t *x,
                           const int32_t *w, struct block *block) {
#define EACH_OF_FOUR(M) M(0) M(1) M(2) M(3)
#define DECLARE(t) DEPTHWISE_SUMS a##t = start0, b##t = start1;
#define MULTIPLY(t)                                                                                                    \
    if (T > t) {                                                                                                       \
        a##t += (DEPTHWISE_SUMS)vec_of_bytes(from + t * step) * w0;                                                    \
        if (V > 1) b##t += (DEPTHWISE_SUMS)vec_of_bytes(from + t * step + LANES) * w1;                                 \
    }
#define STORE(t)                                                                                                       \
    if (T > t) {                                                                                                       \
        memcpy(block->sums + t * V * LANES, &a##t, sizeof a##t);                                                       \
        if (V > 1) memcpy(block->sums + (t * V + 1) * LANES, &b##t, sizeof b##t);                                      \
    }
    const ptrdiff_t step = g->stride_w * g->c;
    const DEPTHWISE_SUMS start0 = depthwise_load(block->start), start1 = depthwise_load(block->start + (V - 1) * LANES);
    EACH_OF_FOUR(DECLARE)
    for (ptrdiff_t i = 0; i < g->kh; i++)
        for (ptrdiff_t j = 0; j < g->kw; j++, w += 2 * LANES) {
            const int8_t *from = x + i * g->dilation_h * pitch + j * g->dilation_w * g->c;
            const DEPTHWISE_SUMS w0 = depthwise_load(w), w1 = depthwise_load(w + (V - 1) * LANES);
            EACH_OF_FOUR(MULTIPLY)
        }
    EACH_OF_FOUR(STORE)
#undef EACH_OF_FOUR
#undef DECLARE
#undef MULTIPLY
#undef STORE
}

/* One row of outputs of one block. */
INLINE void depthwise_row(const elq_conv *conv, const int V, ptrdiff_t pitch, const int8_t *x, const int32_t *w,
                          struct block *block, ptrdiff_t at) {
    const elq_shape *g = &conv->shape;
    for (ptrdiff_t left = g->q; left > 0;) {
        const int t = left < DEPTHWISE_PIXELS ? 1 : DEPTHWISE_PIXELS;
        if (t == 1) depthwise_tile(V, 1, g, pitch, x, w, block);
        else depthwise_tile(V, DEPTHWISE_PIXELS, g, pitch, x, w, block);
        finish_any(conv, V, block, t, at);
        x += t * g->stride_w * g->c, at += t * g->o, left -= t;
    }
}

/* Scratch: block, decoded weights of a block, band; a vector read at the band's end may go beyond it. */
static size_t depthwise_scratch(const elq_shape *g) {
    const struct depthwise_plan plan = depthwise_plan(g);
    return (size_t)(BLOCK_BYTES + plan.taps * 2 * LANES * 4 + depthwise_height(g, plan.rows) * plan.width * g->c +
                    2 * LANES);
}

INLINE void depthwise_run(const elq_conv *conv, ptrdiff_t task, void *scratch, const int weights) {
    const elq_shape *g = &conv->shape;
    const struct depthwise_plan plan = depthwise_plan(g);
    const ptrdiff_t n = task / plan.bands, first = task % plan.bands * plan.rows, pitch = plan.width * g->c;
    const ptrdiff_t rows = elq_least(plan.rows, g->p - first);
    assert(task >= 0 && n < conv->n && (uintptr_t)scratch % ELQ_ALIGN == 0);
    struct block *block = scratch;
    int32_t *w = (int32_t *)((char *)scratch + BLOCK_BYTES);
    int8_t *band = (int8_t *)(w + plan.taps * 2 * LANES);
    depthwise_gather(conv, n, first, rows, plan.width, band);
    block->sums_only = 0;
    for (ptrdiff_t o = 0; o < g->o; o += 2 * LANES) {
        const ptrdiff_t vectors = g->o - o > LANES ? 2 : 1;
        block->outputs = elq_least(vectors * LANES, g->o - o);
        prepare(conv->tail, vectors, o, block);
        depthwise_decode(weights, conv->weights, depthwise_tap_bytes(g, weights), plan.taps, o, block->outputs, w);
        for (ptrdiff_t r = 0; r < rows; r++) {
            const int8_t *x = band + r * g->stride_h * pitch + o;
            const ptrdiff_t at = (n * g->p + first + r) * g->q * g->o + o;
            if (vectors > 1) depthwise_row(conv, 2, pitch, x, w, block, at);
            else depthwise_row(conv, 1, pitch, x, w, block, at);
        }
    }
}

static int depthwise_runs(const elq_shape *g) { return g->groups == g->c && g->o == g->c; }

static ptrdiff_t depthwise_tasks(const elq_shape *g, ptrdiff_t n) { return n * depthwise_plan(g).bands; }

#define DEPTHWISE_FUNCTIONS(word, WEIGHTS)                                                                             \
    static size_t depthwise_bytes_##word(const elq_shape *g) {                                                         \
        return (size_t)(g->kh * g->kw * depthwise_tap_bytes(g, WEIGHTS));                                              \
    }                                                                                                                  \
    static void depthwise_pack_##word(const elq_shape *g, const void *rows, void *packed) {                            \
        depthwise_pack(g, WEIGHTS, rows, packed);                                                                      \
    }                                                                                                                  \
    static void depthwise_run_##word(const elq_conv *conv, ptrdiff_t task, void *scratch) {                            \
        depthwise_run(conv, task, scratch, WEIGHTS);                                                                   \
    }
DEPTHWISE_FUNCTIONS(t2, ELQ_T2)
DEPTHWISE_FUNCTIONS(b1, ELQ_B1)
DEPTHWISE_FUNCTIONS(i8, ELQ_FULL)
#undef DEPTHWISE_FUNCTIONS

/* As I8_CONV of infer/i8_conv.inc.h. */
#define I8_DEPTHWISE(word)                                                                                             \
    .activations = ELQ_I8, .runs = depthwise_runs, .pays = elq_always, .weight_bytes = depthwise_bytes_##word,         \
    .pack = depthwise_pack_##word, .scratch_bytes = depthwise_scratch, .tasks = depthwise_tasks,                       \
    .run = depthwise_run_##word
