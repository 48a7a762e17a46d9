/* Convolution by looking up partial sums: no multiplication at all.
 *
 * Four bits hold the codes of 4 binary or 2 ternary weights of one output, so that their share of its sum is one of 16
 * numbers that the input alone determines. A task makes this table for every pixel and every 4 (2) channels of its
 * window; then the outputs of a block take one permutation of the table by their bits and one addition:
 *
 *     packed[block of LANES outputs][word][lane]   8 nibbles a word, in the order KH KW nibble of channels
 *     table [pixel][nibble of channels][16]        entry e: sum over b of (code b of e) * x[b]
 *     y[lane] += table[nibble][word[lane] & 15];  word >>= 4
 *
 * Channels are filled up with zeros to 1, 2, 4 or a multiple of 8 nibbles, so that the nibbles of a tap never cross a
 * word. A chunk of 8 nibbles of channels at a time (of 32 if there is one tap): their tables serve all taps and all
 * outputs of the task, whose sums wait in scratch.
 *
 * Error: ELQ_DIRECT of infer/kernels.h; a sum is one chain over (chunk, tap, nibble), each nibble's own sum first.
 *
 * Included behind infer/f32_kernels.inc.h, by a file that defines LOOK_UP(word, table), the entries that the low 4 bits
 * of each lane name, ADD_TOO(sum, v), the same addition by another unit, and lookup_pays_t2 and lookup_pays_b1, functions
 * of a shape. Copying has an instance of its own here, which gcc fits to its only caller. */
#undef NAME
#define NAME(x) lookup_##x
#include "infer/f32_codes.inc.h"
#include "common/gather.inc.h"

enum {
    LOOKUP_TILE = LANES > 8 ? 12 : 4,
    LOOKUP_TABLES = 1 << 16, /* floats of tables, about */
    LOOKUP_SUMS = 1 << 16    /* and of waiting sums */
};

/* Up to 8 nibbles: where their tables lie from the pixel's first one, their word (in lanes) and shift in a chunk. */
struct lookup_tap {
    ptrdiff_t offset, word;
    uint32_t shift;
};

struct lookup_plan {
    elq_shape s;
    ptrdiff_t n, xs[4];
    ptrdiff_t rows, columns, bands, strips; /* of a window; windows of a picture */
    ptrdiff_t pieces, blocks;               /* of the outputs; blocks of a piece */
    ptrdiff_t nibbles, chunk, words;        /* of a pixel; at a time; words of a block */
    ptrdiff_t buffer_h, buffer_w, taps;     /* of a chunk */
};

static ptrdiff_t lookup_nibbles(int bits, ptrdiff_t c) {
    ptrdiff_t n = (c * bits + 3) / 4;
    return n < 3 ? n : n < 5 ? 4 : (n + 7) / 8 * 8;
}

