/* The tiles of 4x4 output pixels that Winograd's algorithm works on (train/winograd.inc.h), cut into units of work. */
#ifndef ELQ_TRAIN_TILES_H
#define ELQ_TRAIN_TILES_H

#include <stddef.h>

struct elq_tiles {
    ptrdiff_t rows, columns;          /* of an image */
    ptrdiff_t unit_images, unit_rows; /* several images only with all of their rows */
    ptrdiff_t bands, units;           /* an image's units, and all */
};

/* n images of p x q outputs in units of at most about `most` tiles, more units than `wanted` if there can be. */
struct elq_tiles elq_tiles_cut(ptrdiff_t n, ptrdiff_t p, ptrdiff_t q, ptrdiff_t most, ptrdiff_t wanted);

/* Images n0 .. n0 + images - 1, of each the rows of tiles row0 .. row0 + rows - 1: `tiles` in all. */
struct elq_tile_unit {
    ptrdiff_t n0, images, row0, rows, tiles;
};

/* Unit `index` of n images; behind the last one it has no images or rows, or fewer than none. */
struct elq_tile_unit elq_tile_unit(const struct elq_tiles *t, ptrdiff_t n, ptrdiff_t index);

#endif
