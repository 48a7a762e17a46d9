/* infer_conv.h, in plain C. A task is a strip of pixels times a chunk of output channels of one group:
 *
 *   for every ELQ_DEPTH of K:    gather the inputs of the strip's pixels          patches[pixel][k]
 *     for every block:           decode its weights                               panel[k][channel of block]
 *       for every 4 pixels:      add their products to                            sums[block][pixel][channel of block]
 *   y = scale * sums + bias
 */
#include "infer_conv.h"

#include <string.h>

/* Four floats side by side: SSE, NEON, or four scalars where the target has neither. */
typedef float quad __attribute__((vector_size(16)));

/* Decode k = first .. first + depth - 1 of one block into panel[depth][ELQ_BLOCK], or return where they already lie. */
typedef const float *(*decoder)(const void *weights, ptrdiff_t first, ptrdiff_t depth, float *panel);

#define CODE2(v, i) (float)(((v) >> (2 * (i)) & 1) - ((v) >> (2 * (i)) & 2))
#define QUAD2(v) {CODE2(v, 0), CODE2(v, 1), CODE2(v, 2), CODE2(v, 3)}
#define QUAD2_4(v) QUAD2(v), QUAD2((v) + 1), QUAD2((v) + 2), QUAD2((v) + 3)
#define QUAD2_16(v) QUAD2_4(v), QUAD2_4((v) + 4), QUAD2_4((v) + 8), QUAD2_4((v) + 12)
#define QUAD2_64(v) QUAD2_16(v), QUAD2_16((v) + 16), QUAD2_16((v) + 32), QUAD2_16((v) + 48)
/* The four codes of every byte. The reserved pattern 10 never gets here: the loader refuses it. */
static const quad TERNARY[256] = {QUAD2_64(0), QUAD2_64(64), QUAD2_64(128), QUAD2_64(192)};

#define CODE1(v, i) (float)(1 - 2 * ((v) >> (i) & 1))
#define QUAD1(v) {CODE1(v, 0), CODE1(v, 1), CODE1(v, 2), CODE1(v, 3)}
#define QUAD1_4(v) QUAD1(v), QUAD1((v) + 1), QUAD1((v) + 2), QUAD1((v) + 3)
/* The four codes of every half of a byte. */
static const quad BINARY[16] = {QUAD1_4(0), QUAD1_4(4), QUAD1_4(8), QUAD1_4(12)};

static const float *decode_t2(const void *weights, ptrdiff_t first, ptrdiff_t depth, float *panel) {
    const uint8_t *codes = (const uint8_t *)weights + 2 * first;
    for (ptrdiff_t k = 0; k < 2 * depth; k++) memcpy(panel + 4 * k, &TERNARY[codes[k]], sizeof(quad));
    return panel;
}

static const float *decode_b1(const void *weights, ptrdiff_t first, ptrdiff_t depth, float *panel) {
    const uint8_t *codes = (const uint8_t *)weights + first;
    for (ptrdiff_t k = 0; k < depth; k++) {
        memcpy(panel + ELQ_BLOCK * k, &BINARY[codes[k] & 15], sizeof(quad));
        memcpy(panel + ELQ_BLOCK * k + 4, &BINARY[codes[k] >> 4], sizeof(quad));
    }
    return panel;
}

static const float *decode_f32(const void *weights, ptrdiff_t first, ptrdiff_t depth, float *panel) {
    (void)depth, (void)panel;
    return (const float *)weights + ELQ_BLOCK * first;
}

static quad load(const float *from) {
    quad value;
    memcpy(&value, from, sizeof value);
    return value;
}

static void store(float *to, quad value) { memcpy(to, &value, sizeof value); }

/* sums[pixel][channel] += patches[pixel][k] * panel[k][channel] for 4 pixels and ELQ_BLOCK channels. */
static void four_pixels(const float *patches, const float *panel, ptrdiff_t depth, float *sums) {
    const float *x0 = patches, *x1 = x0 + ELQ_DEPTH, *x2 = x1 + ELQ_DEPTH, *x3 = x2 + ELQ_DEPTH;
    quad a0 = load(sums), b0 = load(sums + 4), a1 = load(sums + 8), b1 = load(sums + 12);
    quad a2 = load(sums + 16), b2 = load(sums + 20), a3 = load(sums + 24), b3 = load(sums + 28);
    for (ptrdiff_t k = 0; k < depth; k++) {
        quad a = load(panel + ELQ_BLOCK * k), b = load(panel + ELQ_BLOCK * k + 4);
        a0 += a * x0[k], b0 += b * x0[k];
        a1 += a * x1[k], b1 += b * x1[k];
        a2 += a * x2[k], b2 += b * x2[k];
        a3 += a * x3[k], b3 += b * x3[k];
    }
    store(sums, a0), store(sums + 4, b0), store(sums + 8, a1), store(sums + 12, b1);
    store(sums + 16, a2), store(sums + 20, b2), store(sums + 24, a3), store(sums + 28, b3);
}

/* The same for one pixel: with a single picture a fully connected layer has no more. */
static void one_pixel(const float *patches, const float *panel, ptrdiff_t depth, float *sums) {
    quad a0 = load(sums), b0 = load(sums + 4);
    for (ptrdiff_t k = 0; k < depth; k++)
        a0 += load(panel + ELQ_BLOCK * k) * patches[k], b0 += load(panel + ELQ_BLOCK * k + 4) * patches[k];
    store(sums, a0), store(sums + 4, b0);
}