static struct lookup_plan lookup_plan(int bits, const elq_shape *shape, ptrdiff_t n) {
    elq_shape s = *shape;
    struct lookup_plan p = {.n = n, .xs = {s.h * s.w * s.c, 1, s.w * s.c, s.c}, .pieces = 1};
    if (elq_no_window(&s)) {
        if (s.stride_h == 1 && s.stride_w == 1) { /* all pixels are one row */
            s.w = s.q = n * s.h * s.w;
            s.h = s.p = p.n = 1;
        }
        p.xs[2] *= s.stride_h, p.xs[3] *= s.stride_w; /* else a view without the pixels that it skips */
        s.h = s.p, s.w = s.q, s.stride_h = s.stride_w = 1;
    }
    p.s = s;
    ptrdiff_t most = s.kh * s.kw > 1 ? 8 : 32;
    p.nibbles = lookup_nibbles(bits, s.c);
    p.chunk = p.nibbles < most ? p.nibbles : most;
    p.taps = s.kh * s.kw * ((p.chunk + 7) / 8);
    p.words = (s.kh * s.kw * p.nibbles + 7) / 8;
    ptrdiff_t pixels = LOOKUP_SUMS / s.o < 4 * LOOKUP_TILE ? 4 * LOOKUP_TILE : LOOKUP_SUMS / s.o;
    ptrdiff_t span_h = (s.kh - 1) * s.dilation_h + 1, span_w = (s.kw - 1) * s.dilation_w + 1;
    ptrdiff_t blocks = (s.o + LANES - 1) / LANES;
    p.strips = (s.q + pixels - 1) / pixels;
    p.columns = (s.q + p.strips - 1) / p.strips;
    p.rows = (LOOKUP_TABLES / (((p.columns - 1) * s.stride_w + span_w) * p.chunk * 16) - span_h) / s.stride_h + 1;
    if (p.rows * p.columns > pixels) p.rows = pixels / p.columns;
    if (p.rows > s.p) p.rows = s.p;
    if (p.rows < 1) p.rows = 1;
    ptrdiff_t wanted = n * s.p * s.q * s.o * s.c * s.kh * s.kw > 1 << 20 ? 4 : 2;
    for (;;) {
        p.bands = (s.p + p.rows - 1) / p.rows;
        p.strips = (s.q + p.columns - 1) / p.columns;
        if (p.n * p.bands * p.strips * p.pieces >= wanted) break;
        if (p.rows > 1 && s.stride_h >= span_h) p.rows = (p.rows + 1) / 2;
        else if (blocks >= 8 * p.pieces || (blocks >= 4 * p.pieces && s.p * s.q < 4)) p.pieces *= 2;
        else if (p.rows > 1) p.rows = (p.rows + 1) / 2;
        else if (p.columns > 2 * LOOKUP_TILE) p.columns = (p.columns + 1) / 2;
        else break;
    }
    p.rows = (s.p + p.bands - 1) / p.bands;
    p.blocks = (blocks + p.pieces - 1) / p.pieces;
    p.blocks += p.blocks % 2;
    p.pieces = (blocks + p.blocks - 1) / p.blocks;
    p.buffer_h = (p.rows - 1) * s.stride_h + span_h;
    p.buffer_w = (p.columns - 1) * s.stride_w + span_w;
    return p;
}

INLINE size_t lookup_bytes(const int bits, const elq_shape *s) {
    struct lookup_plan p = lookup_plan(bits, s, 1);
    return (size_t)((s->o + LANES - 1) / LANES * p.words) * VECTOR_BYTES;
}

INLINE void lookup_pack(const int bits, const elq_shape *s, const void *rows, void *packed) {
    struct lookup_plan p = lookup_plan(bits, s, 1);
    uint32_t *to = packed, mask = (1u << bits) - 1;
    ptrdiff_t depth = s->kh * s->kw * s->c, size = (depth * bits + 7) / 8;
    memset(to, 0, lookup_bytes(bits, s));
    for (ptrdiff_t o = 0; o < s->o; o++)
        for (ptrdiff_t k = 0; k < depth; k++) {
            uint32_t code = (uint32_t)((const unsigned char *)rows)[o * size + k * bits / 8] >> k * bits % 8 & mask;
            ptrdiff_t at = (k / s->c * p.nibbles * 4 + k % s->c * bits); /* bit of the row of whole nibbles */
            to[(o / LANES * p.words + at / 32) * LANES + o % LANES] |= code << at % 32;
        }
}

/* The tables of `nibbles` nibbles of the channels of one pixel. */
INLINE void lookup_make_tables(const int bits, float *table, const float *x, ptrdiff_t nibbles) {
    UNSIGNED e;
    for (int lane = 0; lane < LANES; lane++) e[lane] = (unsigned)lane;
    for (int half = 0; half < 16; half += LANES, e += (unsigned)LANES) {
        const float *from = x;
        float *to = table + half;
        if (bits == 1) {
            VEC c0 = NAME(decode)(1, e), c1 = NAME(decode)(1, e >> 1), c2 = NAME(decode)(1, e >> 2);
            VEC c3 = NAME(decode)(1, e >> 3);
            for (ptrdiff_t k = 0; k < nibbles; k++, from += 4, to += 16)
                NAME(store)(to, (c0 * from[0] + c1 * from[1]) + (c2 * from[2] + c3 * from[3]));
        } else {
            VEC c0 = NAME(decode)(2, e), c1 = NAME(decode)(2, e >> 2);
            for (ptrdiff_t k = 0; k < nibbles; k++, from += 2, to += 16) NAME(store)(to, c0 * from[0] + c1 * from[1]);
        }
    }
}

