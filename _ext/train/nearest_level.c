/* W_hat = alpha * codes in one sweep (train/kernels.h). Bound by memory, so every instruction set shares this one. */
#include "common/pool.h"
#include "train/kernels.h"

#include <assert.h>
#include <float.h>

enum { STRETCH = 1 << 14 };

struct levels {
    ptrdiff_t rows, columns, stretches; /* of a row */
    int is_double, ternary;
    const void *w, *alpha;
    void *w_hat;
};

/* The codes are numbers, multiplied and not chosen: an alpha of infinity gives what it gives in NumPy. Adding 0 makes
 * every zero +0. alpha / 2 is rounded down: of denormals only the even ones have a half. */
#define SWEEP(type, least)                                                                                             \
    static void sweep_##type(const struct levels *a, ptrdiff_t row, ptrdiff_t from, ptrdiff_t to) {                    \
        const type *restrict w = (const type *)a->w + row * a->columns, alpha = ((const type *)a->alpha)[row];         \
        const type near = alpha / 2, half = near + near > alpha ? near - least : near;                                 \
        type *restrict w_hat = (type *)a->w_hat + row * a->columns;                                                    \
        if (a->ternary)                                                                                                \
            for (ptrdiff_t i = from; i < to; i++) w_hat[i] = alpha * (type)((w[i] > half) - (w[i] < -half)) + 0;       \
        else                                                                                                           \
            for (ptrdiff_t i = from; i < to; i++) w_hat[i] = alpha * (type)(w[i] >= 0 ? 1 : -1) + 0;                   \
    }
SWEEP(float, FLT_TRUE_MIN)
SWEEP(double, DBL_TRUE_MIN)

static void stretch(void *context, ptrdiff_t index, int worker) {
    const struct levels *a = context;
    ptrdiff_t row = index / a->stretches, from = index % a->stretches * STRETCH;
    ptrdiff_t to = from + STRETCH < a->columns ? from + STRETCH : a->columns;
    (void)worker;
    if (a->is_double) sweep_double(a, row, from, to);
    else sweep_float(a, row, from, to);
}

void elq_nearest_level(int is_double, int ternary, ptrdiff_t rows, ptrdiff_t columns, const void *w, const void *alpha,
                       void *w_hat) {
    assert(rows > 0 && columns >= 0 && w && alpha && w_hat);
    struct levels a = {rows, columns, (columns + STRETCH - 1) / STRETCH, is_double, ternary, w, alpha, w_hat};
    elq_parallel_for(rows * a.stretches, stretch, &a);
}
