/* Convolution with float32 activations and weights that stay packed: 2 bits (t2), 1 bit (b1) or float32 (f32).
 *
 *   y[n,p,q,o] = scale[o] * sum over (i, j, c) of w[o,i,j,c] * x[n, p sh + i dh - ph, q sw + j dw - pw, first(o) + c] + bias[o]
 *
 * x (N, H, W, C) and y (N, P, Q, O) are contiguous; where x has no such row or column it counts as 0; o belongs to group
 * o / (O / groups), which reads the C / groups channels from first(o) = group * (C / groups). A fully connected layer is
 * the case H = W = KH = KW = 1.
 *
 * Weights come in blocks of ELQ_BLOCK output channels (the last block of every group is filled with zeros), the blocks
 * one after the other, and in each of them for k = (i * KW + j) * (C / groups) + c = 0 .. K - 1:
 *   t2   2 bytes, channel b of the block in the bits 2b and 2b + 1 (little endian): 00 = 0, 01 = +1, 11 = -1
 *   b1   1 byte, channel b in bit b: 0 = +1, 1 = -1
 *   f32  ELQ_BLOCK floats
 *
 * No kernel decodes more than ELQ_BLOCK * ELQ_DEPTH weights at a time. A sum runs over k = 0 .. K - 1 one after the other
 * whatever the number of threads or pictures, so the bits of y do not depend on them. */
#ifndef ELQ_INFER_CONV_H
#define ELQ_INFER_CONV_H

#include <stddef.h>
#include <stdint.h>

enum {
    ELQ_BLOCK = 8,  /* output channels that are decoded together */
    ELQ_DEPTH = 256, /* weights of each of them that are */
    ELQ_STRIP = 32, /* output pixels that use them */
    ELQ_CHUNK = 64, /* output channels of one task */
    ELQ_SCRATCH = ELQ_STRIP * ELQ_DEPTH + ELQ_BLOCK * ELQ_DEPTH + ELQ_CHUNK * ELQ_STRIP /* floats a worker needs */
};

typedef struct {
    const float *x;       /* N * H * W * C */
    float *y;             /* N * P * Q * O */
    const void *weights;  /* groups * ceil(O / groups / ELQ_BLOCK) blocks of K */
    const float *scale;   /* O */
    const float *bias;    /* O */
    float *scratch;       /* ELQ_SCRATCH floats for every worker */
    ptrdiff_t n, h, w, c; /* all lengths >= 1; their products, and those of y, fit ptrdiff_t */
    ptrdiff_t p, q, o;
    ptrdiff_t kh, kw;
    ptrdiff_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    ptrdiff_t groups;
} elq_conv;

/* Number of independent tasks; it depends on the shape alone. */
ptrdiff_t elq_conv_tasks(const elq_conv *conv);

/* Task `index` with the scratch of `worker`: an elq_task (pool.h) whose context is an elq_conv. */
void elq_conv_f32_t2__generic(void *conv, ptrdiff_t index, int worker);
void elq_conv_f32_b1__generic(void *conv, ptrdiff_t index, int worker);
void elq_conv_f32_f32__generic(void *conv, ptrdiff_t index, int worker);

#endif
