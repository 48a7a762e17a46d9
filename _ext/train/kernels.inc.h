/* The training kernels of one instruction set and one type: a template. The including file (train/x86/avx2.c and its
 * like) defines
 *
 *     VECTOR_BYTES  of a vector register
 *     REAL          float or double
 *     NAME(x)       x with the type's and the instruction set's word behind it
 *     TILE1, TILE2  pixels whose sums, of 1 and of 2 vectors, fit into registers together with what is added to them
 *
 * and then defines every kernel by its whole name: DEFINE_CONV(elq_conv_f32__avx2) is that function, and what it does is
 * NAME(conv) of the files included here. */
#include "common/vector.inc.h"

#include "common/pool.h"
#include "train/inside.h"
#include "train/kernels.h"
#include "train/memory.h"
#include "train/taps.h"
#include "train/tiles.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "common/gather.inc.h"
#include "train/conv.inc.h"      /* NAME(conv), NAME(conv_dx) */
#include "train/conv_dw.inc.h"   /* NAME(conv_dw) */
#include "train/linear.inc.h"    /* NAME(linear), NAME(linear_dx), NAME(linear_dw) */
#include "train/norm.inc.h"      /* NAME(norm), NAME(norm_backward), NAME(scale_shift) */
#include "train/pool.inc.h"      /* NAME(max_pool), NAME(max_pool_backward), NAME(relu), NAME(sums) */
#include "train/pointwise.inc.h" /* NAME(pointwise) */

#ifndef DEFINE_CONV
#define DEFINE_CONV(name)                                                                                              \
    static int name(const struct elq_conv *g, struct elq_array x, struct elq_array w, const void *bias,                \
                    struct elq_array y) {                                                                              \
        return NAME(conv)(g, x, w, bias, y);                                                                           \
    }
#define DEFINE_CONV_DX(name)                                                                                           \
    static int name(const struct elq_conv *g, struct elq_array dy, struct elq_array w, struct elq_array dx) {          \
        return NAME(conv_dx)(g, dy, w, dx);                                                                            \
    }
#define DEFINE_CONV_DW(name)                                                                                           \
    static int name(const struct elq_conv *g, struct elq_array dy, struct elq_array x, struct elq_array dw) {          \
        return NAME(conv_dw)(g, dy, x, dw);                                                                            \
    }
#define DEFINE_LINEAR(name)                                                                                            \
    static int name(const struct elq_linear *a) { return NAME(linear)(a); }
#define DEFINE_LINEAR_DX(name)                                                                                         \
    static int name(const struct elq_linear *a) { return NAME(linear_dx)(a); }
#define DEFINE_LINEAR_DW(name)                                                                                         \
    static int name(const struct elq_linear *a) { return NAME(linear_dw)(a); }
#define DEFINE_NORM(name)                                                                                              \
    static int name(const struct elq_norm *a) { return NAME(norm)(a); }
#define DEFINE_NORM_BACKWARD(name)                                                                                     \
    static int name(const struct elq_norm *a) { return NAME(norm_backward)(a); }
#define DEFINE_SCALE_SHIFT(name)                                                                                       \
    static int name(const struct elq_norm *a) { return NAME(scale_shift)(a); }
#define DEFINE_MAX_POOL(name)                                                                                          \
    static int name(const struct elq_max_pool *a) { return NAME(max_pool)(a); }
#define DEFINE_MAX_POOL_BACKWARD(name)                                                                                 \
    static int name(const struct elq_max_pool *a) { return NAME(max_pool_backward)(a); }
#define DEFINE_RELU(name)                                                                                              \
    static int name(ptrdiff_t count, const void *x, const void *dy, void *y) { return NAME(relu)(count, x, dy, y); }
#define DEFINE_POINTWISE(name)                                                                                         \
    static int name(const struct elq_pointwise *f) { return NAME(pointwise)(f); }
#define DEFINE_SUMS(name)                                                                                              \
    static int name(ptrdiff_t pixels, ptrdiff_t c, const void *x, void *sums) { return NAME(sums)(pixels, c, x, sums); }
#endif
