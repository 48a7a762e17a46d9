/* The gradient of J for a layer's weights in one sweep (train/kernels.h). Bound by memory, so every instruction set shares
 * this one; no product is fused with its sum (setup.py), so that its bits are those of elq_ref/kernels/numpy_ops.py. */
#include "common/pool.h"
#include "train/kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { SOME = 256, LANES = 8 };

/* `count` weights from number k on, SOME at a time: what is in between stays in the first cache. Their share of E, added in
 * LANES sums; a NaN has itself as its sign. */
#define SWEEP(type)                                                                                                    \
    static double sweep_##type(const struct elq_objective *a, ptrdiff_t k, ptrdiff_t count) {                          \
        const type one = (type)a->one, two = (type)a->two, a2 = (type)a->a2;                                           \
        double lanes[LANES] = {0}, sum = 0;                                                                            \
        for (ptrdiff_t some; count > 0; k += some, count -= some) {                                                    \
            some = count < SOME ? count : SOME;                                                                        \
            const type *w = (const type *)a->w + k, *w_hat = (const type *)a->w_hat + k;                               \
            const type *first = (const type *)a->first, *second = (const type *)a->second;                             \
            type gap[SOME] = {0}, dw[SOME] = {0};                                                                      \
            for (ptrdiff_t i = 0; i < some; i++) gap[i] = w[i] - w_hat[i];                                             \
            if (first)                                                                                                 \
                for (ptrdiff_t i = 0; i < some; i++) dw[i] = one * first[k + i];                                       \
            if (second)                                                                                                \
                for (ptrdiff_t i = 0; i < some; i++) dw[i] += two * second[k + i];                                     \
            if (a->squared) {                                                                                          \
                for (ptrdiff_t i = 0; i < some; i++) dw[i] += a2 * (2 * gap[i]);                                       \
                for (ptrdiff_t i = 0; i < SOME; i += LANES)                                                            \
                    for (ptrdiff_t j = 0; j < LANES; j++) lanes[j] += (double)gap[i + j] * gap[i + j];                 \
            } else {                                                                                                   \
                for (ptrdiff_t i = 0; i < some; i++) {                                                                 \
                    const type sign = (gap[i] > 0 ? (type)1 : 0) - (gap[i] < 0 ? (type)1 : 0);                         \
                    dw[i] += a2 * (gap[i] == gap[i] ? sign : gap[i]);                                                  \
                }                                                                                                      \
                for (ptrdiff_t i = 0; i < SOME; i += LANES)                                                            \
                    for (ptrdiff_t j = 0; j < LANES; j++) lanes[j] += fabs((double)gap[i + j]);                        \
            }                                                                                                          \
            if (a->frozen)                                                                                             \
                for (ptrdiff_t i = 0; i < some; i++) dw[i] = a->frozen[k + i] ? 0 : dw[i];                             \
            memcpy((type *)a->dw + k, dw, (size_t)some * sizeof(type));                                                \
        }                                                                                                              \
        for (int lane = 0; lane < LANES; lane++) sum += lanes[lane];                                                   \
        return sum;                                                                                                    \
    }
SWEEP(float)
SWEEP(double)

static void stretch(void *context, ptrdiff_t index, int worker) {
    const struct elq_objective *a = context;
    const ptrdiff_t first = index * ELQ_STRETCH, left = a->count - first,
                    count = left < ELQ_STRETCH ? left : ELQ_STRETCH;
    (void)worker;
    a->errors[index] = a->is_double ? sweep_double(a, first, count) : sweep_float(a, first, count);
}

void elq_objective_gradient(const struct elq_objective *a) {
    assert(a->count >= 0 && a->w && a->w_hat && a->dw && a->errors && (a->first || !a->second));
    elq_parallel_for((a->count + ELQ_STRETCH - 1) / ELQ_STRETCH, stretch, (void *)a);
}
