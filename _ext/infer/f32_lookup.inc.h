/* Convolution by looking up partial sums: no multiplication at all.
 *
 * A group is the codes of neighbouring channels of one output: 3 binary ones in 3 bits, 4 binary or 2 ternary ones in 4,
 * 3 ternary ones in 5. Its share of the output's sum is one of 8, 16 or 27 numbers that the input alone determines. A task
 * makes this table for every pixel and every group of channels of its window; then the outputs of a block take one
 * permutation of the table by their codes and one addition:
 *
 *     packed[block of LANES outputs][word][lane]   10, 8 or 6 groups a word, in the order KH KW group
 *     table [pixel][group][8, 16 or 32]            entry e: sum over the channels i of (code i of e) * x[i]
 *     y[lane] += table[group][low bits of word[lane]];  word >>= bits of a group
 *
 * Channels are filled up with zeros to a number of groups that divides a word's, or is a multiple of it, so that the
 * groups of a tap never cross a word. Some words' groups of channels at a time are a chunk (one word's, if there are
 * several taps): their tables serve all taps and all outputs of the task, whose sums wait in scratch.
 *
 * Error: ELQ_DIRECT of infer/kernels.h; a sum is one chain over (chunk, tap, group), each group's own sum first.
 *
 * Included behind infer/f32_kernels.inc.h, by a file that defines GROUP_B1 and GROUP_T2, the codes of a group, TABLE(bits,
 * table), variables for 2^bits entries, LOOK_UP(bits, word), those that the low bits of each lane name, ADD_TOO(sum, v),
 * the same addition by another unit; behind it lookup_pays_t2 and lookup_pays_b1, functions of a shape. Copying has an
 * instance of its own here, which gcc fits to its only caller. */
#undef NAME
#define NAME(x) lookup_##x
#include "infer/f32_codes.inc.h"
#include "common/gather.inc.h"

enum {
    LOOKUP_TILE = LANES > 8 ? 12 : 4,
    LOOKUP_NEAR = 1 << 13,   /* floats of tables in the first cache, about */
    LOOKUP_TABLES = 1 << 16, /* and in the second */
    LOOKUP_SUMS = 1 << 16    /* and of waiting sums */
};

/* Codes of a group, its bits, entries of its table, groups of a word, and words of a chunk, so many that the tables of
 * a tile stay in the first cache. */
#define GROUP(bits) ((bits) == 1 ? GROUP_B1 : GROUP_T2)
#define GROUP_BITS(bits) ((bits) == 1 ? GROUP_B1 : GROUP_T2 == 3 ? 5 : 4)
#define ENTRIES(bits) (1 << GROUP_BITS(bits))
#define IN_WORD(bits) (32 / GROUP_BITS(bits))
#define LOOKUP_WORDS(bits) (ENTRIES(bits) > 16 ? 3 : 4)

/* Up to a word of groups: how many, where their tables lie from the pixel's first one, their word (in lanes) and shift in
 * a chunk. */
struct lookup_tap {
    ptrdiff_t groups, offset, word;
    uint32_t shift;
};

struct lookup_plan {
    elq_shape s;
    ptrdiff_t n, xs[4];
    ptrdiff_t rows, columns, bands, strips;        /* of a window; windows of a picture */
    ptrdiff_t pieces, blocks;                      /* of the outputs; blocks of a piece */
    ptrdiff_t groups, filled, chunk, parts, words; /* of a pixel; with zeros; at a time; its words; words of a block */
    ptrdiff_t buffer_h, buffer_w, taps;            /* taps of a chunk, a word each */
};

