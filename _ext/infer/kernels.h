/* What the inference engine and its kernels agree on.
 *
 * Values are N H W C, contiguous, float or int8; a fully connected layer is the case H = W = KH = KW = 1. The kernels of
 * one operation are functions behind one `elq_kernel`; infer/table.c lists them, the best first, and picks by instruction
 * set, activations, weights and shape, once, when a network is made ready. A kernel is pure: it reads what its call points
 * to, writes its part of y and its own scratch, takes no memory and keeps no state, so that any number of threads may run
 * tasks of the same call, and several calls, at the same time.
 *
 *   y[n,p,q,o] = tail( sum over (i, j, c) of w[o,i,j,c] * x[n, p sh + i dh - ph, q sw + j dw - pw, first(o) + c] )
 *
 * where x has no such row or column it counts as 0; o belongs to group o / (O / groups), which reads the C / groups
 * channels from first(o) = group * (C / groups). What depends on the number of threads, the pictures of a call or the
 * place of a buffer in memory is the time only, never a bit of y. */
#ifndef ELQ_INFER_H
#define ELQ_INFER_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cpu.h"

/* I8_SUMS: x int8, y int32: sum + b_o modulo 2^32, whatever the rest of the elq_tail_i8, and no residual: a network's last
 * layer. Their kernels are called elq_conv_i8i32_...; without a fast one generic C does it.
 * F32_ORDERED: as F32, with one result on every machine: a sum begins at 0 and adds the products one after the other in the
 * order of k, each product, each addition, scale_o * sum and + bias_o a rounding of its own. Of ELQ_FULL weights alone. */
enum elq_activations { ELQ_F32, ELQ_I8, ELQ_I8_SUMS, ELQ_F32_ORDERED };

/* Whether x, residual, a full weight and the tail are floats. */
static inline int elq_of_floats(enum elq_activations activations) {
    return activations == ELQ_F32 || activations == ELQ_F32_ORDERED;
}

/* T2: ternary codes, 2 bits. B1: binary codes, 1 bit. FULL: float beside float activations, int8 (-127 .. 127) beside
 * int8 ones. */
enum elq_weights { ELQ_T2, ELQ_B1, ELQ_FULL };

/* How far a float kernel's sums may be from the exact ones, with K = KH KW C / groups and u = 2^-24:
 * DIRECT    n u / (1 - n u) * sum |w x|, n = K + 8: products and sums of them in any order
 * WINOGRAD  F(4x4, 3x3): the same with n = C + 20 and 538 * sum over c of the picture's largest |x_c| in place of
 *           sum |w x|, |w| <= 1 (infer/f32_winograd.inc.h has the bound of one output) */
enum elq_error { ELQ_DIRECT, ELQ_WINOGRAD };

/* Bytes: of packed weights and of a worker's scratch. x, y and residual have their type's only. */
enum { ELQ_ALIGN = 64 };

/* Sizes of a convolution, one picture. All lengths, strides, dilations and groups >= 1, paddings >= 0; c and o count all
 * groups; every product of theirs fits ptrdiff_t. */
typedef struct {
    ptrdiff_t h, w, c, p, q, o, kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;
} elq_shape;

/* Whether every output is one pixel of x, none of the border. */
static inline int elq_no_window(const elq_shape *s) {
    return s->kh == 1 && s->kw == 1 && !s->pad_h && !s->pad_w && (s->p - 1) * s->stride_h < s->h &&
           (s->q - 1) * s->stride_w < s->w;
}

/* float: y = min(max(scale_o * sum + bias_o + residual, low), high). The operations in this order, each a rounding or the
 * first two one fused: a kernel gives the same bits as if the residual and the bounds were operations of their own.
 * low is 0 for a ReLU, -INFINITY for no bound, high INFINITY; max(v, low) is v < low ? low : v, so that NaN stays NaN. */
typedef struct {
    const float *scale, *bias; /* O each */
    float low, high;
} elq_tail_f32;

static inline float elq_bounded(float v, float low, float high) { return v < low ? low : v > high ? high : v; }

