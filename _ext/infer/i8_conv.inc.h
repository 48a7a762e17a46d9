/* Convolution with int8 activations: a template of the instruction set. The file that includes it defines
 *
 *   LANES, VEC, BYTES        outputs of a vector; a vector of LANES int32, of 4 * LANES int8
 *   FLIP                     what the band's bytes are XORed with (infer/i8_gather.h), 0 or 0x80
 *   SUMS                     an accumulator: of int32, or of int16 pairs that `widen` adds to int32 ones
 *   MOST_STEPS(weights)      steps that an accumulator can take before it must be widened, 0 if any number
 *   WIDE_WEIGHTS             1 if int8 weights (ELQ_FULL) need other sums than codes do
 *   TILE1, TILE2             pixels of a tile of one and of two vectors of outputs
 *   sums_zero, sums_step, sums_widen       an accumulator; += x[4 k] * w[output][4 k]; -> int32
 *   vec_zero, vec_load, vec_add, vec_sub, vec_store        int32
 *   broadcast, bytes_load, bytes_store     4 bytes of x to all lanes
 *   decode_t2, decode_b1                   groups of 4, 8 steps of packed weights (infer/i8_plan.h) -> int8
 *   tail_vec, tail_of, tail_add, tail_pack the tail, see below
 *   VECTOR_PIXELS, MOST_VECTOR, vector_sums  how many pixels of a flat band are multiplied without decoding, if they have
 *                                          MOST_VECTOR channels at most; the sums of one of them, of one block or two
 *
 * A task gathers its band, and for every block of two vectors of outputs decodes the weights into a panel of int8 that
 * stays in the cache for all its pixels:
 *
 *   band (bytes)                                    panel
 *   | c c c c | c c c c | ...  one kernel row  |    [step][vector][output][4 k]
 *     4 bytes to all lanes      X  4 bytes of each output   ->  int32 of TILE pixels x 2 vectors, in registers
 *
 * With FLIP = 0x80 the sum of (x + 128) w is 128 * sum of w too large, border included: that is taken off at the start,
 * together with b. All of it is exact, modulo 2^32, so no order matters. */
#include <stddef.h>

#include "common/cpu.h"
#include "infer/i8_gather.h"

enum { PANEL_STEP = 4 * LANES, MOST_SUMS = (TILE1 > 2 * TILE2 ? TILE1 : 2 * TILE2) + 4 };

/* What the tail and the start of the sums need of a block's outputs, and the sums of a tile. */
struct block {
    int32_t start[2 * LANES], q[2 * LANES], round[2 * LANES], shift[2 * LANES], low[2 * LANES], high[2 * LANES];
    int8_t low_bytes[4 * LANES], high_bytes[4 * LANES]; /* as four vectors of results follow each other */
    int32_t sums[MOST_SUMS * LANES];
    ptrdiff_t outputs; /* of this block that exist */
    int sums_only;     /* y has the sums themselves (ELQ_I8_SUMS) */
};

/* clang-format off */
#define EACH_OF_SIXTEEN(M)                                                                                                  \
    M(0, 0, 0) M(1, 0, 1) M(2, 0, 2) M(3, 1, 0) M(4, 1, 1) M(5, 1, 2) M(6, 2, 0) M(7, 2, 1) M(8, 2, 2) M(9, 3, 0)       \
    M(10, 3, 1) M(11, 3, 2) M(12, 4, 0) M(13, 4, 1) M(14, 4, 2) M(15, 5, 0)
/* clang-format on */
#define EACH_OF_SIX(M) M(0) M(1) M(2) M(3) M(4) M(5)

