/* train/inside.h */
#include "train/inside.h"

#include <assert.h>

void elq_shrink(ptrdiff_t *lo, ptrdiff_t *hi, ptrdiff_t size, ptrdiff_t step, ptrdiff_t before, ptrdiff_t span) {
    assert(size > 0 && step > 0 && span > 0);
    ptrdiff_t room = size - span + before, end = room < 0 ? 0 : room / step + 1;
    if (before > 0 && (before + step - 1) / step > *lo) *lo = (before + step - 1) / step;
    if (end < *hi) *hi = end;
    if (*hi < *lo) *hi = *lo;
}

void elq_keep_if_worth(struct elq_rectangle *inside, int strided, ptrdiff_t p, ptrdiff_t q) {
    if (!strided || 4 * (inside->p1 - inside->p0) * (inside->q1 - inside->q0) < 3 * p * q)
        *inside = (struct elq_rectangle){0};
}

int elq_cut_band(struct elq_rectangle *to, int *first_inside, const struct elq_rectangle *inside, ptrdiff_t p0,
                 ptrdiff_t p1, ptrdiff_t q) {
    assert(p0 < p1 && q > 0);
    ptrdiff_t top = inside->p0 > p0 ? inside->p0 : p0, bottom = inside->p1 < p1 ? inside->p1 : p1;
    *first_inside = top < bottom && inside->q0 < inside->q1;
    if (!*first_inside) {
        to[0] = (struct elq_rectangle){p0, p1, 0, q};
        return 1;
    }
    const struct elq_rectangle all[] = {{top, bottom, inside->q0, inside->q1},
                                        {p0, top, 0, q},
                                        {bottom, p1, 0, q},
                                        {top, bottom, 0, inside->q0},
                                        {top, bottom, inside->q1, q}};
    int count = 0;
    for (int k = 0; k < 5; k++)
        if (all[k].p0 < all[k].p1 && all[k].q0 < all[k].q1) to[count++] = all[k];
    return count;
}