/* int8 (docs/arithmetic.md): a = sum + b_o in int32; v = clamp((((int64)a << l) * q_o + 2^(s_o - 1)) >> s_o, lo_o, hi_o)
 * with 0 <= q_o < 2^31 and 33 <= s_o <= 62. A constant channel has lo_o = hi_o; its sum may overflow, without meaning, so
 * sums are unsigned arithmetic. With a residual r: y = clamp((v q_v + r q_r + 2^(s_add - 1)) >> s_add, lo_add, hi_add). */
typedef struct {
    const int32_t *b, *q;  /* O each */
    const uint8_t *s;      /* O */
    const int8_t *lo, *hi; /* O each */
    int l;
    int32_t q_v, q_r; /* of the addition, below 2^22 */
    int s_add, lo_add, hi_add;
} elq_tail_i8;

static inline int elq_clamp(int64_t v, int lo, int hi) { return (int)(v < lo ? lo : v > hi ? hi : v); }

/* The two formulas above as C: of a constant channel, whose `a` may be anything, without undefined behaviour too. */
static inline int elq_requantize(int32_t a, int l, int32_t q, int s, int lo, int hi) {
    const uint64_t product = ((uint64_t)(int64_t)a << l) * (uint64_t)q + ((uint64_t)1 << (s - 1));
    return elq_clamp((int64_t)product >> s, lo, hi);
}

static inline int elq_add_i8(int v, int r, const elq_tail_i8 *of) {
    return elq_clamp(((int64_t)v * of->q_v + (int64_t)r * of->q_r + ((int64_t)1 << (of->s_add - 1))) >> of->s_add,
                     of->lo_add, of->hi_add);
}

/* One call. residual is NULL or of y's shape; y and residual may be the same memory, x and y never overlap. */
typedef struct {
    elq_shape shape;
    ptrdiff_t n;
    const void *x, *residual;
    void *y;
    const void *weights; /* as the kernel's `pack` made them */
    const void *tail;    /* elq_tail_f32 or elq_tail_i8 */
} elq_conv;

/* A kernel. All but `run` depend on the shape alone, `tasks` on the number of pictures too. */
typedef struct {
    const char *name; /* elq_conv_<f32|i8|i8i32|ordered>_<t2|b1|f32|i8>__<isa>, a variant's word before __ */
    int isa;          /* enum elq_isa of common/cpu.h that the code was compiled for */
    enum elq_activations activations;
    enum elq_weights weights;
    int (*runs)(const elq_shape *shape); /* whether it can */
    int (*pays)(const elq_shape *shape); /* of such a shape: whether to prefer it to those behind it in the table */
    /* Bytes that `pack` writes: 2 bits (T2) or 1 bit (B1) a weight, but for the ends of blocks. */
    size_t (*weight_bytes)(const elq_shape *shape);
    /* Rows of codes as they lie in the file (docs/format.md: O rows of ceil(KH KW C/groups * bits / 8) bytes, in the order
     * KH KW C) or O rows of KH KW C/groups floats or int8, to the kernel's own layout. */
    void (*pack)(const elq_shape *shape, const void *rows, void *packed);
    size_t (*scratch_bytes)(const elq_shape *shape); /* of one worker */
    ptrdiff_t (*tasks)(const elq_shape *shape, ptrdiff_t n);
    void (*run)(const elq_conv *conv, ptrdiff_t task, void *scratch);
    enum elq_error error; /* of float activations */
} elq_kernel;

/* For `runs` and `pays`. */
static inline int elq_always(const elq_shape *shape) { return (void)shape, 1; }

/* The kernel for a convolution where `features` (common/cpu.h) are in use; never NULL, as generic C runs every shape, but
 * for codes beside ELQ_F32_ORDERED. */
const elq_kernel *elq_infer_select(elq_features features, enum elq_activations activations, enum elq_weights weights,
                                   const elq_shape *shape);

/* The best instruction set that kernels are written for and that runs where `features` are in use. */
int elq_infer_isa(elq_features features);

/* Kernel number `index` of the table, NULL behind the last: for tests. */
const elq_kernel *elq_infer_kernel(int index);

#endif
