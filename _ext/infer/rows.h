/* The operations without a kernel of their own, a row of y at a time: plain loops over channels, which compilers
 * vectorize. Each is an elq_rows of infer/program.h; s->f32.low, and lo and hi of s->i8, clamp where a ReLU went into
 * it.
 *
 *   input_<f32|i8>         the caller's pictures, N C H W, as N H W C
 *   input_u8_<f32|i8>      the same of uint8, through s->table
 *   relu add scale_shift   add: lo_add, hi_add; scale_shift_i8: x times s->weights, int8
 *   max_pool avg_pool      a pixel of y at a time, since a window may be as large as a picture; a NaN in a window is its
 *                          maximum; avg_pool_f32: the sum in the order of the window, times 1 / its size
 *   subsample pad flatten  flatten: in the order C H W, one row a picture */
#ifndef ELQ_INFER_ROWS_H
#define ELQ_INFER_ROWS_H

#include "infer/program.h"

/* clang-format off */
#define ELQ_ROWS_OF(X, act)                                                                                            \
    X(input_##act) X(input_u8_##act) X(relu_##act) X(add_##act) X(scale_shift_##act) X(max_pool_##act)                 \
    X(avg_pool_##act) X(subsample_##act) X(pad_##act) X(flatten_##act)
#define ELQ_ROWS_ALL(X) ELQ_ROWS_OF(X, f32) ELQ_ROWS_OF(X, i8)
/* clang-format on */

#define ELQ_ROWS_DECLARE(name) elq_rows elq_rows_##name;
ELQ_ROWS_ALL(ELQ_ROWS_DECLARE)

/* Where in x the window begins that pixel number `pixel` of y, all pictures counted, is the pool of. */
static inline ptrdiff_t elq_window(const elq_shape *g, ptrdiff_t pixel) {
    const ptrdiff_t r = pixel / g->q, row = r / g->p * g->h + r % g->p * g->stride_h;
    return (row * g->w + pixel % g->q * g->stride_w) * g->c;
}

/* elq_rows_<name>, or NULL. */
elq_rows *elq_rows_find(const char *name);

#endif
