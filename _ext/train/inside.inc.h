/* Which outputs see no border, and how a band of rows is cut into those and the rest. A template of NAME, included by
 * train/lanes.inc.h. */

/* A rectangle of output pixels. */
struct NAME(rectangle) {
    ptrdiff_t p0, p1, q0, q1;
};

/* Shrink lo .. hi - 1 to the outputs along an axis of `size` inputs whose `span` inputs, from output * step - before on,
 * are all there. */
static void NAME(shrink)(ptrdiff_t *lo, ptrdiff_t *hi, ptrdiff_t size, ptrdiff_t step, ptrdiff_t before, ptrdiff_t span) {
    ptrdiff_t room = size - span + before, end = room < 0 ? 0 : room / step + 1;
    if (before > 0 && (before + step - 1) / step > *lo) *lo = (before + step - 1) / step;
    if (end < *hi) *hi = end;
    if (*hi < *lo) *hi = *lo;
}

/* Make `inside` empty unless reading there without a copy pays: with strides, where a copied element is read for few taps,
 * and if most of the p x q outputs are inside, as what is outside is copied in up to four pieces. */
static void NAME(keep_if_worth)(struct NAME(rectangle) *inside, int strided, ptrdiff_t p, ptrdiff_t q) {
    if (!strided || 4 * (inside->p1 - inside->p0) * (inside->q1 - inside->q0) < 3 * p * q)
        *inside = (struct NAME(rectangle)){0};
}

/* Cut the band of rows p0 .. p1 - 1, q pixels each, into the part inside and up to four beside it; returns how many,
 * the one inside first if *first_inside. */
static int NAME(cut_band)(struct NAME(rectangle) *to, int *first_inside, const struct NAME(rectangle) *inside, ptrdiff_t p0,
                     ptrdiff_t p1, ptrdiff_t q) {
    ptrdiff_t top = inside->p0 > p0 ? inside->p0 : p0, bottom = inside->p1 < p1 ? inside->p1 : p1;
    *first_inside = top < bottom && inside->q0 < inside->q1;
    if (!*first_inside) {
        to[0] = (struct NAME(rectangle)){p0, p1, 0, q};
        return 1;
    }
    const struct NAME(rectangle) all[] = {{top, bottom, inside->q0, inside->q1}, {p0, top, 0, q}, {bottom, p1, 0, q},
                                          {top, bottom, 0, inside->q0}, {top, bottom, inside->q1, q}};
    int count = 0;
    for (int k = 0; k < 5; k++)
        if (all[k].p0 < all[k].p1 && all[k].q0 < all[k].q1) to[count++] = all[k];
    return count;
}
