/* The operations without a kernel of their own, a row of y at a time: plain loops over channels, which compilers
 * vectorize. Each is an elq_rows of infer_program.h; low of step->f32 and lo, hi of step->i8 clamp where a ReLU went into it. */
#ifndef ELQ_INFER_ROWS_H
#define ELQ_INFER_ROWS_H

#include "infer_program.h"

#define ELQ_ROWS(name) void name(const elq_step *, const void *, const void *, void *, ptrdiff_t, ptrdiff_t)

/* The caller's pictures, N C H W, to N H W C; uint8 through step->table. */
ELQ_ROWS(elq_rows_input_u8_f32);
ELQ_ROWS(elq_rows_input_u8_i8);
ELQ_ROWS(elq_rows_input_f32);
ELQ_ROWS(elq_rows_input_i8);

ELQ_ROWS(elq_rows_relu_f32); /* max(x, 0), as in infer.h */
ELQ_ROWS(elq_rows_add_f32);
ELQ_ROWS(elq_rows_scale_shift_f32);
ELQ_ROWS(elq_rows_max_pool_f32);
ELQ_ROWS(elq_rows_avg_pool_f32); /* the sum in order of the window, times 1 / its size */
ELQ_ROWS(elq_rows_subsample_f32);
ELQ_ROWS(elq_rows_pad_f32);
ELQ_ROWS(elq_rows_flatten_f32); /* C H W, one row a picture */

ELQ_ROWS(elq_rows_relu_i8);
ELQ_ROWS(elq_rows_add_i8);
ELQ_ROWS(elq_rows_scale_shift_i8); /* x times +-64: the sign is that of step->weights, int8 */
ELQ_ROWS(elq_rows_max_pool_i8);
ELQ_ROWS(elq_rows_avg_pool_i8);
ELQ_ROWS(elq_rows_subsample_i8);
ELQ_ROWS(elq_rows_pad_i8);
ELQ_ROWS(elq_rows_flatten_i8);

#endif
