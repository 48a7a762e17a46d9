/* The geometry of a convolution with int8 activations, the same for every instruction set: how the weights of an output
 * follow each other, how the packed ones lie, and how a call is cut into tasks.
 *
 * The inputs of a task are copied into a band: the rows that its pixels need, zero border included, the channels of its
 * group only. There an output pixel is a sum over runs, stretches of neighbouring bytes: whole kernel rows (KW * C/groups
 * bytes), or single taps where the kernel is dilated. A run is read 4 bytes at a time, a step; the last step may reach
 * into the bytes behind, where the weights are 0. A kernel of one element has no rows: its band is a list of pixels, of
 * several rows and pictures, which makes a fully connected layer a matrix product.
 *
 * Outputs go by vectors of `lanes`, two vectors a block (the last block of a group may have one). Packed weights:
 *
 *   [group][block][4 steps][vector][output][4 k]   T2: a byte has the codes + 1 of one k of four steps, 2 bits each
 *   [group][block][8 steps][vector][output][4 k]   B1: a byte has one k of eight steps, a bit each, 1 = -1
 *   [group][block][step][vector][output][4 k]      FULL: an int8 each
 *
 *   T2                    one vector register                      B1
 *   bit 7   5   3   1  0                                           bit 7 6 5 4 3 2 1 0
 *      |s+3|s+2|s+1| s |   k k+1 k+2 k+3 of output 0, of 1, ...       | s + 7 ...  s |
 *
 * so that a mask, and a shift or not, gives the weights of one step. Those behind the end are 0 (B1: +1, which the
 * decoder clears). */
#ifndef ELQ_INFER_I8_PLAN_H
#define ELQ_INFER_I8_PLAN_H

#include <string.h>

#include "infer/kernels.h"

#define INLINE static inline __attribute__((always_inline))

typedef struct {
    ptrdiff_t c, outputs;                /* of a group */
    ptrdiff_t taps, tap_step, run, rows; /* runs of a kernel row, bytes to the next; bytes of a run; kernel rows */
    ptrdiff_t run_steps, steps;          /* of one run, of all */
    ptrdiff_t lanes, vectors, blocks;
    int flat; /* a kernel of one element */
    /* bytes of the band: a row, from one kernel row to the next, output pixels */
    ptrdiff_t pitch, row_step, pixel_step;
} elq_i8_plan;

