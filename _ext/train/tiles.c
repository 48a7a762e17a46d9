/* train/tiles.h */
#include "train/tiles.h"

#include <assert.h>

struct elq_tiles elq_tiles_cut(ptrdiff_t n, ptrdiff_t p, ptrdiff_t q, ptrdiff_t most, ptrdiff_t wanted) {
    assert(n > 0 && p > 0 && q > 0 && most > 0);
    struct elq_tiles t = {.rows = (p + 3) / 4, .columns = (q + 3) / 4};
    t.bands = (t.rows * t.columns + most - 1) / most;
    t.unit_images = most / (t.rows * t.columns);
    if (t.unit_images < 1) t.unit_images = 1;
    while (t.unit_images > 1 && (n + t.unit_images - 1) / t.unit_images < wanted) t.unit_images--;
    while (n * t.bands < wanted && t.unit_images == 1 && t.bands < t.rows) t.bands *= 2;
    if (t.bands > t.rows) t.bands = t.rows;
    t.unit_rows = (t.rows + t.bands - 1) / t.bands;
    t.bands = (t.rows + t.unit_rows - 1) / t.unit_rows;
    t.units = (n + t.unit_images - 1) / t.unit_images * t.bands;
    assert(t.unit_images == 1 || t.bands == 1);
    return t;
}

struct elq_tile_unit elq_tile_unit(const struct elq_tiles *t, ptrdiff_t n, ptrdiff_t index) {
    struct elq_tile_unit u = {.n0 = index / t->bands * t->unit_images, .row0 = index % t->bands * t->unit_rows};
    u.images = n - u.n0 < t->unit_images ? n - u.n0 : t->unit_images;
    u.rows = t->rows - u.row0 < t->unit_rows ? t->rows - u.row0 : t->unit_rows;
    u.tiles = u.images * u.rows * t->columns;
    return u;
}