#define EACH_OF_TWELVE(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)
#define EACH_OF_EIGHT(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)

/* T neighbours and V = 1 or 2 blocks of outputs; `step` floats of tables from pixel to pixel. */
INLINE void lookup_tile(const int V, const int T, const float *table, ptrdiff_t step, const struct lookup_tap *tap,
                        ptrdiff_t taps, ptrdiff_t nibbles, const uint32_t *codes, ptrdiff_t block, float *y, int add) {
#define DECLARE(t) VEC a##t = {0}, b##t = {0};
#define LOAD(t)                                                                                                        \
    if (T > t) a##t = NAME(load)(y + t * V * LANES);                                                                   \
    if (T > t && V > 1) b##t = NAME(load)(y + (t * V + 1) * LANES);
#define ADD(t)                                                                                                         \
    if (T > t) {                                                                                                       \
        a##t += LOOK_UP(w0, from + t * step);                                                                          \
        if (V > 1) b##t = ADD_TOO(b##t, LOOK_UP(w1, from + t * step));                                                 \
    }
#define STORE(t)                                                                                                       \
    if (T > t) NAME(store)(y + t * V * LANES, a##t);                                                                   \
    if (T > t && V > 1) NAME(store)(y + (t * V + 1) * LANES, b##t);
    VEC one = 1 - (VEC){0};
    __asm__("" : "+v"(one)); /* for ADD_TOO: gcc must not know it */
    EACH_OF_TWELVE(DECLARE)
    if (add) { EACH_OF_TWELVE(LOAD) }
    for (ptrdiff_t k = 0; k < taps; k++) {
        const float *from = table + tap[k].offset;
        UNSIGNED w0 = NAME(load_words)(codes + tap[k].word) >> tap[k].shift, w1 = w0;
        if (V > 1) w1 = NAME(load_words)(codes + block + tap[k].word) >> tap[k].shift;
        for (ptrdiff_t i = 0; i < nibbles; i++, from += 16, w0 >>= 4, w1 >>= 4) { EACH_OF_TWELVE(ADD) }
    }
    EACH_OF_TWELVE(STORE)
#undef DECLARE
#undef LOAD
#undef ADD
#undef STORE
}

/* One pixel and V blocks. */
INLINE void lookup_one_pixel(const int V, const float *table, const struct lookup_tap *tap, ptrdiff_t taps,
                             ptrdiff_t nibbles, const uint32_t *codes, ptrdiff_t block, float *y, int add) {
#define DECLARE(v) VEC a##v = {0};
#define LOAD(v)                                                                                                        \
    if (V > v) a##v = NAME(load)(y + v * LANES);
#define WORD(v)                                                                                                        \
    UNSIGNED w##v = {0};                                                                                               \
    if (V > v) w##v = NAME(load_words)(codes + v * block + tap[k].word) >> tap[k].shift;
#define ADD(v)                                                                                                         \
    if (V > v) a##v += LOOK_UP(w##v, from), w##v >>= 4;
#define STORE(v)                                                                                                       \
    if (V > v) NAME(store)(y + v * LANES, a##v);
    EACH_OF_EIGHT(DECLARE)
    if (add) { EACH_OF_EIGHT(LOAD) }
    for (ptrdiff_t k = 0; k < taps; k++) {
        const float *from = table + tap[k].offset;
        EACH_OF_EIGHT(WORD)
        for (ptrdiff_t i = 0; i < nibbles; i++, from += 16) { EACH_OF_EIGHT(ADD) }
    }
    EACH_OF_EIGHT(STORE)
#undef DECLARE
#undef LOAD
#undef WORD
#undef ADD
#undef STORE
}

/* `pixels` neighbours in tiles of nearly equal size, each with all `blocks`: sums [pair of blocks][`rest` pixels]. */
static void lookup_row(const float *table, ptrdiff_t step, const struct lookup_tap *tap, ptrdiff_t taps,
                       ptrdiff_t nibbles, const uint32_t *codes, ptrdiff_t block, ptrdiff_t blocks, float *y,
                       ptrdiff_t pixels, ptrdiff_t rest, int add) {
    for (ptrdiff_t tiles = (pixels + LOOKUP_TILE - 1) / LOOKUP_TILE, q = 0; tiles > 0; tiles--) {
        ptrdiff_t t = (pixels - q + tiles - 1) / tiles;
        for (ptrdiff_t k = 0; k < blocks; k += 2) {
            const uint32_t *word = codes + k * block;
            float *to = y + k * rest * LANES;
#define CASE(n)                                                                                                        \
    case n + 1:                                                                                                        \
        if (n >= LOOKUP_TILE) break;                                                                                   \
        if (k + 1 < blocks)                                                                                            \
            lookup_tile(2, n + 1, table, step, tap, taps, nibbles, word, block, to + 2 * q * LANES, add);              \
        else lookup_tile(1, n + 1, table, step, tap, taps, nibbles, word, block, to + q * LANES, add);                 \
        break;
            switch (t) { EACH_OF_TWELVE(CASE) }
#undef CASE
        }
        table += t * step;
        q += t;
    }
}

/* All `blocks` of one pixel. */
static void lookup_column(const float *table, const struct lookup_tap *tap, ptrdiff_t taps, ptrdiff_t nibbles,
                          const uint32_t *codes, ptrdiff_t block, float *y, ptrdiff_t blocks, int add) {
    for (; blocks >= 8; blocks -= 8, codes += 8 * block, y += 8 * LANES)
        lookup_one_pixel(8, table, tap, taps, nibbles, codes, block, y, add);
    for (; blocks >= 4; blocks -= 4, codes += 4 * block, y += 4 * LANES)
        lookup_one_pixel(4, table, tap, taps, nibbles, codes, block, y, add);
    for (; blocks > 0; blocks--, codes += block, y += LANES)
        lookup_one_pixel(1, table, tap, taps, nibbles, codes, block, y, add);
}

INLINE size_t lookup_scratch(const int bits, const elq_shape *s) {
    struct lookup_plan p = lookup_plan(bits, s, LOOKUP_SUMS); /* no window is larger for another n */
    return (size_t)(p.taps) * sizeof(struct lookup_tap) +
           (size_t)(p.buffer_w * p.chunk * 4 / bits + p.buffer_h * p.buffer_w * p.chunk * 16 +
                    p.rows * p.columns * p.blocks * LANES) *
               sizeof(float);
}

INLINE ptrdiff_t lookup_tasks(const int bits, const elq_shape *s, ptrdiff_t n) {
    struct lookup_plan p = lookup_plan(bits, s, n);
    return p.n * p.bands * p.strips * p.pieces;
}

INLINE void lookup_run(const int bits, const elq_conv *conv, ptrdiff_t task, void *scratch) {
    struct lookup_plan plan = lookup_plan(bits, &conv->shape, conv->n), *p = &plan;
    const elq_shape *s = &p->s;
    ptrdiff_t piece = task % p->pieces, window = task / p->pieces;
    ptrdiff_t q0 = window % p->strips * p->columns, p0 = window / p->strips % p->bands * p->rows;
    ptrdiff_t n = window / p->strips / p->bands, columns = s->q - q0 < p->columns ? s->q - q0 : p->columns;
    ptrdiff_t rows = s->p - p0 < p->rows ? s->p - p0 : p->rows, pixel = p->chunk * 16;
    ptrdiff_t buffer_h = p->buffer_h - (p->rows - rows) * s->stride_h;
    ptrdiff_t first = piece * p->blocks, all = (s->o + LANES - 1) / LANES;
    ptrdiff_t blocks = all - first < p->blocks ? all - first : p->blocks;
    const uint32_t *codes = (const uint32_t *)conv->weights + first * p->words * LANES;
    assert(task >= 0 && n < p->n && (uintptr_t)scratch % ELQ_ALIGN == 0);

    struct lookup_tap *tap = scratch;
    ptrdiff_t parts = (p->chunk + 7) / 8;
    for (ptrdiff_t k = 0; k < p->taps; k++) {
        ptrdiff_t i = k / parts / s->kw, j = k / parts % s->kw, nibble = k / parts * p->nibbles + k % parts * 8;
        tap[k].offset = (i * s->dilation_h * p->buffer_w + j * s->dilation_w) * pixel + k % parts * 8 * 16;
        tap[k].word = nibble / 8 * LANES, tap[k].shift = (uint32_t)(nibble % 8 * 4);
    }
    float *buffer = (float *)(tap + p->taps), *tables = buffer + p->buffer_w * p->chunk * 4 / bits;
    float *sums = tables + p->buffer_h * p->buffer_w * pixel;
    for (ptrdiff_t first_nibble = 0; first_nibble < p->nibbles; first_nibble += p->chunk, codes += parts * LANES) {
        ptrdiff_t size = p->chunk * 4 / bits, c = first_nibble * 4 / bits, some = s->c - c < size ? s->c - c : size;
        ptrdiff_t left = p->nibbles - first_nibble, taps = p->taps, nibbles = p->chunk < 8 ? p->chunk : 8;
        if (parts > 1 && left < p->chunk) taps = left / 8; /* of the only tap */
        for (ptrdiff_t r = 0; r < buffer_h; r++) {
            NAME(gather)(buffer, size, (const float *)conv->x + n * p->xs[0] + c, p->xs, some, s->h, s->w,
                         p0 * s->stride_h - s->pad_h + r, 1, q0 * s->stride_w - s->pad_w, p->buffer_w);
            lookup_make_tables(bits, tables + r * p->buffer_w * pixel, buffer, p->buffer_w * p->chunk);
        }
        if (rows * columns == 1) {
            lookup_column(tables, tap, taps, nibbles, codes, p->words * LANES, sums, blocks, first_nibble > 0);
            continue;
        }
        for (ptrdiff_t r = 0; r < rows; r++)
            lookup_row(tables + r * s->stride_h * p->buffer_w * pixel, s->stride_w * pixel, tap, taps, nibbles, codes,
                       p->words * LANES, blocks, sums + r * columns * blocks * LANES, columns, columns,
                       first_nibble > 0);
    }
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t block = 0; block < blocks; block += 2)
            NAME(finish_row)(conv, ((n * s->p + p0 + r) * s->q + q0) * s->o, (first + block) * LANES, s->o,
                             blocks - block > 1 ? 2 : 1, sums + (r * blocks + block) * columns * LANES, columns);
}

/* Every shape without groups has tables; whether they pay is for the instruction set to say. */
static int lookup_runs(const elq_shape *s) { return s->groups == 1; }

#define LOOKUP_FUNCTIONS(word, bits)                                                                                   \
    static size_t lookup_bytes_##word(const elq_shape *s) { return lookup_bytes(bits, s); }                            \
    static void lookup_pack_##word(const elq_shape *s, const void *rows, void *packed) {                               \
        lookup_pack(bits, s, rows, packed);                                                                            \
    }                                                                                                                  \
    static size_t lookup_scratch_##word(const elq_shape *s) { return lookup_scratch(bits, s); }                        \
    static ptrdiff_t lookup_tasks_##word(const elq_shape *s, ptrdiff_t n) { return lookup_tasks(bits, s, n); }         \
    static void lookup_run_##word(const elq_conv *conv, ptrdiff_t task, void *scratch) {                               \
        lookup_run(bits, conv, task, scratch);                                                                         \
    }
LOOKUP_FUNCTIONS(t2, 2)
LOOKUP_FUNCTIONS(b1, 1)
#undef LOOKUP_FUNCTIONS

/* As F32_DIRECT of infer/f32_kernels.inc.h. */
#define F32_LOOKUP(word)                                                                                               \
    .activations = ELQ_F32, .runs = lookup_runs, .pays = lookup_pays_##word, .weight_bytes = lookup_bytes_##word,      \
    .pack = lookup_pack_##word, .scratch_bytes = lookup_scratch_##word, .tasks = lookup_tasks_##word,                  \
    .run = lookup_run_##word, .error = ELQ_DIRECT