/* patch[0 .. depth) = the inputs that output pixel `pixel` multiplies by the weights first .. first + depth - 1. */
static void gather(const elq_conv *g, ptrdiff_t group, ptrdiff_t pixel, ptrdiff_t first, ptrdiff_t depth, float *patch) {
    const ptrdiff_t channels = g->c / g->groups;
    const ptrdiff_t n = pixel / (g->p * g->q), p = pixel / g->q % g->p, q = pixel % g->q;
    const ptrdiff_t top = p * g->stride_h - g->pad_h, left = q * g->stride_w - g->pad_w;
    ptrdiff_t tap = first / channels, c = first % channels;
    ptrdiff_t i = tap / g->kw, j = tap % g->kw;
    while (depth > 0) {
        const ptrdiff_t row = top + i * g->dilation_h, column = left + j * g->dilation_w;
        const ptrdiff_t count = channels - c < depth ? channels - c : depth;
        if (row < 0 || row >= g->h || column < 0 || column >= g->w) {
            for (ptrdiff_t k = 0; k < count; k++) patch[k] = 0;
        } else {
            const float *from = g->x + ((n * g->h + row) * g->w + column) * g->c + group * channels + c;
            for (ptrdiff_t k = 0; k < count; k++) patch[k] = from[k];
        }
        patch += count, depth -= count, c = 0;
        if (++j == g->kw) j = 0, i++;
    }
}

static ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

ptrdiff_t elq_conv_tasks(const elq_conv *g) {
    return g->groups * ceil_div(g->o / g->groups, ELQ_CHUNK) * ceil_div(g->n * g->p * g->q, ELQ_STRIP);
}

/* Task `index`; the weights of one output channel take `bits` bits for every k. */
static void run(const elq_conv *g, ptrdiff_t index, int worker, decoder decode, ptrdiff_t bits) {
    const ptrdiff_t outputs = g->o / g->groups, chunks = ceil_div(outputs, ELQ_CHUNK);
    const ptrdiff_t depth_all = g->kh * g->kw * (g->c / g->groups), block_bytes = depth_all * ELQ_BLOCK * bits / 8;
    const ptrdiff_t chunk = index % chunks, group = index / chunks % g->groups, strip = index / chunks / g->groups;
    const ptrdiff_t first_pixel = strip * ELQ_STRIP, all_pixels = g->n * g->p * g->q;
    const ptrdiff_t pixels = all_pixels - first_pixel < ELQ_STRIP ? all_pixels - first_pixel : ELQ_STRIP;
    const ptrdiff_t first_output = chunk * ELQ_CHUNK; /* within the group */
    const ptrdiff_t wanted = outputs - first_output < ELQ_CHUNK ? outputs - first_output : ELQ_CHUNK;
    const ptrdiff_t blocks = ceil_div(wanted, ELQ_BLOCK);
    const ptrdiff_t first_block = group * ceil_div(outputs, ELQ_BLOCK) + first_output / ELQ_BLOCK;

    float *patches = g->scratch + worker * (ptrdiff_t)ELQ_SCRATCH, *panel = patches + ELQ_STRIP * ELQ_DEPTH;
    float *sums = panel + ELQ_BLOCK * ELQ_DEPTH;
    memset(sums, 0, (size_t)(blocks * ELQ_STRIP * ELQ_BLOCK) * sizeof *sums);
    for (ptrdiff_t first = 0; first < depth_all; first += ELQ_DEPTH) {
        const ptrdiff_t depth = depth_all - first < ELQ_DEPTH ? depth_all - first : ELQ_DEPTH;
        for (ptrdiff_t t = 0; t < pixels; t++)
            gather(g, group, first_pixel + t, first, depth, patches + t * ELQ_DEPTH);
        for (ptrdiff_t b = 0; b < blocks; b++) {
            const char *weights = (const char *)g->weights + (first_block + b) * block_bytes;
            const float *decoded = decode(weights, first, depth, panel);
            float *block_sums = sums + b * ELQ_STRIP * ELQ_BLOCK;
            ptrdiff_t t = 0;
            for (; t + 4 <= pixels; t += 4)
                four_pixels(patches + t * ELQ_DEPTH, decoded, depth, block_sums + t * ELQ_BLOCK);
            for (; t < pixels; t++) one_pixel(patches + t * ELQ_DEPTH, decoded, depth, block_sums + t * ELQ_BLOCK);
        }
    }
    for (ptrdiff_t t = 0; t < pixels; t++) {
        const ptrdiff_t o = group * outputs + first_output;
        float *y = g->y + (first_pixel + t) * g->o + o;
        for (ptrdiff_t k = 0; k < wanted; k++) {
            const float sum = sums[(k / ELQ_BLOCK * ELQ_STRIP + t) * ELQ_BLOCK + k % ELQ_BLOCK];
            y[k] = g->scale[o + k] * sum + g->bias[o + k];
        }
    }
}

void elq_conv_f32_t2__generic(void *conv, ptrdiff_t index, int worker) { run(conv, index, worker, decode_t2, 2); }

void elq_conv_f32_b1__generic(void *conv, ptrdiff_t index, int worker) { run(conv, index, worker, decode_b1, 1); }

void elq_conv_f32_f32__generic(void *conv, ptrdiff_t index, int worker) { run(conv, index, worker, decode_f32, 32); }