static inline ptrdiff_t elq_ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
static inline ptrdiff_t elq_least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t elq_most(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

static inline elq_i8_plan elq_i8_plan_of(const elq_shape *g, ptrdiff_t lanes) {
    elq_i8_plan plan = {.c = g->c / g->groups, .outputs = g->o / g->groups, .rows = g->kh, .lanes = lanes};
    const int dilated = g->dilation_w > 1 && g->kw > 1;
    plan.flat = g->kh == 1 && g->kw == 1;
    plan.taps = dilated ? g->kw : 1;
    plan.tap_step = g->dilation_w * plan.c;
    plan.run = dilated ? plan.c : g->kw * plan.c;
    plan.run_steps = elq_ceil_div(plan.run, 4);
    plan.steps = plan.rows * plan.taps * plan.run_steps;
    plan.vectors = elq_ceil_div(plan.outputs, lanes);
    plan.blocks = elq_ceil_div(plan.vectors, 2);
    plan.pitch = ((g->q - 1) * g->stride_w + (g->kw - 1) * g->dilation_w + 1) * plan.c;
    plan.row_step = g->dilation_h * plan.pitch;
    plan.pixel_step = plan.flat ? plan.c : g->stride_w * plan.c;
    return plan;
}

/* Rows of the band of `rows` output rows. */
static inline ptrdiff_t elq_i8_band_rows(const elq_shape *g, ptrdiff_t rows) {
    return (rows - 1) * g->stride_h + (g->kh - 1) * g->dilation_h + 1;
}

/* Steps whose weights share bytes; bytes of one vector of weights over all steps. */
static inline ptrdiff_t elq_i8_shared(int weights) { return weights == ELQ_T2 ? 4 : weights == ELQ_B1 ? 8 : 1; }

static inline ptrdiff_t elq_i8_vector_bytes(const elq_i8_plan *plan, int weights) {
    return elq_ceil_div(plan->steps, elq_i8_shared(weights)) * 4 * plan->lanes;
}

static inline size_t elq_i8_weight_bytes(const elq_shape *g, ptrdiff_t lanes, int weights) {
    const elq_i8_plan plan = elq_i8_plan_of(g, lanes);
    return (size_t)(g->groups * plan.vectors * elq_i8_vector_bytes(&plan, weights));
}

/* From rows of codes in the order KH KW C; see elq_kernel.pack. */
static inline void elq_i8_pack(const elq_shape *g, ptrdiff_t lanes, int weights, const uint8_t *rows, uint8_t *packed) {
    const elq_i8_plan plan = elq_i8_plan_of(g, lanes);
    const ptrdiff_t depth = plan.rows * plan.taps * plan.run, bytes = elq_i8_vector_bytes(&plan, weights);
    const ptrdiff_t shared = elq_i8_shared(weights);
    const ptrdiff_t row_bytes = weights == ELQ_T2 ? (2 * depth + 7) / 8 : weights == ELQ_B1 ? (depth + 7) / 8 : depth;
    memset(packed, weights == ELQ_T2 ? 0x55 : 0, elq_i8_weight_bytes(g, lanes, weights));
    for (ptrdiff_t o = 0; o < g->o; o++) {
        const uint8_t *row = rows + o * row_bytes;
        const ptrdiff_t group = o / plan.outputs, vector = o % plan.outputs / lanes, lane = o % plan.outputs % lanes;
        const ptrdiff_t width = elq_least(2, plan.vectors - vector / 2 * 2); /* vectors of the block */
        uint8_t *block = packed + (group * plan.vectors + vector / 2 * 2) * bytes;
        for (ptrdiff_t k = 0; k < depth; k++) {
            const ptrdiff_t step = k / plan.run * plan.run_steps + k % plan.run / 4;
            const ptrdiff_t byte = 4 * lane + k % plan.run % 4; /* in a vector of bytes */
            uint8_t *to = block + (step / shared * width + vector % 2) * 4 * lanes + byte;
            if (weights == ELQ_T2) {
                const int bits = row[k / 4] >> (2 * (k % 4)) & 3, at = 2 * (step % 4);
                *to = (uint8_t)((*to & ~(3 << at)) | (bits == 3 ? 0 : bits + 1) << at);
            } else if (weights == ELQ_B1) {
                *to |= (uint8_t)((row[k / 8] >> (k % 8) & 1) << (step % 8));
            } else {
                *to = row[k];
            }
        }
    }
}

/* How a call is cut: every task has `rows` output rows of `pictures` pictures (`rows` pixels if flat) and `blocks` blocks
 * of one group. */
typedef struct {
    ptrdiff_t pictures, rows, pieces, blocks, chunks; /* pieces of the pixels x chunks of the outputs */
} elq_i8_split;

enum {
    ELQ_I8_BAND = 1 << 18,     /* bytes that a band of several rows or pictures may take */
    ELQ_I8_PIXELS = 16,        /* of a flat band, however large they are */
    ELQ_I8_LEAST_WORK = 12288, /* steps of a vector that a task should have */
    ELQ_I8_MOST_WORK = 1 << 17,
    ELQ_I8_TAIL = 8 /* what the tail costs a pixel, in steps */
};

/* Into how many each of `pieces` is to be cut to make about `wanted`. */
static inline ptrdiff_t elq_i8_rest(ptrdiff_t wanted, ptrdiff_t pieces) {
    return elq_most(1, (wanted + pieces / 2) / pieces);
}

static inline elq_i8_split elq_i8_split_of(const elq_shape *g, const elq_i8_plan *plan, ptrdiff_t n) {
    elq_i8_split split = {.pictures = 1};
    /* `all` rows (pixels if flat) of each of `bands` may go into one band as far as it has room. */
    const ptrdiff_t all = plan->flat ? n * g->p * g->q : g->p, bands = plan->flat ? 1 : n;
    const ptrdiff_t unit = plan->flat ? plan->c : g->stride_h * plan->pitch;
    const ptrdiff_t cap = elq_most(plan->flat ? ELQ_I8_PIXELS : 1, ELQ_I8_BAND / unit);
    const ptrdiff_t band_work = (plan->flat ? all : all * g->q) * plan->vectors * (plan->steps + ELQ_I8_TAIL);
    const double work = (double)band_work * (double)bands * (double)g->groups;
    const double share = work / 16 < ELQ_I8_LEAST_WORK  ? ELQ_I8_LEAST_WORK
                         : work / 16 > ELQ_I8_MOST_WORK ? ELQ_I8_MOST_WORK
                                                        : work / 16;
    const double parts = (double)band_work / share; /* of a band: below 1, several small pictures go together */
    split.rows = elq_least(all, cap), split.blocks = plan->blocks;
    if (parts > 1) {
        /* even: two threads are common */
        const ptrdiff_t wanted = 2 * elq_least((ptrdiff_t)(parts / 2 + 0.5), 1 << 20);
        if (plan->vectors * plan->steps * plan->lanes > all * unit / 4) { /* decoding costs more than gathering */
            split.blocks = elq_ceil_div(plan->blocks, elq_least(plan->blocks, wanted));
            const ptrdiff_t rest = elq_i8_rest(wanted, elq_ceil_div(plan->blocks, split.blocks));
            split.rows = elq_least(split.rows, elq_ceil_div(all, elq_least(all, rest)));
        } else {
            split.rows = elq_least(split.rows, elq_ceil_div(all, elq_least(all, wanted)));
            const ptrdiff_t rest = elq_i8_rest(wanted, elq_ceil_div(all, split.rows));
            split.blocks = elq_ceil_div(plan->blocks, elq_least(plan->blocks, rest));
        }
    } else if (!plan->flat && split.rows == all) {
        const ptrdiff_t fit = ELQ_I8_BAND / (elq_i8_band_rows(g, all) * plan->pitch);
        split.pictures = elq_most(1, elq_least(elq_least(fit, n), (ptrdiff_t)(share / (double)band_work)));
    }
    split.pieces = split.rows < all ? bands * elq_ceil_div(all, split.rows) : elq_ceil_div(bands, split.pictures);
    split.chunks = elq_ceil_div(plan->blocks, split.blocks);
    return split;
}

static inline ptrdiff_t elq_i8_tasks(const elq_shape *g, ptrdiff_t lanes, ptrdiff_t n) {
    const elq_i8_plan plan = elq_i8_plan_of(g, lanes);
    const elq_i8_split split = elq_i8_split_of(g, &plan, n);
    return g->groups * split.chunks * split.pieces;
}

/* Bytes of the largest band, and of a step more. */
static inline ptrdiff_t elq_i8_band_bytes(const elq_shape *g, const elq_i8_plan *plan) {
    if (plan->flat) return elq_most(ELQ_I8_BAND, ELQ_I8_PIXELS * plan->c) + ELQ_ALIGN;
    return ELQ_I8_BAND + elq_i8_band_rows(g, 1) * plan->pitch + ELQ_ALIGN;
}

#endif
