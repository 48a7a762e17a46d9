/* The training kernels: what the glue (train/train.pyx) calls. Every function exists once per instruction set and type, as
 * elq_<kernel>_<f32|f64>__<instruction set>: defined in the file of its set (train/x86/avx2.c), which also holds the
 * structs of them, from which train/table.c chooses. All run on the pool of common/pool.h, need no GIL and return 0, or -1 without
 * memory.
 *
 * The same bits come out for any number of threads and any memory alignment: a sum is cut into pieces by the shapes
 * alone and added up in one order. */
#ifndef ELQ_TRAIN_H
#define ELQ_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "common/cpu.h"

/* Sizes of a convolution. c and o are channels per group, p and q rows and columns of the output. */
struct elq_conv {
    ptrdiff_t n, groups, c, o, h, w, p, q, kh, kw;
    ptrdiff_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
};

/* An array N C H W (weights O C KH KW); strides count elements and may be anything. */
struct elq_array {
    void *data;
    ptrdiff_t s[4];
};

/* A batch normalization over `pixels` rows of `c` contiguous channels. Pointers that an operation does not need are
 * NULL. mean, var, gamma, ... have c elements of the type of x. */
struct elq_norm {
    ptrdiff_t pixels, c;
    int relu;
    double eps;
    const void *x, *residual, *gamma, *beta; /* forward; scale_shift: gamma = scale, beta = shift */
    void *y, *mean, *var;                    /* read by backward */
    const void *dy;                          /* backward */
    void *dx, *dresidual, *dgamma, *dbeta;
};

/* Channels that lie in lanes, of `groups` with o outputs each: those of one group; of all where a group alone would fill
 * too few lanes. */
ptrdiff_t elq_conv_lanes(ptrdiff_t groups, ptrdiff_t o);

/* Maximum over windows that all hold a pixel: x is N H W C, y and place N P Q C, all contiguous; the first window begins
 * `top` rows above and `left` columns left of the picture. place is the element of the window that is the maximum, of at
 * most 256. backward reads dy and place and writes dx. */
struct elq_max_pool {
    ptrdiff_t n, c, h, w, p, q, kh, kw, stride_h, stride_w, top, left;
    const void *x, *dy;
    void *y, *dx;
    uint8_t *place;
};

/* Functions of one number, of parameters a and b: elq_ref/kernels/numpy_pointwise.py defines them. */
enum elq_function {
    ELQ_CLIP,
    ELQ_LEAKY_RELU,
    ELQ_HARD_SIGMOID,
    ELQ_HARD_SWISH,
    ELQ_SIGMOID,
    ELQ_TANH,
    ELQ_SILU,
    ELQ_ELU,
    ELQ_GELU,
    ELQ_GELU_TANH,
    ELQ_FUNCTIONS
};

/* y = f(x) of `count` elements or, with dy, dy f'(x). */
struct elq_pointwise {
    int function;
    ptrdiff_t count;
    double a, b;
    const void *x, *dy;
    void *y;
};

/* A fully connected layer: x is N C, w O C, y and dy N O, contiguous; bias: NULL, or O values. */
struct elq_linear {
    ptrdiff_t n, c, o;
    const void *x, *w, *bias, *dy;
    void *y, *dx, *dw;
};

struct elq_train_kernels {
    /* bias: NULL, or a value of every output */
    int (*conv)(const struct elq_conv *, struct elq_array x, struct elq_array w, const void *bias, struct elq_array y);
    int (*conv_dx)(const struct elq_conv *, struct elq_array dy, struct elq_array w, struct elq_array dx);
    int (*conv_dw)(const struct elq_conv *, struct elq_array dy, struct elq_array x, struct elq_array dw);
    int (*linear)(const struct elq_linear *);
    int (*linear_dx)(const struct elq_linear *);
    int (*linear_dw)(const struct elq_linear *);
    int (*norm)(const struct elq_norm *);
    int (*norm_backward)(const struct elq_norm *);
    int (*scale_shift)(const struct elq_norm *);
    int (*max_pool)(const struct elq_max_pool *);
    int (*max_pool_backward)(const struct elq_max_pool *);
    /* y = max(x, 0) of `count` elements; with dy, y = dy where x > 0, else 0 */
    int (*relu)(ptrdiff_t count, const void *x, const void *dy, void *y);
    int (*pointwise)(const struct elq_pointwise *);
    /* sums[c] = sum of x over `pixels` rows of c contiguous channels */
    int (*sums)(ptrdiff_t pixels, ptrdiff_t c, const void *x, void *sums);
};

/* w_hat = alpha[row] * code + 0 of `rows` x `columns` weights; the code is (w > alpha/2) - (w < -alpha/2), or 1 for w >= 0
 * and -1 for others where not `ternary`. */
void elq_nearest_level(int is_double, int ternary, ptrdiff_t rows, ptrdiff_t columns, const void *w, const void *alpha,
                       void *w_hat);

/* SGD of `count` elements: d = dw + weight_decay w; v = momentum velocity + d; new_w = w - lr v, or - lr (d + momentum v)
 * with nesterov; v is new_velocity. free: NULL, or where a 0 says that both keep their bits. new_w may be dw, and
 * new_velocity velocity. */
struct elq_sgd {
    ptrdiff_t count;
    int is_double, nesterov;
    double lr, momentum, weight_decay;
    const void *w, *dw, *velocity;
    const uint8_t *free;
    void *new_w, *new_velocity;
};
void elq_sgd_step(const struct elq_sgd *);

/* The gradient of J for `count` weights: dw = one first + two second + a2 p, 0 where `frozen`, with p = 2 (w - w_hat) where
 * `squared`, else its sign; E, the sum of (w - w_hat)^2 or of its absolute value, in pieces of ELQ_STRETCH weights, one of
 * `errors` each. NULL: first and second with it, or second, for nothing of that; frozen, where nothing is. */
enum { ELQ_STRETCH = 1 << 14 };
struct elq_objective {
    ptrdiff_t count;
    int is_double, squared;
    double one, two, a2;
    const void *first, *second, *w, *w_hat;
    const uint8_t *frozen;
    void *dw;
    double *errors;
};
void elq_objective_gradient(const struct elq_objective *);

/* The best instruction set that training kernels are written for and that runs where `features` are in use. */
int elq_train_isa(elq_features features);

/* The kernels of instruction set isa, one that elq_train_isa gives, for float (0) or double (1). `outputs` is the
 * number of channels that lie in lanes: where they fill no more than half a vector of AVX-512, the kernels of AVX2 do the
 * same in up to half the time. The results y and dx have channel stride 1. */
const struct elq_train_kernels *elq_train_select(int isa, int is_double, ptrdiff_t outputs);

#endif
