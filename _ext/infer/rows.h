/* The operations without a kernel of their own, a row of y at a time. Each is an elq_rows of infer/program.h; s->f32.low
 * and high, lo and hi of s->i8, clamp where a ReLU or clip went into it.
 *
 *   input_<f32|i8>         the caller's pictures, N C H W, as N H W C
 *   input_u8_<f32|i8>      the same of uint8, through s->table
 *   relu add scale_shift   add: lo_add, hi_add; scale_shift_i8: x times s->weights, int8
 *   add_channels           the residual is one pixel a picture, added to each of x
 *   avg_pool               a pixel of y at a time, since a window may be as large as a picture; of what lies inside;
 *                          f32: the sum in the order of the window, times 1 / its size or the pixel's of s->numbers
 *   adaptive_avg_pool      windows floor(p H / P) .. ceil((p + 1) H / P)
 *   subsample pad flatten  flatten: in the order C H W, one row a picture
 *   slice                  O channels from first_channel on
 *   shuffle                channels in kh groups, the first of each, the second of each, ...
 *   lrn_f32                s->numbers: alpha / size, beta, bias; kw = size: x (bias + alpha / size sum of x^2)^-beta
 *
 * Compiled for each instruction set (infer/functions.inc.h, infer/bytes.inc.h and with them infer/max_pool.inc.h), their names end in it:
 *
 *   mul mul_channels       y = x residual, as add; int8: requantized
 *   concat                 x becomes the channels of y from first_channel on; int8: through s->table if there is one
 *   max_pool               a pixel of y at a time, of what lies inside; a NaN in a window is its maximum
 *   clip leaky_relu ...    f32: functions of one number; s->numbers has what they take
 *   table table_channels   i8: the same, all of them, from 256 bytes, or as many for every channel */
#ifndef ELQ_INFER_ROWS_H
#define ELQ_INFER_ROWS_H

#include "infer/program.h"

/* clang-format off */
#define ELQ_ROWS_OF(X, act)                                                                                            \
    X(input_##act) X(input_u8_##act) X(relu_##act) X(add_##act) X(add_channels_##act) X(scale_shift_##act)             \
    X(avg_pool_##act) X(adaptive_avg_pool_##act) X(subsample_##act) X(pad_##act) X(flatten_##act) X(slice_##act)        \
    X(shuffle_##act)
#define ELQ_ROWS_ALL(X) ELQ_ROWS_OF(X, f32) ELQ_ROWS_OF(X, i8) X(lrn_f32)

#define ELQ_ROWS_FOR(X, set)                                                                                           \
    X(clip_f32, set) X(leaky_relu_f32, set) X(prelu_f32, set) X(sigmoid_f32, set) X(tanh_f32, set)                     \
    X(hard_sigmoid_f32, set) X(hard_swish_f32, set) X(silu_f32, set) X(gelu_f32, set) X(gelu_tanh_f32, set)            \
    X(elu_f32, set) X(mul_f32, set) X(mul_channels_f32, set) X(concat_f32, set) X(max_pool_f32, set)                   \
    X(table_i8, set) X(table_channels_i8, set) X(mul_i8, set) X(mul_channels_i8, set) X(concat_i8, set)                \
    X(max_pool_i8, set)
/* clang-format on */

#define ELQ_ROWS_DECLARE(name) elq_rows elq_rows_##name;
ELQ_ROWS_ALL(ELQ_ROWS_DECLARE)

/* A function, and the instruction set that it was compiled for. */
typedef struct {
    const char *name; /* without elq_rows_ */
    int isa;
    elq_rows *rows;
} elq_rows_entry;

/* The best where `features` are in use of the functions called `name` or `name`__<isa>; NULL if there is none. */
const elq_rows_entry *elq_rows_find(elq_features features, const char *name);

/* Function number `index`, NULL behind the last: for tests. */
const elq_rows_entry *elq_rows_number(int index);

/* What a window sees of its picture: its first element in x, and as many rows and columns. */
typedef struct {
    ptrdiff_t at, rows, columns;
} elq_window;

static inline elq_window elq_window_from(const elq_shape *g, ptrdiff_t n, ptrdiff_t top, ptrdiff_t left,
                                         ptrdiff_t bottom, ptrdiff_t right) {
    const ptrdiff_t i = top < 0 ? 0 : top, j = left < 0 ? 0 : left;
    return (elq_window){((n * g->h + i) * g->w + j) * g->c, (bottom < g->h ? bottom : g->h) - i,
                        (right < g->w ? right : g->w) - j};
}

/* The window of pixel number `pixel` of y, all pictures counted. */
static inline elq_window elq_window_of(const elq_shape *g, ptrdiff_t pixel) {
    const ptrdiff_t r = pixel / g->q, i = r % g->p * g->stride_h - g->pad_h, j = pixel % g->q * g->stride_w - g->pad_w;
    return elq_window_from(g, r / g->p, i, j, i + g->kh, j + g->kw);
}

static inline elq_window elq_adaptive_window_of(const elq_shape *g, ptrdiff_t pixel) {
    const ptrdiff_t r = pixel / g->q, p = r % g->p, q = pixel % g->q;
    return elq_window_from(g, r / g->p, p * g->h / g->p, q * g->w / g->q, ((p + 1) * g->h + g->p - 1) / g->p,
                           ((q + 1) * g->w + g->q - 1) / g->q);
}

#endif
