/* train/taps.h */
#include "train/taps.h"

#include <stdlib.h>

struct elq_taps *elq_taps_new(ptrdiff_t kh, ptrdiff_t kw) {
    ptrdiff_t most = kh * kw;
    struct elq_taps *taps = malloc(sizeof *taps + most * (5 * sizeof(ptrdiff_t) + sizeof(struct elq_run)));
    if (!taps) return NULL;
    taps->count = taps->runs = 0;
    taps->span_h = taps->span_w = 1;
    taps->i = (ptrdiff_t *)(taps + 1);
    taps->j = taps->i + most;
    taps->row = taps->j + most;
    taps->column = taps->row + most;
    taps->offset = taps->column + most;
    taps->run = (struct elq_run *)(taps->offset + most);
    return taps;
}

void elq_taps_add(struct elq_taps *taps, ptrdiff_t i, ptrdiff_t j, ptrdiff_t row, ptrdiff_t column) {
    int k = taps->count++;
    taps->i[k] = i;
    taps->j[k] = j;
    taps->row[k] = row;
    taps->column[k] = column;
    if (row >= taps->span_h) taps->span_h = row + 1;
    if (column >= taps->span_w) taps->span_w = column + 1;
}

struct elq_taps *elq_taps_copy(const struct elq_taps *taps) {
    struct elq_taps *copy = elq_taps_new(taps->count, 1);
    for (int k = 0; copy && k < taps->count; k++)
        elq_taps_add(copy, taps->i[k], taps->j[k], taps->row[k], taps->column[k]);
    return copy;
}

void elq_taps_place(struct elq_taps *taps, ptrdiff_t columns, ptrdiff_t channels) {
    taps->runs = 0;
    for (int k = 0; k < taps->count; k++) {
        ptrdiff_t offset = taps->offset[k] = (taps->row[k] * columns + taps->column[k]) * channels;
        struct elq_run *last = taps->run + taps->runs - 1;
        if (taps->runs && last->offset + last->length == offset) last->length += channels;
        else taps->run[taps->runs++] = (struct elq_run){offset, channels};
    }
}

ptrdiff_t elq_first_row(ptrdiff_t first, ptrdiff_t k, ptrdiff_t dilation, ptrdiff_t stride) {
    for (ptrdiff_t i = k - 1; i >= 0; i--)
        if ((first - i * dilation) % stride == 0) return (first - i * dilation) / stride;
    return 0;
}

ptrdiff_t elq_conv_lanes(ptrdiff_t groups, ptrdiff_t o) { return o <= 4 ? groups * o : o; }

struct elq_conv elq_without_strides(const struct elq_conv *g, struct elq_array *x) {
    struct elq_conv dense = *g;
    if (g->kh == 1 && g->pad_h == 0) {
        x->s[2] *= g->stride_h;
        dense.h = g->p;
        dense.stride_h = 1;
    }
    if (g->kw == 1 && g->pad_w == 0) {
        x->s[3] *= g->stride_w;
        dense.w = g->q;
        dense.stride_w = 1;
    }
    return dense;
}