static ptrdiff_t lookup_filled(int bits, ptrdiff_t groups) {
    const ptrdiff_t most = IN_WORD(bits);
    for (ptrdiff_t n = 1; n < most; n++)
        if (most % n == 0 && groups <= n) return n;
    return (groups + most - 1) / most * most;
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
    ptrdiff_t in_word = IN_WORD(bits), most = s.kh * s.kw > 1 ? in_word : LOOKUP_WORDS(bits) * in_word;
    p.groups = (s.c + GROUP(bits) - 1) / GROUP(bits);
    p.filled = lookup_filled(bits, p.groups);
    p.chunk = p.filled < most ? p.filled : most;
    p.parts = (p.chunk + in_word - 1) / in_word;
    p.taps = s.kh * s.kw * p.parts;
    p.words = (s.kh * s.kw * p.filled + in_word - 1) / in_word;
    ptrdiff_t pixels = LOOKUP_SUMS / s.o < 4 * LOOKUP_TILE ? 4 * LOOKUP_TILE : LOOKUP_SUMS / s.o;
    ptrdiff_t span_h = (s.kh - 1) * s.dilation_h + 1, span_w = (s.kw - 1) * s.dilation_w + 1;
    ptrdiff_t blocks = (s.o + LANES - 1) / LANES, tables = LOOKUP_TABLES;
    if (s.kh * s.kw == 1) { /* nothing overlaps: the tables of a window are used up in the first cache */
        tables = LOOKUP_NEAR;
        pixels = LOOKUP_NEAR / (p.chunk * ENTRIES(bits)) / LOOKUP_TILE * LOOKUP_TILE;
        if (pixels < LOOKUP_TILE) pixels = LOOKUP_TILE;
    }
    p.strips = (s.q + pixels - 1) / pixels;
    p.columns = (s.q + p.strips - 1) / p.strips;
    p.rows = (tables / (((p.columns - 1) * s.stride_w + span_w) * p.chunk * ENTRIES(bits)) - span_h) / s.stride_h + 1;
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
            ptrdiff_t c = k % s->c, i = c % GROUP(bits), group = k / s->c * p.filled + c / GROUP(bits);
            uint32_t *word = to + (o / LANES * p.words + group / IN_WORD(bits)) * LANES + o % LANES;
            if (GROUP_BITS(bits) == 5)
                code = (code == 3 ? 2 : code) * (i == 0 ? 1 : i == 1 ? 3 : 9); /* NAME(code_of) */
            else code <<= i * bits;
            *word += code << group % IN_WORD(bits) * GROUP_BITS(bits);
        }
}

/* Code i of each entry e: 3 ternary codes are digits, of which 0, 1, 2 are 0, +1, -1. */
INLINE VEC NAME(code_of)(const int bits, UNSIGNED e, const int i) {
    if (bits == 1 || GROUP_T2 < 3) return NAME(decode)(bits, e >> (bits * i));
    const UNSIGNED digit = e / (i == 0 ? 1 : i == 1 ? 3 : 9) % 3;
    return NAME(decode)(2, digit | digit >> 1);
}

/* The tables of `groups` groups of the channels of one pixel. */
INLINE void lookup_make_tables(const int bits, float *table, const float *x, ptrdiff_t groups) {
    const int size = GROUP(bits);
    UNSIGNED e;
    for (int lane = 0; lane < LANES; lane++) e[lane] = (unsigned)lane;
    for (int part = 0; part < ENTRIES(bits); part += LANES, e += (unsigned)LANES) {
        const VEC c0 = NAME(code_of)(bits, e, 0), c1 = NAME(code_of)(bits, e, 1);
        const VEC c2 = NAME(code_of)(bits, e, 2), c3 = NAME(code_of)(bits, e, 3);
        const float *from = x;
        float *to = table + part;
        for (ptrdiff_t k = 0; k < groups; k++, from += size, to += ENTRIES(bits)) {
            VEC sum = c0 * from[0] + c1 * from[1];
            if (size == 3) sum += c2 * from[2];
            if (size == 4) sum += c2 * from[2] + c3 * from[3];
            NAME(store)(to, sum);
        }
    }
}

#define EACH_OF_TWELVE(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)
#define EACH_OF_EIGHT(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)

/* T neighbours and V = 1 or 2 blocks of outputs; `step` floats of tables from pixel to pixel. */
INLINE void lookup_tile(const int bits, const int V, const int T, const float *table, ptrdiff_t step,
                        const struct lookup_tap *tap, ptrdiff_t taps, const uint32_t *codes, ptrdiff_t block, float *y,
                        int add) {
#define DECLARE(t) VEC a##t = {0}, b##t = {0};
#define LOAD(t)                                                                                                        \
    if (T > t) a##t = NAME(load)(y + t * V * LANES);                                                                   \
    if (T > t && V > 1) b##t = NAME(load)(y + (t * V + 1) * LANES);
#define ADD(t)                                                                                                         \
    if (T > t) {                                                                                                       \
        TABLE(bits, from + t * step)                                                                                   \
        a##t += LOOK_UP(bits, w0);                                                                                     \
        if (V > 1) b##t = ADD_TOO(b##t, LOOK_UP(bits, w1));                                                            \
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
        for (ptrdiff_t i = tap[k].groups; i > 0; i--, from += 1 << bits, w0 >>= bits, w1 >>= bits) {
            EACH_OF_TWELVE(ADD)
        }
    }
    EACH_OF_TWELVE(STORE)
#undef DECLARE
#undef LOAD
#undef ADD
#undef STORE
}