/* The sums of T neighbouring pixels and V vectors of outputs: sums[pixel][vector][lane]. */
INLINE void tile(const int V, const int T, const int weights, const elq_i8_plan *plan, const uint8_t *x,
                 const int8_t *w, const int32_t *start, int32_t *sums) {
#define DECLARE(t, g, r) SUMS a##t = sums_zero(), b##t = sums_zero();
#define BEGIN(t, g, r)                                                                                                 \
    if (T > t) {                                                                                                       \
        vec_store(sums + t * V * LANES, start0);                                                                       \
        if (V > 1) vec_store(sums + (t * V + 1) * LANES, start1);                                                      \
    }
#define WIDEN(t, g, r)                                                                                                 \
    if (T > t) {                                                                                                       \
        vec_store(sums + t * V * LANES, vec_add(vec_load(sums + t * V * LANES), sums_widen(a##t, weights)));           \
        a##t = sums_zero();                                                                                            \
        if (V > 1) {                                                                                                   \
            int32_t *second = sums + (t * V + 1) * LANES;                                                              \
            vec_store(second, vec_add(vec_load(second), sums_widen(b##t, weights)));                                   \
            b##t = sums_zero();                                                                                        \
        }                                                                                                              \
    }
#define FINISH(t, g, r)                                                                                                \
    if (T > t) {                                                                                                       \
        vec_store(sums + t * V * LANES, vec_add(start0, sums_widen(a##t, weights)));                                   \
        if (V > 1) vec_store(sums + (t * V + 1) * LANES, vec_add(start1, sums_widen(b##t, weights)));                  \
    }
#define POINT(g) const uint8_t *x##g = from + 3 * g * step;
#define MULTIPLY(t, g, r)                                                                                              \
    if (T > t) {                                                                                                       \
        const BYTES four = broadcast(x##g + r * step);                                                                 \
        a##t = sums_step(a##t, four, w0, weights);                                                                     \
        if (V > 1) b##t = sums_step(b##t, four, w1, weights);                                                          \
    }
#define ADVANCE(g) x##g += 4;
    const int most = MOST_STEPS(weights);
    const ptrdiff_t step = plan->pixel_step;
    const VEC start0 = vec_load(start), start1 = vec_load(start + (V - 1) * LANES);
    const int pieces = most > 0 && plan->steps > most; /* that are widened and added in memory */
    ptrdiff_t room = most;
    EACH_OF_SIXTEEN(DECLARE)
    if (pieces) { EACH_OF_SIXTEEN(BEGIN) }
    for (ptrdiff_t i = 0; i < plan->rows; i++)
        for (ptrdiff_t j = 0; j < plan->taps; j++) {
            const uint8_t *from = x + i * plan->row_step + j * plan->tap_step;
            EACH_OF_SIX(POINT)
            for (ptrdiff_t left = plan->run_steps; left > 0;) {
                ptrdiff_t part = left;
                if (most) {
                    if (room == 0) {
                        EACH_OF_SIXTEEN(WIDEN)
                        room = most;
                    }
                    part = elq_least(left, room);
                    room -= part;
                }
                left -= part;
                for (; part > 0; part--) {
                    const BYTES w0 = bytes_load(w), w1 = bytes_load(w + (V - 1) * PANEL_STEP);
                    EACH_OF_SIXTEEN(MULTIPLY)
                    EACH_OF_SIX(ADVANCE)
                    w += V * PANEL_STEP;
                }
            }
        }
    if (pieces) {
        EACH_OF_SIXTEEN(WIDEN)
    } else {
        EACH_OF_SIXTEEN(FINISH)
    }
#undef DECLARE
#undef BEGIN
#undef WIDEN
#undef FINISH
#undef POINT
#undef MULTIPLY
#undef ADVANCE
}

/* A tile of any number of pixels, up to the most for that number of vectors. */
INLINE void any_tile(ptrdiff_t vectors, ptrdiff_t pixels, const int weights, const elq_i8_plan *plan, const uint8_t *x,
                     const int8_t *w, const int32_t *start, int32_t *sums) {
#define CASE1(n, g, r)                                                                                                 \
    case n + 1:                                                                                                        \
        if (n < TILE1) tile(1, n + 1, weights, plan, x, w, start, sums);                                               \
        break;
#define CASE2(n, g, r)                                                                                                 \
    case n + 1:                                                                                                        \
        if (n < TILE2) tile(2, n + 1, weights, plan, x, w, start, sums);                                               \
        break;
    if (vectors > 1) switch (pixels) {
            EACH_OF_SIXTEEN(CASE2)
        }
    else switch (pixels) {
            EACH_OF_SIXTEEN(CASE1)
        }
#undef CASE1
#undef CASE2
}

/* Where the last bytes of a run belong to no weight, those of the panel become 0: a binary code has no 0 to pack. */
static void clear_ends(const elq_i8_plan *plan, ptrdiff_t vectors, int8_t *panel) {
    const ptrdiff_t used = plan->run % 4, last = (plan->run_steps - 1) * vectors * PANEL_STEP;
    if (used == 0) return;
    for (ptrdiff_t run = 0; run < plan->rows * plan->taps; run++, panel += plan->run_steps * vectors * PANEL_STEP)
        for (ptrdiff_t k = 0; k < vectors * PANEL_STEP; k++)
            if (k % 4 >= used) panel[last + k] = 0;
}

/* start -= 128 * the sum of the weights; four sums at a time, for a product takes longer than a step. */
INLINE void take_off(const int8_t *panel, ptrdiff_t steps, ptrdiff_t vectors, const int weights, int32_t *start) {
    static const uint8_t FLIPS[4] = {FLIP, FLIP, FLIP, FLIP};
    const BYTES x = broadcast(FLIPS);
    const ptrdiff_t step = vectors * PANEL_STEP, most = MOST_STEPS(weights) ? MOST_STEPS(weights) : steps;
    for (ptrdiff_t v = 0; v < vectors; v++) {
        const int8_t *w = panel + v * PANEL_STEP;
        VEC total = vec_zero();
        for (ptrdiff_t left = steps; left > 0; left -= 4 * most) {
            SUMS s0 = sums_zero(), s1 = sums_zero(), s2 = sums_zero(), s3 = sums_zero();
            ptrdiff_t k = elq_least(left, 4 * most);
            for (; k >= 4; k -= 4, w += 4 * step) {
                s0 = sums_step(s0, x, bytes_load(w), weights), s1 = sums_step(s1, x, bytes_load(w + step), weights);
                s2 = sums_step(s2, x, bytes_load(w + 2 * step), weights);
                s3 = sums_step(s3, x, bytes_load(w + 3 * step), weights);
            }
            total = vec_add(total, vec_add(sums_widen(s1, weights), sums_widen(s2, weights)));
            total = vec_add(total, sums_widen(s3, weights));
            if (k > 0) total = vec_add(total, sums_widen(s0, weights)), s0 = sums_zero();
            for (; k > 0; k--, w += step) s0 = sums_step(s0, x, bytes_load(w), weights);
            total = vec_add(total, sums_widen(s0, weights));
        }
        vec_store(start + v * LANES, vec_sub(vec_load(start + v * LANES), total));
    }
}

INLINE void copy_tail(const elq_tail_i8 *tail, ptrdiff_t first, const ptrdiff_t count, struct block *block) {
    for (ptrdiff_t k = 0; k < count; k++) {
        block->start[k] = tail->b[first + k];
        block->q[k] = tail->q[first + k];
        block->shift[k] = tail->s[first + k] - 32;
        block->round[k] = 1 << (tail->s[first + k] - 33);
        block->low[k] = tail->lo[first + k];
        block->high[k] = tail->hi[first + k];
        block->low_bytes[k] = tail->lo[first + k];
        block->high_bytes[k] = tail->hi[first + k];
    }
}

/* start, and the tail's numbers, of the block's outputs first .. */
static void prepare(const elq_tail_i8 *tail, ptrdiff_t vectors, ptrdiff_t first, struct block *block) {
    const ptrdiff_t width = vectors * LANES;
    if (block->outputs == 2 * LANES) {
        copy_tail(tail, first, 2 * LANES, block);
    } else {
        memset(block, 0, offsetof(struct block, sums));
        copy_tail(tail, first, block->outputs, block);
    }
    for (ptrdiff_t k = width; k < 4 * LANES; k += width) {
        memcpy(block->low_bytes + k, block->low_bytes, (size_t)width);
        memcpy(block->high_bytes + k, block->high_bytes, (size_t)width);
    }
}

/* y of `pixels` pixels, from its element `at` on, from block->sums: four vectors of sums at a time. */
INLINE void finish(const elq_conv *conv, const int V, const int add, const struct block *block, ptrdiff_t pixels,
                   ptrdiff_t at) {
    const elq_tail_i8 *tail = conv->tail;
    const ptrdiff_t width = V * LANES, outputs = block->outputs, o = conv->shape.o;
    const int8_t *residual = add ? (const int8_t *)conv->residual + at : NULL;
    int8_t *y = (int8_t *)conv->y + at;
    const TAIL first = tail_of(block->q, block->round, block->shift, block->low, block->high, tail->l);
    const int second = (V - 1) * LANES;
    const TAIL other = tail_of(block->q + second, block->round + second, block->shift + second, block->low + second,
                               block->high + second, tail->l);
    const ADDITION addition = addition_of(tail);
    const BYTES low = add ? bytes_set((int8_t)tail->lo_add) : bytes_load(block->low_bytes);
    const BYTES high = add ? bytes_set((int8_t)tail->hi_add) : bytes_load(block->high_bytes);
    const int32_t *sums = block->sums;
    for (ptrdiff_t t = 0; t < pixels; t += 4 / V, sums += 4 * LANES) {
        const ptrdiff_t some = elq_least(pixels - t, 4 / V);
        VEC v0 = tail_vec(vec_load(sums), first), v1 = tail_vec(vec_load(sums + LANES), V > 1 ? other : first);
        VEC v2 = tail_vec(vec_load(sums + 2 * LANES), first);
        VEC v3 = tail_vec(vec_load(sums + 3 * LANES), V > 1 ? other : first);
        if (add) {
            int8_t copy[4 * LANES];
            const int8_t *r = residual + t * o;
            ptrdiff_t r_step = o;
            if (outputs < width || some < 4 / V) {
                for (ptrdiff_t k = 0; k < some; k++) memcpy(copy + k * width, r + k * o, (size_t)outputs);
                r = copy, r_step = width;
            }
            v0 = tail_add(v0, first, vec_of_bytes(r), addition);
            v1 = tail_add(v1, V > 1 ? other : first, vec_of_bytes(r + (V > 1 ? LANES : r_step)), addition);
            v2 = tail_add(v2, first, vec_of_bytes(r + 2 / V * r_step), addition);
            v3 = tail_add(v3, V > 1 ? other : first, vec_of_bytes(r + (V > 1 ? LANES + r_step : 3 * r_step)), addition);
        }
        const BYTES result = bytes_clamp(tail_pack(v0, v1, v2, v3), low, high);
        int8_t *to = y + t * o;
        if (outputs == width && some == 4 / V) {
            if (o == width) bytes_store(to, result);
            else bytes_scatter(to, o, width, result);
        } else {
            int8_t copy[4 * LANES];
            bytes_store(copy, result);
            for (ptrdiff_t k = 0; k < some; k++) memcpy(to + k * o, copy + k * width, (size_t)outputs);
        }
    }
}

static void finish_any(const elq_conv *conv, ptrdiff_t vectors, const struct block *block, ptrdiff_t pixels,
                       ptrdiff_t at) {
    if (block->sums_only) {
        for (ptrdiff_t t = 0; t < pixels; t++)
            memcpy((int32_t *)conv->y + at + t * conv->shape.o, block->sums + t * vectors * LANES,
                   (size_t)block->outputs * sizeof(int32_t));
    } else if (vectors > 1) {
        if (conv->residual) finish(conv, 2, 1, block, pixels, at);
        else finish(conv, 2, 0, block, pixels, at);
    } else {
        if (conv->residual) finish(conv, 1, 1, block, pixels, at);
        else finish(conv, 1, 0, block, pixels, at);
    }
}

/* `pixels` neighbours of the band and of y, in tiles of nearly equal size. */
INLINE void row(const elq_conv *conv, const elq_i8_plan *plan, const int weights, ptrdiff_t vectors, const uint8_t *x,
                const int8_t *panel, struct block *block, ptrdiff_t pixels, ptrdiff_t at) {
    const ptrdiff_t most = vectors > 1 ? TILE2 : TILE1;
    for (ptrdiff_t tiles = elq_ceil_div(pixels, most); tiles > 0; tiles--) {
        const ptrdiff_t t = elq_ceil_div(pixels, tiles);
        any_tile(vectors, t, weights, plan, x, panel, block->start, block->sums);
        finish_any(conv, vectors, block, t, at);
        x += t * plan->pixel_step, at += t * conv->shape.o, pixels -= t;
    }
}

static __attribute__((noinline)) void row_of_codes(const elq_conv *conv, const elq_i8_plan *plan, ptrdiff_t vectors,
                                                   const uint8_t *x, const int8_t *panel, struct block *block,
                                                   ptrdiff_t pixels, ptrdiff_t at) {
    row(conv, plan, ELQ_T2, vectors, x, panel, block, pixels, at);
}

#if WIDE_WEIGHTS /* their sums are others */
static __attribute__((noinline)) void row_of_bytes(const elq_conv *conv, const elq_i8_plan *plan, ptrdiff_t vectors,
                                                   const uint8_t *x, const int8_t *panel, struct block *block,
                                                   ptrdiff_t pixels, ptrdiff_t at) {
    row(conv, plan, ELQ_FULL, vectors, x, panel, block, pixels, at);
}
#else
#define row_of_bytes row_of_codes
#endif

/* Few pixels of a flat band: int8 and FEW_STEP(plan) bytes apart. Codes are multiplied as they lie packed. */
#define FEW_STEP(plan) (elq_ceil_div((plan)->c, 32) * 32)

static int32_t sum_of(const int8_t *x, ptrdiff_t count) {
    uint32_t sum = 0;
    for (ptrdiff_t k = 0; k < count; k++) sum += (uint32_t)x[k];
    return (int32_t)sum;
}

/* Of one block, or of two with `vectors` = 4; o is its first output, packed the weights, `next` those of the second. */
INLINE void few_pixels(const elq_conv *conv, const elq_i8_plan *plan, const int weights, ptrdiff_t vectors,
                       const int8_t *x, const uint8_t *packed, const uint8_t *next, struct block *block,
                       ptrdiff_t pixels, ptrdiff_t first, ptrdiff_t o, ptrdiff_t outputs) {
    int32_t sums[VECTOR_PIXELS + 1][4 * LANES];
    for (ptrdiff_t t = 0; t < pixels; t++) {
        const int8_t *from = x + t * FEW_STEP(plan);
        vector_sums(packed, next, plan->steps, vectors, weights, from, sum_of(from, plan->c), sums[t]);
    }
    for (ptrdiff_t v = 0; v < vectors; v += 2) {
        const ptrdiff_t width = elq_least(2, vectors);
        block->outputs = elq_least(width * LANES, outputs - v * LANES);
        prepare(conv->tail, width, o + v * LANES, block);
        for (ptrdiff_t t = 0; t < pixels; t++) {
            for (ptrdiff_t i = 0; i < width * LANES; i += LANES)
                vec_store(block->sums + i, vec_add(vec_load(sums[t] + v * LANES + i), vec_load(block->start + i)));
            finish_any(conv, width, block, 1, (first + t) * conv->shape.o + o + v * LANES);
        }
    }
}

/* Scratch: block, panel, band. */
enum { BLOCK_BYTES = (sizeof(struct block) + ELQ_ALIGN - 1) / ELQ_ALIGN * ELQ_ALIGN };

static ptrdiff_t panel_bytes(const elq_i8_plan *plan, int weights) {
    const ptrdiff_t shared = elq_i8_shared(weights);
    return weights == ELQ_FULL ? 0
                               : elq_ceil_div(plan->steps, shared) * shared * elq_least(2, plan->vectors) * PANEL_STEP;
}

static size_t scratch_bytes(const elq_shape *g, int weights) {
    const elq_i8_plan plan = elq_i8_plan_of(g, LANES);
    return (size_t)(BLOCK_BYTES + panel_bytes(&plan, weights) + elq_i8_band_bytes(g, &plan));
}

INLINE void run(const elq_conv *conv, ptrdiff_t task, void *scratch, const int weights, const int sums_only) {
    const elq_shape *g = &conv->shape;
    const elq_i8_plan plan = elq_i8_plan_of(g, LANES);
    const elq_i8_split split = elq_i8_split_of(g, &plan, conv->n);
    const ptrdiff_t chunk = task % split.chunks, group = task / split.chunks % g->groups;
    const ptrdiff_t piece = task / split.chunks / g->groups;
    struct block *block = scratch;
    int8_t *panel = (int8_t *)scratch + BLOCK_BYTES;
    uint8_t *band = (uint8_t *)panel + panel_bytes(&plan, weights);
    const uint8_t *x = (const uint8_t *)conv->x + group * plan.c;
    assert(task >= 0 && piece < split.pieces && (uintptr_t)scratch % ELQ_ALIGN == 0);

    /* Output rows (flat: pixels) first .. first + rows - 1 of each of `pictures` pictures from picture n on. */
    ptrdiff_t n = 0, first = 0, rows = split.rows, pictures = 1, row_pixels = g->q, band_bytes;
    int few = 0;
    if (plan.flat) {
        first = piece * split.rows, row_pixels = elq_least(rows, conv->n * g->p * g->q - first), rows = 1;
        few = row_pixels <= VECTOR_PIXELS && weights != ELQ_FULL && plan.c <= MOST_VECTOR;
        band_bytes = row_pixels * plan.c;
        if (few) {
            for (ptrdiff_t t = 0; t < row_pixels; t++) {
                uint8_t *to = band + t * FEW_STEP(&plan);
                elq_i8_gather_pixels(g, &plan, x, first + t, 1, 0, to);
                memset(to + plan.c, 0, (size_t)(FEW_STEP(&plan) - plan.c));
            }
        } else {
            elq_i8_gather_pixels(g, &plan, x, first, row_pixels, FLIP, band);
            memset(band + band_bytes, 0, 4);
        }
    } else {
        const ptrdiff_t pieces = elq_ceil_div(g->p, rows); /* of a picture */
        n = piece / pieces * split.pictures, first = piece % pieces * rows;
        rows = elq_least(rows, g->p - first), pictures = elq_least(split.pictures, conv->n - n);
        band_bytes = elq_i8_band_rows(g, rows) * plan.pitch;
        for (ptrdiff_t k = 0; k < pictures; k++)
            elq_i8_gather_rows(g, &plan, x + (n + k) * g->h * g->w * g->c, first, rows, FLIP, band + k * band_bytes);
        memset(band + pictures * band_bytes, 0, 4);
    }

    const ptrdiff_t vector_bytes = elq_i8_vector_bytes(&plan, weights);
    const ptrdiff_t last = elq_least(plan.blocks, (chunk + 1) * split.blocks);
    for (ptrdiff_t b = chunk * split.blocks; b < last; b++) {
        const ptrdiff_t vectors = elq_least(2, plan.vectors - 2 * b), o = group * plan.outputs + 2 * b * LANES;
        const uint8_t *packed = (const uint8_t *)conv->weights + (group * plan.vectors + 2 * b) * vector_bytes;
        const int8_t *decoded = weights == ELQ_FULL ? (const int8_t *)packed : panel;
        block->sums_only = sums_only;
        if (few) {
            const int two = b + 1 < last && plan.vectors >= 2 * b + 4;
            few_pixels(conv, &plan, weights, two ? 4 : vectors, (const int8_t *)band, packed, packed + 2 * vector_bytes,
                       block, row_pixels, first, o, plan.outputs - 2 * b * LANES);
            b += two;
            continue;
        }
        block->outputs = elq_least(vectors * LANES, plan.outputs - 2 * b * LANES);
        prepare(conv->tail, vectors, o, block);
        if (weights == ELQ_T2) decode_t2(packed, elq_ceil_div(plan.steps, 4), vectors, panel);
        if (weights == ELQ_B1) decode_b1(packed, elq_ceil_div(plan.steps, 8), vectors, panel);
        if (weights == ELQ_B1) clear_ends(&plan, vectors, panel);
        if (FLIP) take_off(decoded, plan.steps, vectors, weights, block->start);
        for (ptrdiff_t k = 0; k < pictures; k++)
            for (ptrdiff_t p = 0; p < rows; p++) {
                const ptrdiff_t pixel = plan.flat ? first : ((n + k) * g->p + first + p) * g->q;
                const uint8_t *from = band + k * band_bytes + p * g->stride_h * plan.pitch;
                if (weights == ELQ_FULL)
                    row_of_bytes(conv, &plan, vectors, from, decoded, block, row_pixels, pixel * g->o + o);
                else row_of_codes(conv, &plan, vectors, from, decoded, block, row_pixels, pixel * g->o + o);
            }
    }
}

/* One output a group would leave all but one lane empty. */
static int conv_pays(const elq_shape *g) { return g->groups == 1 || g->o / g->groups > 1; }

static ptrdiff_t conv_tasks(const elq_shape *g, ptrdiff_t n) { return elq_i8_tasks(g, LANES, n); }

#define CONV_FUNCTIONS(word, WEIGHTS)                                                                                  \
    static size_t conv_bytes_##word(const elq_shape *g) { return elq_i8_weight_bytes(g, LANES, WEIGHTS); }             \
    static void conv_pack_##word(const elq_shape *g, const void *rows, void *packed) {                                 \
        elq_i8_pack(g, LANES, WEIGHTS, rows, packed);                                                                  \
    }                                                                                                                  \
    static size_t conv_scratch_##word(const elq_shape *g) { return scratch_bytes(g, WEIGHTS); }                        \
    static void conv_run_##word(const elq_conv *conv, ptrdiff_t task, void *scratch) {                                 \
        run(conv, task, scratch, WEIGHTS, 0);                                                                          \
    }                                                                                                                  \
    static void conv_sums_##word(const elq_conv *conv, ptrdiff_t task, void *scratch) {                                \
        run(conv, task, scratch, WEIGHTS, 1);                                                                          \
    }
CONV_FUNCTIONS(t2, ELQ_T2)
CONV_FUNCTIONS(b1, ELQ_B1)
CONV_FUNCTIONS(i8, ELQ_FULL)
#undef CONV_FUNCTIONS

/* Of an elq_kernel, what does not say its name, its instruction set and its weights: int8 results, int32 sums. */
#define I8_CONV(word)                                                                                                  \
    .activations = ELQ_I8, .runs = elq_always, .pays = conv_pays, .weight_bytes = conv_bytes_##word,                   \
    .pack = conv_pack_##word, .scratch_bytes = conv_scratch_##word, .tasks = conv_tasks, .run = conv_run_##word
#define I8_SUMS(word)                                                                                                  \
    .activations = ELQ_I8_SUMS, .runs = elq_always, .pays = conv_pays, .weight_bytes = conv_bytes_##word,              \
    .pack = conv_pack_##word, .scratch_bytes = conv_scratch_##word, .tasks = conv_tasks, .run = conv_sums_##word
