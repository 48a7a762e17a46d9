/* The taps of a convolution: which element of the kernel meets which place of the buffer. */
#ifndef ELQ_TRAIN_TAPS_H
#define ELQ_TRAIN_TAPS_H

#include "train/kernels.h"

/* About half of the second-level cache of today's cores: what a piece of work may read again and again. */
enum { ELQ_BUFFER_BYTES = 1 << 17 };
/* Pieces that a sum over the batch is cut into, and the memory they may take together. */
enum { ELQ_CHUNKS = 16, ELQ_SUMS_BYTES = 1 << 24 };

struct elq_run {
    ptrdiff_t offset, length; /* elements, from the first tap of the pixel */
};

struct elq_taps {
    int count, runs;
    ptrdiff_t span_h, span_w; /* rows and columns of the buffer that the taps of one pixel reach */
    ptrdiff_t *i, *j;         /* element of the kernel */
    ptrdiff_t *row, *column;  /* place in the buffer */
    ptrdiff_t *offset;        /* the same in elements */
    struct elq_run *run;      /* taps one after the other in memory, joined */
};

/* Room for kh * kw taps, none yet; release with free(). NULL without memory. */
struct elq_taps *elq_taps_new(ptrdiff_t kh, ptrdiff_t kw);
void elq_taps_add(struct elq_taps *taps, ptrdiff_t i, ptrdiff_t j, ptrdiff_t row, ptrdiff_t column);
/* The same taps, to be placed elsewhere. */
struct elq_taps *elq_taps_copy(const struct elq_taps *taps);
/* Set offset and run for a buffer of `columns` pixels a row and `channels` elements a pixel. */
void elq_taps_place(struct elq_taps *taps, ptrdiff_t columns, ptrdiff_t channels);

/* The same convolution of a view: along an axis where a kernel of one element skips inputs, *x and the result skip them
 * by the view's stride. */
struct elq_conv elq_without_strides(const struct elq_conv *g, struct elq_array *x);

/* The least (first - i dilation) / stride over the i < k for which it is an integer; 0 if there is none. */
ptrdiff_t elq_first_row(ptrdiff_t first, ptrdiff_t k, ptrdiff_t dilation, ptrdiff_t stride);

#endif