/* One pixel and V blocks. */
INLINE void lookup_one_pixel(const int bits, const int V, const float *table, const struct lookup_tap *tap,
                             ptrdiff_t taps, const uint32_t *codes, ptrdiff_t block, float *y, int add) {
#define DECLARE(v) VEC a##v = {0};
#define LOAD(v)                                                                                                        \
    if (V > v) a##v = NAME(load)(y + v * LANES);
#define WORD(v)                                                                                                        \
    UNSIGNED w##v = {0};                                                                                               \
    if (V > v) w##v = NAME(load_words)(codes + v * block + tap[k].word) >> tap[k].shift;
#define ADD(v)                                                                                                         \
    if (V > v) a##v += LOOK_UP(bits, w##v), w##v >>= bits;
#define STORE(v)                                                                                                       \
    if (V > v) NAME(store)(y + v * LANES, a##v);
    EACH_OF_EIGHT(DECLARE)
    if (add) { EACH_OF_EIGHT(LOAD) }
    for (ptrdiff_t k = 0; k < taps; k++) {
        const float *from = table + tap[k].offset;
        EACH_OF_EIGHT(WORD)
        for (ptrdiff_t i = tap[k].groups; i > 0; i--, from += 1 << bits) {
            TABLE(bits, from)
            EACH_OF_EIGHT(ADD)
        }
    }
    EACH_OF_EIGHT(STORE)
#undef DECLARE
#undef LOAD
#undef WORD
#undef ADD
#undef STORE
}

/* `pixels` neighbours in tiles of nearly equal size, each with all `blocks`: sums [pair of blocks][`rest` pixels]. */
INLINE void lookup_row(const int bits, const float *table, ptrdiff_t step, const struct lookup_tap *tap, ptrdiff_t taps,
                       const uint32_t *codes, ptrdiff_t block, ptrdiff_t blocks, float *y, ptrdiff_t pixels,
                       ptrdiff_t rest, int add) {
    for (ptrdiff_t tiles = (pixels + LOOKUP_TILE - 1) / LOOKUP_TILE, q = 0; tiles > 0; tiles--) {
        ptrdiff_t t = (pixels - q + tiles - 1) / tiles;
        for (ptrdiff_t k = 0; k < blocks; k += 2) {
            const uint32_t *word = codes + k * block;
            float *to = y + k * rest * LANES;
#define CASE(n)                                                                                                        \
    case n + 1:                                                                                                        \
        if (n >= LOOKUP_TILE) break;                                                                                   \
        if (k + 1 < blocks) lookup_tile(bits, 2, n + 1, table, step, tap, taps, word, block, to + 2 * q * LANES, add); \
        else lookup_tile(bits, 1, n + 1, table, step, tap, taps, word, block, to + q * LANES, add);                    \
        break;
            switch (t) { EACH_OF_TWELVE(CASE) }
#undef CASE
        }
        table += t * step;
        q += t;
    }
}

/* All `blocks` of one pixel. */
INLINE void lookup_column(const int bits, const float *table, const struct lookup_tap *tap, ptrdiff_t taps,
                          const uint32_t *codes, ptrdiff_t block, float *y, ptrdiff_t blocks, int add) {
    for (; blocks >= 8; blocks -= 8, codes += 8 * block, y += 8 * LANES)
        lookup_one_pixel(bits, 8, table, tap, taps, codes, block, y, add);
    for (; blocks >= 4; blocks -= 4, codes += 4 * block, y += 4 * LANES)
        lookup_one_pixel(bits, 4, table, tap, taps, codes, block, y, add);
    for (; blocks > 0; blocks--, codes += block, y += LANES)
        lookup_one_pixel(bits, 1, table, tap, taps, codes, block, y, add);
}

/* `rows` of `columns` windows' tables with all blocks; bits of a group. */
INLINE void lookup_all(const int bits, const struct lookup_plan *p, const float *tables, const struct lookup_tap *tap,
                       ptrdiff_t taps, const uint32_t *codes, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t blocks,
                       float *sums, int add) {
    const ptrdiff_t pixel = p->chunk << bits, block = p->words * LANES;
    if (rows * columns == 1) {
        lookup_column(bits, tables, tap, taps, codes, block, sums, blocks, add);
        return;
    }
    for (ptrdiff_t r = 0; r < rows; r++)
        lookup_row(bits, tables + r * p->s.stride_h * p->buffer_w * pixel, p->s.stride_w * pixel, tap, taps, codes,
                   block, blocks, sums + r * columns * blocks * LANES, columns, columns, add);
}

INLINE size_t lookup_scratch(const int bits, const elq_shape *s) {
    struct lookup_plan p = lookup_plan(bits, s, LOOKUP_SUMS); /* no window is larger for another n */
    return (size_t)(p.buffer_h * p.buffer_w * p.chunk * ENTRIES(bits) + p.rows * p.columns * p.blocks * LANES +
                    p.buffer_w * p.chunk * GROUP(bits)) *
               sizeof(float) +
           (size_t)p.taps * sizeof(struct lookup_tap);
}

INLINE ptrdiff_t lookup_tasks(const int bits, const elq_shape *s, ptrdiff_t n) {
    struct lookup_plan p = lookup_plan(bits, s, n);
    return p.n * p.bands * p.strips * p.pieces;
}

INLINE void lookup_run(const int bits, const elq_conv *conv, ptrdiff_t task, void *scratch) {
    struct lookup_plan plan = lookup_plan(bits, &conv->shape, conv->n), *p = &plan;
    const elq_shape *s = &p->s;
    ptrdiff_t piece = task % p->pieces, window = task / p->pieces, pixel = p->chunk * ENTRIES(bits);
    ptrdiff_t q0 = window % p->strips * p->columns, p0 = window / p->strips % p->bands * p->rows;
    ptrdiff_t n = window / p->strips / p->bands, columns = s->q - q0 < p->columns ? s->q - q0 : p->columns;
    ptrdiff_t rows = s->p - p0 < p->rows ? s->p - p0 : p->rows;
    ptrdiff_t buffer_h = p->buffer_h - (p->rows - rows) * s->stride_h;
    ptrdiff_t first = piece * p->blocks, all = (s->o + LANES - 1) / LANES;
    ptrdiff_t blocks = all - first < p->blocks ? all - first : p->blocks;
    const uint32_t *codes = (const uint32_t *)conv->weights + first * p->words * LANES;
    assert(task >= 0 && n < p->n && (uintptr_t)scratch % ELQ_ALIGN == 0);

    float *tables = scratch; /* whole vectors come first: a load that crosses a line takes twice as long */
    float *sums = tables + p->buffer_h * p->buffer_w * pixel;
    struct lookup_tap *tap = (struct lookup_tap *)(sums + p->rows * p->columns * p->blocks * LANES);
    float *buffer = (float *)(tap + p->taps);
    for (ptrdiff_t begun = 0; begun < p->groups; begun += p->chunk, codes += p->parts * LANES) {
        ptrdiff_t size = p->chunk * GROUP(bits), c = begun * GROUP(bits), some = s->c - c < size ? s->c - c : size;
        ptrdiff_t taps = 0, left = p->groups - begun;
        for (ptrdiff_t k = 0; k < s->kh * s->kw; k++)
            for (ptrdiff_t part = 0; part < p->parts && part * IN_WORD(bits) < left; part++) {
                ptrdiff_t groups = left - part * IN_WORD(bits), place = k * p->filled + part * IN_WORD(bits);
                ptrdiff_t at = k / s->kw * s->dilation_h * p->buffer_w + k % s->kw * s->dilation_w;
                tap[taps++] = (struct lookup_tap){
                    .groups = groups < IN_WORD(bits) ? groups : IN_WORD(bits),
                    .offset = at * pixel + part * IN_WORD(bits) * ENTRIES(bits),
                    .word = place / IN_WORD(bits) * LANES,
                    .shift = (uint32_t)(place % IN_WORD(bits) * GROUP_BITS(bits)),
                };
            }
        for (ptrdiff_t r = 0; r < buffer_h; r++) {
            NAME(gather)(buffer, size, (const float *)conv->x + n * p->xs[0] + c, p->xs, some, s->h, s->w,
                         p0 * s->stride_h - s->pad_h + r, 1, q0 * s->stride_w - s->pad_w, p->buffer_w);
            lookup_make_tables(bits, tables + r * p->buffer_w * pixel, buffer, p->buffer_w * p->chunk);
        }
        lookup_all(GROUP_BITS(bits), p, tables, tap, taps, codes, rows, columns, blocks, sums, begun > 0);
    }
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t block = 0; block < blocks; block += 2)
            NAME(finish_row)(conv, ((n * s->p + p0 + r) * s->q + q0) * s->o, (first + block) * LANES, s->o,
                             blocks - block > 1 ? 2 : 1, sums + (r * blocks + block) * columns * LANES, columns);
}

/* Every shape without groups has tables; whether they pay is for the instruction set to say. */
static int lookup_runs(const elq_shape *s) { return s->groups == 1; }

/* Whether at least so many outputs of the taps that see a pixel use its tables, and Winograd, which is ahead on more than
 * a few tiles, cannot run. */
static int lookup_used(const elq_shape *s, ptrdiff_t least) {
    ptrdiff_t taps = s->kh * s->kw, seen = taps == 1 ? 1 : s->stride_h * s->stride_w;
    int winograd = s->kh == 3 && s->kw == 3 && seen == 1 && s->dilation_h == 1 && s->dilation_w == 1 && s->c % 16 == 0;
    return s->o * taps >= least * seen && !(winograd && s->p * s->q >= 64);
}

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
