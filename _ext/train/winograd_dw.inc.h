/* Winograd's way for the gradient with respect to 3x3 weights: see train/winograd.inc.h. A template included by
 * train/conv_dw.inc.h. Chunks as there: a sum of its own for each of a fixed number of them, added up in order. */

/* Tiles of a chunk at least, which writes and reads all sums once; outputs of a piece, which transforms x anew. */
enum { NAME(CHUNK_TILES) = 64, NAME(PART) = 128 };

struct NAME(winograd_dw) {
    const struct elq_conv *g;
    struct elq_array x, dy, dw;
    struct elq_tiles tiles;
    ptrdiff_t chunks;
    ptrdiff_t o0, outputs, part, parts; /* of this pass; of a piece, pieces of a chunk */
    ptrdiff_t size;                     /* of a chunk */
    REAL *sums;                         /* [chunk], each like transformed weights */
    REAL *scratch;                      /* per worker: transformed x and dy, then a buffer for either */
    ptrdiff_t x_point, dy_point, scratch_size;
};

/* The transformed gradient of a unit into d[point][block][tile][lanes], of `outputs` channels of dy. */
static void NAME(winograd_gradients)(REAL *d, ptrdiff_t point, REAL *buffer, const struct elq_tiles *t,
                                     struct elq_tile_unit u, const REAL *dy, const ptrdiff_t *s, ptrdiff_t outputs,
                                     ptrdiff_t p, ptrdiff_t q) {
    ptrdiff_t width = 4 * t->columns;
    for (ptrdiff_t row = 0; row < u.images * u.rows; row++) {
        NAME(gather)(buffer, outputs, dy + (u.n0 + row / u.rows) * s[0], s, outputs, p, q, 4 * (u.row0 + row % u.rows),
                     4, 0, width);
        for (ptrdiff_t column = 0; column < t->columns; column++)
            for (ptrdiff_t o = 0; o < outputs; o += LANES) {
                ptrdiff_t block = o / (2 * LANES) * 2 * LANES, lanes = outputs - block > LANES ? 2 * LANES : LANES;
                NAME(winograd_gradient)(d + block * u.tiles + (row * t->columns + column) * lanes + o - block, point,
                                        buffer + 4 * column * outputs + o, width * outputs, outputs);
            }
    }
}

/* The sums of one chunk for some of the outputs. */
static void NAME(winograd_dw_piece)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(winograd_dw) *a = context;
    const struct elq_conv *g = a->g;
    ptrdiff_t chunk = index / a->parts, first = index % a->parts * a->part;
    ptrdiff_t outputs = a->outputs - first < a->part ? a->outputs - first : a->part;
    REAL *v = a->scratch + worker * a->scratch_size, *d = v + NAME(POINTS) * a->x_point;
    REAL *buffer = d + NAME(POINTS) * a->dy_point, *sums = a->sums + chunk * a->size + NAME(weight_size)(g->c, first);
    const REAL *dy = (const REAL *)a->dy.data + (a->o0 + first) * a->dy.s[1];
    memset(sums, 0, NAME(weight_size)(g->c, outputs) * sizeof(REAL));
    ptrdiff_t end = (chunk + 1) * a->tiles.units / a->chunks;
    for (ptrdiff_t unit = chunk * a->tiles.units / a->chunks; unit < end; unit++) {
        if (elq_given_up()) return;
        struct elq_tile_unit u = elq_tile_unit(&a->tiles, g->n, unit);
        assert(u.tiles > 0 && u.tiles * NAME(tile_step)(g->c) <= a->x_point && u.tiles * outputs <= a->dy_point);
        NAME(winograd_inputs)(v, a->x_point, buffer, &a->tiles, u, a->x.data, a->x.s, g->c, g->h, g->w, g->pad_h,
                              g->pad_w);
        NAME(winograd_gradients)(d, a->dy_point, buffer, &a->tiles, u, dy, a->dy.s, outputs, g->p, g->q);
        struct elq_tile_unit next = elq_tile_unit(&a->tiles, g->n, unit + 1);
        for (ptrdiff_t point = 0; point < NAME(POINTS); point++) {
            NAME(fetch)(next, point, NAME(POINTS), a->x.data, a->x.s, g->c, g->h, g->w);
            NAME(fetch)(next, point, NAME(POINTS), dy, a->dy.s, outputs, g->p, g->q);
            for (ptrdiff_t o = 0; o < outputs; o += 2 * LANES) {
                ptrdiff_t lanes = outputs - o > LANES ? 2 * LANES : LANES;
                const struct NAME(sweep) sweep = {1, 1, u.tiles, 0, 0, NAME(tile_step)(g->c), 0, 0, lanes};
                NAME(dw_run)(lanes / LANES, g->c, &sweep, v + point * a->x_point, d + point * a->dy_point + o * u.tiles,
                             sums + NAME(weight_size)(g->c, o) + point * NAME(weight_point)(g->c, lanes));
            }
        }
    }
}

