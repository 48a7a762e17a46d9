/* The training kernels for AVX-512, 32 registers. */
#define VECTOR_BYTES 64

#define REAL float
#define NAME(x) x##_f32__avx512
#define TILE1 28
#define TILE2 14
#include "train/kernels.inc.h"
DEFINE_CONV(elq_conv_f32__avx512)
DEFINE_CONV_DX(elq_conv_dx_f32__avx512)
DEFINE_CONV_DW(elq_conv_dw_f32__avx512)
DEFINE_LINEAR(elq_linear_f32__avx512)
DEFINE_LINEAR_DX(elq_linear_dx_f32__avx512)
DEFINE_LINEAR_DW(elq_linear_dw_f32__avx512)
DEFINE_NORM(elq_norm_f32__avx512)
DEFINE_NORM_BACKWARD(elq_norm_backward_f32__avx512)
DEFINE_SCALE_SHIFT(elq_scale_shift_f32__avx512)
DEFINE_MAX_POOL(elq_max_pool_f32__avx512)
DEFINE_MAX_POOL_BACKWARD(elq_max_pool_backward_f32__avx512)
DEFINE_RELU(elq_relu_f32__avx512)
DEFINE_POINTWISE(elq_pointwise_f32__avx512)
DEFINE_SUMS(elq_sums_f32__avx512)

const struct elq_train_kernels elq_train_f32__avx512 = {
    .conv = elq_conv_f32__avx512,
    .conv_dx = elq_conv_dx_f32__avx512,
    .conv_dw = elq_conv_dw_f32__avx512,
    .linear = elq_linear_f32__avx512,
    .linear_dx = elq_linear_dx_f32__avx512,
    .linear_dw = elq_linear_dw_f32__avx512,
    .norm = elq_norm_f32__avx512,
    .norm_backward = elq_norm_backward_f32__avx512,
    .scale_shift = elq_scale_shift_f32__avx512,
    .max_pool = elq_max_pool_f32__avx512,
    .max_pool_backward = elq_max_pool_backward_f32__avx512,
    .relu = elq_relu_f32__avx512,
    .pointwise = elq_pointwise_f32__avx512,
    .sums = elq_sums_f32__avx512,
};

#undef REAL
#undef NAME
#undef TILE1
#undef TILE2
#define REAL double
#define NAME(x) x##_f64__avx512
#define TILE1 14 /* fewer than fit: as fast, and compiled sooner */
#define TILE2 7
#include "train/kernels.inc.h"
DEFINE_CONV(elq_conv_f64__avx512)
DEFINE_CONV_DX(elq_conv_dx_f64__avx512)
DEFINE_CONV_DW(elq_conv_dw_f64__avx512)
DEFINE_LINEAR(elq_linear_f64__avx512)
DEFINE_LINEAR_DX(elq_linear_dx_f64__avx512)
DEFINE_LINEAR_DW(elq_linear_dw_f64__avx512)
DEFINE_NORM(elq_norm_f64__avx512)
DEFINE_NORM_BACKWARD(elq_norm_backward_f64__avx512)
DEFINE_SCALE_SHIFT(elq_scale_shift_f64__avx512)
DEFINE_MAX_POOL(elq_max_pool_f64__avx512)
DEFINE_MAX_POOL_BACKWARD(elq_max_pool_backward_f64__avx512)
DEFINE_RELU(elq_relu_f64__avx512)
DEFINE_POINTWISE(elq_pointwise_f64__avx512)
DEFINE_SUMS(elq_sums_f64__avx512)

const struct elq_train_kernels elq_train_f64__avx512 = {
    .conv = elq_conv_f64__avx512,
    .conv_dx = elq_conv_dx_f64__avx512,
    .conv_dw = elq_conv_dw_f64__avx512,
    .linear = elq_linear_f64__avx512,
    .linear_dx = elq_linear_dx_f64__avx512,
    .linear_dw = elq_linear_dw_f64__avx512,
    .norm = elq_norm_f64__avx512,
    .norm_backward = elq_norm_backward_f64__avx512,
    .scale_shift = elq_scale_shift_f64__avx512,
    .max_pool = elq_max_pool_f64__avx512,
    .max_pool_backward = elq_max_pool_backward_f64__avx512,
    .relu = elq_relu_f64__avx512,
    .pointwise = elq_pointwise_f64__avx512,
    .sums = elq_sums_f64__avx512,
};
