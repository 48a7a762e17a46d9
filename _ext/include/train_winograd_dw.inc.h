/* Winograd's way for the gradient with respect to 3x3 weights: see train_winograd.inc.h. A template included by
 * train_conv_dw.inc.h. Chunks as there: a sum of its own for each of a fixed number of them, added up in order. */

struct NAME(winograd_dw) {
    const struct elq_conv *g;
    struct elq_array x, dy, dw;
    ptrdiff_t rows, columns;        /* tiles of a unit: rows of an image's tiles (all of them if images > 1) */
    ptrdiff_t images, bands, units; /* images of a unit, units an image, units in all */
    ptrdiff_t chunks, outputs, parts; /* outputs of a piece, pieces of a chunk */
    REAL *sums;                     /* [chunk][point][block of 1 or 2 vectors of outputs][c][lanes] */
    REAL *scratch;                  /* per worker: transformed x and dy, then a buffer for either */
    ptrdiff_t scratch_size;
};

/* A e A' of one 2x2 tile and one vector of outputs. */
INLINE void NAME(transform_gradient)(REAL *to, ptrdiff_t point, const REAL *dy, ptrdiff_t row, ptrdiff_t column) {
#define COLUMN(j)                                                                                                      \
    VEC t0##j = NAME(load)(dy + j * column), t3##j = -NAME(load)(dy + row + j * column);                               \
    VEC t1##j = t0##j - t3##j, t2##j = t0##j + t3##j;
#define ROW(i)                                                                                                         \
    NAME(store)(to + (4 * i + 0) * point, t##i##0);                                                                    \
    NAME(store)(to + (4 * i + 1) * point, t##i##0 + t##i##1);                                                          \
    NAME(store)(to + (4 * i + 2) * point, t##i##0 - t##i##1);                                                          \
    NAME(store)(to + (4 * i + 3) * point, -t##i##1);
    COLUMN(0) COLUMN(1)
    ROW(0) ROW(1) ROW(2) ROW(3)
#undef COLUMN
#undef ROW
}

/* The sums of one chunk for some of the outputs. */
static void NAME(winograd_dw_piece)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(winograd_dw) *e = context;
    const struct elq_conv *g = e->g;
    ptrdiff_t chunk = index / e->parts, o0 = index % e->parts * e->outputs;
    ptrdiff_t outputs = g->o - o0 < e->outputs ? g->o - o0 : e->outputs;
    ptrdiff_t most = e->images * e->rows * e->columns, x_step = NAME(tile_step)(g->c), width = 2 * e->columns + 2;
    ptrdiff_t x_point = NAME(point_size)(most, x_step), y_point = NAME(point_size)(most, outputs);
    REAL *v = e->scratch + worker * e->scratch_size, *d = v + NAME(POINTS) * x_point;
    REAL *buffer = d + NAME(POINTS) * y_point, *sums = e->sums + chunk * NAME(POINTS) * g->c * g->o;
    for (ptrdiff_t point = 0; point < NAME(POINTS); point++)
        memset(sums + (point * g->o + o0) * g->c, 0, outputs * g->c * sizeof(REAL));
    for (ptrdiff_t unit = chunk * e->units / e->chunks; unit < (chunk + 1) * e->units / e->chunks; unit++) {
        ptrdiff_t n0 = unit / e->bands * e->images, row0 = unit % e->bands * e->rows, all_rows = (g->p + 1) / 2;
        ptrdiff_t images = g->n - n0 < e->images ? g->n - n0 : e->images;
        ptrdiff_t rows = all_rows - row0 < e->rows ? all_rows - row0 : e->rows, tiles = images * rows * e->columns;
        for (ptrdiff_t i = 0; i < images; i++) {
            ptrdiff_t tile = i * rows * e->columns;
            NAME(gather)(buffer, g->c, (const REAL *)e->x.data + (n0 + i) * e->x.s[0], e->x.s, g->c, g->h, g->w,
                         2 * row0 - g->pad_h, 2 * rows + 2, -g->pad_w, width);
            NAME(transform_inputs)(v + tile * x_step, x_point, buffer, width, g->c, rows, e->columns);
            NAME(gather)(buffer, outputs, (const REAL *)e->dy.data + (n0 + i) * e->dy.s[0] + o0 * e->dy.s[1], e->dy.s,
                         outputs, g->p, g->q, 2 * row0, 2 * rows, 0, 2 * e->columns);
            for (ptrdiff_t r = 0; r < rows; r++)
                for (ptrdiff_t q = 0; q < e->columns; q++, tile++)
                    for (ptrdiff_t o = 0; o < outputs; o += LANES) {
                        ptrdiff_t first = o / (2 * LANES) * 2 * LANES;
                        ptrdiff_t lanes = outputs - first > LANES ? 2 * LANES : LANES;
                        NAME(transform_gradient)(d + first * tiles + tile * lanes + o - first, y_point,
                                                 buffer + (2 * r * 2 * e->columns + 2 * q) * outputs + o,
                                                 2 * e->columns * outputs, outputs);
                    }
        }
        for (ptrdiff_t point = 0; point < NAME(POINTS); point++)
            for (ptrdiff_t o = 0; o < outputs; o += 2 * LANES) {
                int vectors = outputs - o > LANES ? 2 : 1;
                const struct NAME(sweep) sweep = {1, 1, tiles, 0, 0, x_step, 0, 0, vectors * LANES};
                NAME(dw_run)(vectors, g->c, &sweep, v + point * x_point, d + point * y_point + o * tiles,
                             sums + (point * g->o + o0 + o) * g->c);
            }
    }
}

/* G' (sum of the chunks) G for one vector of outputs. */
static void NAME(winograd_dw_finish)(void *context, ptrdiff_t block, int worker) {
    const struct NAME(winograd_dw) *e = context;
    const struct elq_conv *g = e->g;
    ptrdiff_t o = block * LANES, first = o / (2 * LANES) * 2 * LANES, lanes = g->o - first > LANES ? 2 * LANES : LANES;
    (void)worker;
    for (ptrdiff_t c = 0; c < g->c; c++) {
        VEC m[4][4], t[3][4];
        for (int point = 0; point < NAME(POINTS); point++) {
            const REAL *from = e->sums + (point * g->o + first) * g->c + c * lanes + o - first;
            VEC sum = NAME(load)(from);
            for (ptrdiff_t chunk = 1; chunk < e->chunks; chunk++)
                sum += NAME(load)(from + chunk * NAME(POINTS) * g->c * g->o);
            m[point / 4][point % 4] = sum;
        }
        for (int j = 0; j < 4; j++) {
            VEC half = (m[1][j] + m[2][j]) * (REAL)0.5;
            t[0][j] = m[0][j] + half;
            t[1][j] = (m[1][j] - m[2][j]) * (REAL)0.5;
            t[2][j] = half + m[3][j];
        }
        for (int i = 0; i < 3; i++) {
            VEC half = (t[i][1] + t[i][2]) * (REAL)0.5;
            VEC dg[3] = {t[i][0] + half, (t[i][1] - t[i][2]) * (REAL)0.5, half + t[i][3]};
            for (int j = 0; j < 3; j++) {
                REAL *dw = (REAL *)e->dw.data + o * e->dw.s[0] + c * e->dw.s[1] + i * e->dw.s[2] + j * e->dw.s[3];
                for (ptrdiff_t l = 0; l < LANES; l++) dw[l * e->dw.s[0]] = dg[j][l];
            }
        }
    }
}

static int NAME(winograd_dw_fits)(const struct elq_conv *g) {
    return NAME(winograd_channels)(g->c, g->o, g->n, g->p, g->q) && g->groups == 1 && g->kh == 3 && g->kw == 3 &&
           g->stride_h == 1 && g->stride_w == 1 && g->dilation_h == 1 && g->dilation_w == 1;
}

static int NAME(winograd_dw)(const struct elq_conv *g, struct elq_array dy, struct elq_array x, struct elq_array dw) {
    struct NAME(winograd_dw) e = {.g = g, .x = x, .dy = dy, .dw = dw, .columns = (g->q + 1) / 2, .outputs = g->o};
    ptrdiff_t all_rows = (g->p + 1) / 2, most_chunks = ELQ_CHUNKS;
    if (g->c * g->o >= 1 << 14) { /* Few chunks, as each reads and writes all these sums: the outputs are shared instead. */
        e.outputs = 128;
        most_chunks = g->o > 256 ? 1 : g->o > 128 ? 2 : 4;
    }
    if (e.outputs > g->o) e.outputs = g->o;
    e.parts = (g->o + e.outputs - 1) / e.outputs;
    ptrdiff_t x_step = NAME(tile_step)(g->c), channels = g->c > e.outputs ? g->c : e.outputs;
    ptrdiff_t row_size = NAME(POINTS) * (x_step + e.outputs) * e.columns, size = NAME(POINTS) * g->c * g->o;
    /* Units from the shapes alone; twice the usual buffer, since every unit reads and writes all sums once. */
    ptrdiff_t limit = 2 * ELQ_BUFFER_BYTES / (ptrdiff_t)sizeof(REAL);
    ptrdiff_t least = NAME(winograd_tiles)(g->c, g->o, 112);
    e.rows = limit / row_size + 1;
    if (e.rows * e.columns < least) e.rows = (least + e.columns - 1) / e.columns;
    if (e.rows > all_rows) e.rows = all_rows;
    e.bands = (all_rows + e.rows - 1) / e.rows;
    e.images = limit / (row_size * all_rows) + 1;
    if (e.images * all_rows * e.columns < least) e.images = (least + all_rows * e.columns - 1) / (all_rows * e.columns);
    if (e.bands > 1) e.images = 1;
    if (e.images > (g->n + most_chunks - 1) / most_chunks) e.images = (g->n + most_chunks - 1) / most_chunks;
    e.units = (g->n + e.images - 1) / e.images * e.bands;
    e.chunks = e.units < most_chunks ? e.units : most_chunks;
    e.scratch_size = WHOLE(e.images * e.rows * row_size + 2 * NAME(POINTS) * LANES +
                           (2 * e.rows + 2) * (2 * e.columns + 2) * channels);
    REAL *memory = elq_memory_take((e.chunks * size + elq_num_threads() * e.scratch_size) * sizeof(REAL));
    if (!memory) return -1;
    e.sums = memory;
    e.scratch = memory + e.chunks * size;
    elq_parallel_for(e.chunks * e.parts, NAME(winograd_dw_piece), &e);
    elq_parallel_for(g->o / LANES, NAME(winograd_dw_finish), &e);
    elq_memory_give(memory);
    return 0;
}
