/* The training kernels in plain C with the vectors of the target's baseline: the tiles fit into 16 registers. */
#define VECTOR_BYTES 16

#define REAL float
#define NAME(x) x##_f32__generic
#define TILE1 8
#define TILE2 4
#include "train/kernels.inc.h"
DEFINE_CONV(elq_conv_f32__generic)
DEFINE_CONV_DX(elq_conv_dx_f32__generic)
DEFINE_CONV_DW(elq_conv_dw_f32__generic)
DEFINE_LINEAR(elq_linear_f32__generic)
DEFINE_LINEAR_DX(elq_linear_dx_f32__generic)
DEFINE_LINEAR_DW(elq_linear_dw_f32__generic)
DEFINE_NORM(elq_norm_f32__generic)
DEFINE_NORM_BACKWARD(elq_norm_backward_f32__generic)
DEFINE_SCALE_SHIFT(elq_scale_shift_f32__generic)
DEFINE_MAX_POOL(elq_max_pool_f32__generic)
DEFINE_MAX_POOL_BACKWARD(elq_max_pool_backward_f32__generic)
DEFINE_RELU(elq_relu_f32__generic)
DEFINE_POINTWISE(elq_pointwise_f32__generic)
DEFINE_SUMS(elq_sums_f32__generic)

const struct elq_train_kernels elq_train_f32__generic = {
    .conv = elq_conv_f32__generic,
    .conv_dx = elq_conv_dx_f32__generic,
    .conv_dw = elq_conv_dw_f32__generic,
    .linear = elq_linear_f32__generic,
    .linear_dx = elq_linear_dx_f32__generic,
    .linear_dw = elq_linear_dw_f32__generic,
    .norm = elq_norm_f32__generic,
    .norm_backward = elq_norm_backward_f32__generic,
    .scale_shift = elq_scale_shift_f32__generic,
    .max_pool = elq_max_pool_f32__generic,
    .max_pool_backward = elq_max_pool_backward_f32__generic,
    .relu = elq_relu_f32__generic,
    .pointwise = elq_pointwise_f32__generic,
    .sums = elq_sums_f32__generic,
};

#undef REAL
#undef NAME
#undef TILE1
#undef TILE2
#define REAL double
#define NAME(x) x##_f64__generic
#define TILE1 8
#define TILE2 4
#include "train/kernels.inc.h"
DEFINE_CONV(elq_conv_f64__generic)
DEFINE_CONV_DX(elq_conv_dx_f64__generic)
DEFINE_CONV_DW(elq_conv_dw_f64__generic)
DEFINE_LINEAR(elq_linear_f64__generic)
DEFINE_LINEAR_DX(elq_linear_dx_f64__generic)
DEFINE_LINEAR_DW(elq_linear_dw_f64__generic)
DEFINE_NORM(elq_norm_f64__generic)
DEFINE_NORM_BACKWARD(elq_norm_backward_f64__generic)
DEFINE_SCALE_SHIFT(elq_scale_shift_f64__generic)
DEFINE_MAX_POOL(elq_max_pool_f64__generic)
DEFINE_MAX_POOL_BACKWARD(elq_max_pool_backward_f64__generic)
DEFINE_RELU(elq_relu_f64__generic)
DEFINE_POINTWISE(elq_pointwise_f64__generic)
DEFINE_SUMS(elq_sums_f64__generic)

const struct elq_train_kernels elq_train_f64__generic = {
    .conv = elq_conv_f64__generic,
    .conv_dx = elq_conv_dx_f64__generic,
    .conv_dw = elq_conv_dw_f64__generic,
    .linear = elq_linear_f64__generic,
    .linear_dx = elq_linear_dx_f64__generic,
    .linear_dw = elq_linear_dw_f64__generic,
    .norm = elq_norm_f64__generic,
    .norm_backward = elq_norm_backward_f64__generic,
    .scale_shift = elq_scale_shift_f64__generic,
    .max_pool = elq_max_pool_f64__generic,
    .max_pool_backward = elq_max_pool_backward_f64__generic,
    .relu = elq_relu_f64__generic,
    .pointwise = elq_pointwise_f64__generic,
    .sums = elq_sums_f64__generic,
};
