/* The training kernels for NEON: the tiles fill its 32 registers without spills. */
#define VECTOR_BYTES 16

#define REAL float
#define NAME(x) x##_f32__neon
#define TILE1 15
#define TILE2 9
#include "train/kernels.inc.h"
DEFINE_CONV(elq_conv_f32__neon)
DEFINE_CONV_DX(elq_conv_dx_f32__neon)
DEFINE_CONV_DW(elq_conv_dw_f32__neon)
DEFINE_LINEAR(elq_linear_f32__neon)
DEFINE_LINEAR_DX(elq_linear_dx_f32__neon)
DEFINE_LINEAR_DW(elq_linear_dw_f32__neon)
DEFINE_NORM(elq_norm_f32__neon)
DEFINE_NORM_BACKWARD(elq_norm_backward_f32__neon)
DEFINE_SCALE_SHIFT(elq_scale_shift_f32__neon)
DEFINE_MAX_POOL(elq_max_pool_f32__neon)
DEFINE_MAX_POOL_BACKWARD(elq_max_pool_backward_f32__neon)
DEFINE_RELU(elq_relu_f32__neon)
DEFINE_POINTWISE(elq_pointwise_f32__neon)
DEFINE_SUMS(elq_sums_f32__neon)

const struct elq_train_kernels elq_train_f32__neon = {
    .conv = elq_conv_f32__neon,
    .conv_dx = elq_conv_dx_f32__neon,
    .conv_dw = elq_conv_dw_f32__neon,
    .linear = elq_linear_f32__neon,
    .linear_dx = elq_linear_dx_f32__neon,
    .linear_dw = elq_linear_dw_f32__neon,
    .norm = elq_norm_f32__neon,
    .norm_backward = elq_norm_backward_f32__neon,
    .scale_shift = elq_scale_shift_f32__neon,
    .max_pool = elq_max_pool_f32__neon,
    .max_pool_backward = elq_max_pool_backward_f32__neon,
    .relu = elq_relu_f32__neon,
    .pointwise = elq_pointwise_f32__neon,
    .sums = elq_sums_f32__neon,
};

#undef REAL
#undef NAME
#undef TILE1
#undef TILE2
#define REAL double
#define NAME(x) x##_f64__neon
#define TILE1 15
#define TILE2 9
#include "train/kernels.inc.h"
DEFINE_CONV(elq_conv_f64__neon)
DEFINE_CONV_DX(elq_conv_dx_f64__neon)
DEFINE_CONV_DW(elq_conv_dw_f64__neon)
DEFINE_LINEAR(elq_linear_f64__neon)
DEFINE_LINEAR_DX(elq_linear_dx_f64__neon)
DEFINE_LINEAR_DW(elq_linear_dw_f64__neon)
DEFINE_NORM(elq_norm_f64__neon)
DEFINE_NORM_BACKWARD(elq_norm_backward_f64__neon)
DEFINE_SCALE_SHIFT(elq_scale_shift_f64__neon)
DEFINE_MAX_POOL(elq_max_pool_f64__neon)
DEFINE_MAX_POOL_BACKWARD(elq_max_pool_backward_f64__neon)
DEFINE_RELU(elq_relu_f64__neon)
DEFINE_POINTWISE(elq_pointwise_f64__neon)
DEFINE_SUMS(elq_sums_f64__neon)

const struct elq_train_kernels elq_train_f64__neon = {
    .conv = elq_conv_f64__neon,
    .conv_dx = elq_conv_dx_f64__neon,
    .conv_dw = elq_conv_dw_f64__neon,
    .linear = elq_linear_f64__neon,
    .linear_dx = elq_linear_dx_f64__neon,
    .linear_dw = elq_linear_dw_f64__neon,
    .norm = elq_norm_f64__neon,
    .norm_backward = elq_norm_backward_f64__neon,
    .scale_shift = elq_scale_shift_f64__neon,
    .max_pool = elq_max_pool_f64__neon,
    .max_pool_backward = elq_max_pool_backward_f64__neon,
    .relu = elq_relu_f64__neon,
    .pointwise = elq_pointwise_f64__neon,
    .sums = elq_sums_f64__neon,
};
