/* Copying the inputs of a task into a band (infer/i8_plan.h). Every byte is XORed with `flip`: with 0x80 an int8 becomes
 * itself + 128 as uint8, what the byte products of x86 want; a zero border becomes `flip`. */
#ifndef ELQ_INFER_I8_GATHER_H
#define ELQ_INFER_I8_GATHER_H

#include "infer/i8_plan.h"

static inline void elq_i8_copy(uint8_t *restrict to, const uint8_t *restrict from, ptrdiff_t bytes, uint8_t flip) {
    for (ptrdiff_t k = 0; k < bytes; k++) to[k] = from[k] ^ flip;
}

/* The one pixel (row, column) of a picture, or the border. */
static inline void elq_i8_copy_pixel(uint8_t *to, const uint8_t *picture, const elq_shape *g, ptrdiff_t channels,
                                     ptrdiff_t row, ptrdiff_t column, uint8_t flip) {
    if (row < 0 || row >= g->h || column < 0 || column >= g->w) memset(to, flip, (size_t)channels);
    else elq_i8_copy(to, picture + (row * g->w + column) * g->c, channels, flip);
}

/* The band of output rows first .. first + rows - 1 of one picture; x points to the first channel of the group. */
static inline void elq_i8_gather_rows(const elq_shape *g, const elq_i8_plan *plan, const uint8_t *picture,
                                      ptrdiff_t first, ptrdiff_t rows, uint8_t flip, uint8_t *band) {
    const ptrdiff_t columns = plan->pitch / plan->c, all = elq_i8_band_rows(g, rows);
    const ptrdiff_t left = elq_least(g->pad_w, columns);
    const ptrdiff_t inside = elq_most(0, elq_least(g->w, columns - left));
    const size_t right = (size_t)((columns - left - inside) * plan->c);
    for (ptrdiff_t i = 0; i < all; i++, band += plan->pitch) {
        const ptrdiff_t row = first * g->stride_h - g->pad_h + i;
        if (row < 0 || row >= g->h) {
            memset(band, flip, (size_t)plan->pitch);
            continue;
        }
        const uint8_t *from = picture + row * g->w * g->c;
        uint8_t *to = band + left * plan->c;
        memset(band, flip, (size_t)(left * plan->c));
        if (plan->c == g->c) elq_i8_copy(to, from, inside * plan->c, flip);
        else
            for (ptrdiff_t j = 0; j < inside; j++) elq_i8_copy(to + j * plan->c, from + j * g->c, plan->c, flip);
        memset(to + inside * plan->c, flip, right);
    }
}

/* A flat band: the output pixels first .. first + pixels - 1 of all pictures. */
static inline void elq_i8_gather_pixels(const elq_shape *g, const elq_i8_plan *plan, const uint8_t *x, ptrdiff_t first,
                                        ptrdiff_t pixels, uint8_t flip, uint8_t *band) {
    const int whole = plan->c == g->c && g->stride_h == 1 && g->stride_w == 1 && g->p == g->h && g->q == g->w;
    if (whole && g->pad_h == 0 && g->pad_w == 0) {
        elq_i8_copy(band, x + first * g->c, pixels * g->c, flip);
        return;
    }
    ptrdiff_t q = first % g->q, p = first / g->q % g->p, n = first / g->q / g->p;
    for (ptrdiff_t t = 0; t < pixels; t++, band += plan->c) {
        elq_i8_copy_pixel(band, x + n * g->h * g->w * g->c, g, plan->c, p * g->stride_h - g->pad_h,
                          q * g->stride_w - g->pad_w, flip);
        if (++q == g->q) {
            q = 0;
            if (++p == g->p) p = 0, n++;
        }
    }
}

#endif
