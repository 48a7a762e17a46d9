/* A step of SGD in one sweep (train/kernels.h). Bound by memory, so every instruction set shares this one; no product is
 * fused with its sum (setup.py), so that its bits are those of elq_ref/kernels/numpy_ops.py. */
#include "common/pool.h"
#include "train/kernels.h"

#include <string.h>

enum { STRETCH = 1 << 14, SOME = 256 };

/* `count` elements from number k on, SOME at a time: what is in between stays in the first cache. */
#define SWEEP(type)                                                                                                    \
    static void sweep_##type(const struct elq_sgd *a, ptrdiff_t k, ptrdiff_t count) {                                  \
        const type rate = (type) - a->lr, momentum = (type)a->momentum, decay = (type)a->weight_decay;                 \
        for (ptrdiff_t some; count > 0; k += some, count -= some) {                                                    \
            some = count < SOME ? count : SOME;                                                                        \
            const type *w = (const type *)a->w + k, *dw = (const type *)a->dw + k;                                     \
            const type *velocity = (const type *)a->velocity + k;                                                      \
            type new[SOME], v[SOME], d[SOME];                                                                          \
            if (decay != 0)                                                                                            \
                for (ptrdiff_t i = 0; i < some; i++) d[i] = dw[i] + decay * w[i];                                      \
            else memcpy(d, dw, (size_t)some * sizeof(type));                                                           \
            for (ptrdiff_t i = 0; i < some; i++) v[i] = momentum * velocity[i] + d[i];                                 \
            if (a->nesterov)                                                                                           \
                for (ptrdiff_t i = 0; i < some; i++) new[i] = rate *(d[i] + momentum * v[i]) + w[i];                   \
            else                                                                                                       \
                for (ptrdiff_t i = 0; i < some; i++) new[i] = rate *v[i] + w[i];                                       \
            if (a->free) {                                                                                             \
                memcpy(d, w, (size_t)some * sizeof(type));                                                             \
                for (ptrdiff_t i = 0; i < some; i++) new[i] = a->free[k + i] ? new[i] : d[i];                          \
                memcpy(d, velocity, (size_t)some * sizeof(type));                                                      \
                for (ptrdiff_t i = 0; i < some; i++) v[i] = a->free[k + i] ? v[i] : d[i];                              \
            }                                                                                                          \
            memcpy((type *)a->new_w + k, new, (size_t)some * sizeof(type));                                            \
            memcpy((type *)a->new_velocity + k, v, (size_t)some * sizeof(type));                                       \
        }                                                                                                              \
    }
SWEEP(float)
SWEEP(double)

static void stretch(void *context, ptrdiff_t index, int worker) {
    const struct elq_sgd *a = context;
    const ptrdiff_t first = index * STRETCH, count = a->count - first < STRETCH ? a->count - first : STRETCH;
    (void)worker;
    if (a->is_double) sweep_double(a, first, count);
    else sweep_float(a, first, count);
}

void elq_sgd_step(const struct elq_sgd *a) { elq_parallel_for((a->count + STRETCH - 1) / STRETCH, stretch, (void *)a); }
