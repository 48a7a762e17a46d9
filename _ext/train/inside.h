/* Which outputs of a convolution see no border, and how a band of rows is cut into those and the rest. */
#ifndef ELQ_TRAIN_INSIDE_H
#define ELQ_TRAIN_INSIDE_H

#include <stddef.h>

/* Output pixels: rows p0 .. p1 - 1, columns q0 .. q1 - 1. */
struct elq_rectangle {
    ptrdiff_t p0, p1, q0, q1;
};

/* Shrink lo .. hi - 1 to the outputs along an axis of `size` inputs whose `span` inputs, from output * step - before on,
 * are all there. */
void elq_shrink(ptrdiff_t *lo, ptrdiff_t *hi, ptrdiff_t size, ptrdiff_t step, ptrdiff_t before, ptrdiff_t span);

/* Make `inside` empty unless reading there without a copy pays: with strides, where a copied element is read for few taps,
 * and if most of the p x q outputs are inside, as what is outside is copied in up to four pieces. */
void elq_keep_if_worth(struct elq_rectangle *inside, int strided, ptrdiff_t p, ptrdiff_t q);

/* Cut the band of rows p0 .. p1 - 1, q pixels each, into the part inside and up to four beside it; returns how many,
 * the one inside first if *first_inside: `to` has room for 5. Together they are the band, each pixel once. */
int elq_cut_band(struct elq_rectangle *to, int *first_inside, const struct elq_rectangle *inside, ptrdiff_t p0,
                 ptrdiff_t p1, ptrdiff_t q);

#endif