/* G' (sum of the chunks) G for one vector of outputs. */
static void NAME(winograd_dw_finish)(void *context, ptrdiff_t vector, int worker) {
    const struct NAME(winograd_dw) *a = context;
    ptrdiff_t channels = a->g->c, o = vector * LANES, block = o / (2 * LANES) * 2 * LANES;
    ptrdiff_t lanes = a->outputs - block > LANES ? 2 * LANES : LANES, size = NAME(weight_point)(channels, lanes);
    REAL *sums = a->sums + NAME(weight_size)(channels, block) + o - block;
    (void)worker;
    for (ptrdiff_t point = 0; point < NAME(POINTS); point++)
        for (ptrdiff_t chunk = 1; chunk < a->chunks; chunk++) {
            REAL *to = sums + point * size, *from = to + chunk * a->size;
            for (ptrdiff_t c = 0; c < channels; c++)
                NAME(store)(to + c * lanes, NAME(load)(to + c * lanes) + NAME(load)(from + c * lanes));
        }
    for (ptrdiff_t c = 0; c < channels; c++) {
        double m[NAME(POINTS)][LANES];
        REAL g[9][LANES], *dw = (REAL *)a->dw.data + (a->o0 + o) * a->dw.s[0] + c * a->dw.s[1];
        for (int point = 0; point < NAME(POINTS); point++)
            for (ptrdiff_t l = 0; l < LANES; l++) m[point][l] = sums[point * size + c * lanes + l];
        NAME(winograd_weight_gradient)(g, m);
        for (int k = 0; k < 9; k++)
            for (ptrdiff_t l = 0; l < LANES; l++)
                dw[l * a->dw.s[0] + k / 3 * a->dw.s[2] + k % 3 * a->dw.s[3]] = g[k][l];
    }
}

static int NAME(winograd_dw_fits)(const struct elq_conv *g) {
    return NAME(winograd_channels)(g->c, g->o, g->n, g->p, g->q) && g->groups == 1 && g->kh == 3 && g->kw == 3 &&
           g->stride_h == 1 && g->stride_w == 1 && g->dilation_h == 1 && g->dilation_w == 1;
}

static int NAME(winograd_dw)(const struct elq_conv *g, struct elq_array dy, struct elq_array x, struct elq_array dw) {
    ptrdiff_t most = NAME(winograd_outputs)(g->c, g->o), size = NAME(weight_size)(g->c, most), chunks = ELQ_CHUNKS;
    ptrdiff_t tiles = g->n * ((g->p + 3) / 4) * ((g->q + 3) / 4), threads = elq_num_threads();
    ptrdiff_t bytes = size * (ptrdiff_t)sizeof(REAL);
    while (chunks > 1 && (tiles < chunks * NAME(CHUNK_TILES) || chunks * bytes > ELQ_SUMS_BYTES)) chunks /= 2;
    struct NAME(winograd_dw) a = {.g = g,
                                  .x = x,
                                  .dy = dy,
                                  .dw = dw,
                                  .size = size,
                                  .chunks = chunks,
                                  .part = most < NAME(PART) ? most : NAME(PART),
                                  .tiles = elq_tiles_cut(g->n, g->p, g->q, NAME(TILES), chunks)};
    if (a.chunks > a.tiles.units) a.chunks = a.tiles.units;
    a.x_point = NAME(point_size)(&a.tiles, NAME(tile_step)(g->c));
    a.dy_point = NAME(point_size)(&a.tiles, a.part);
    ptrdiff_t channels = g->c > a.part ? g->c : a.part;
    a.scratch_size = WHOLE(NAME(POINTS) * (a.x_point + a.dy_point) + 6 * (4 * a.tiles.columns + 2) * channels);
    a.sums = elq_memory_take((a.chunks * size + threads * a.scratch_size) * sizeof(REAL));
    if (!a.sums) return -1;
    a.scratch = a.sums + a.chunks * size;
    for (a.o0 = 0; a.o0 < g->o; a.o0 += most) {
        a.outputs = g->o - a.o0 < most ? g->o - a.o0 : most;
        a.parts = (a.outputs + a.part - 1) / a.part;
        elq_parallel_for(a.chunks * a.parts, NAME(winograd_dw_piece), &a);
        elq_parallel_for(a.outputs / LANES, NAME(winograd_dw_finish), &a);
    }
    elq_memory_give(a.sums);
    return 0;
}
