/* Winograd's F(2x2, 3x3) for 3x3 convolutions of stride 1 in float: 16 multiplications for 4 output pixels, not 36.
 * A template like train_conv.inc.h, which includes it.
 *
 *     Y = A' [ sum_c (G g G') * (B' d B) ] A      d 4x4 input pixels, g 3x3 weights, Y 2x2 outputs, * by elements
 *
 * B' = 1  0 -1  0    G =  1    0   0    A' = 1  1  1  0
 *      0  1  1  0        1/2  1/2 1/2        0  1 -1 -1
 *      0 -1  1  0        1/2 -1/2 1/2
 *      0  1  0 -1         0    0   1
 *
 * For each of the 16 places (`points`) the sum over c is a product of matrices, tiles x C by C x O, which the tile
 * kernel of the direct convolution does. Y is linear in g, so its gradient is the adjoint of the same three steps:
 *
 *     dg = G' [ sum over tiles (B' d B) * (A dY A') ] G
 *
 * Error: |A'| [ sum_c (|G| |g| |G'|) * (|B'| |d| |B|) ] |A| times (C + 7) u: 2 roundings in B' d B, 1 in G g G' (taken
 * in double), C in the sum, 4 in A' . A (and one more where a bias is added). For dg, |G'| [ sum (|B'| |d| |B|) * (|A| |dY| |A'|) ] |G| times (tiles + 8) u. */

enum { NAME(POINTS) = 16 };
static const REAL NAME(zeros)[2 * LANES];

/* Whole vectors on both sides, at most 16 MB of transformed weights, and tiles enough to pay for transforming them. */
static int NAME(winograd_channels)(ptrdiff_t c, ptrdiff_t o, ptrdiff_t n, ptrdiff_t p, ptrdiff_t q) {
    return sizeof(REAL) == sizeof(float) && c % LANES == 0 && o % LANES == 0 && c * o <= 1 << 18 && p > 3 && q > 3 &&
           n * ((p + 1) / 2) * ((q + 1) / 2) >= 32;
}

static int NAME(winograd_fits)(const struct NAME(engine) *e) {
    const struct elq_taps *taps = e->taps;
    return NAME(winograd_channels)(e->c, e->o, e->n, e->p, e->q) && e->groups == 1 && e->step_h == 1 &&
           e->step_w == 1 && taps->count == 9 && taps->span_h == 3 && taps->span_w == 3;
}

/* Tiles of a unit of work at least: more of them for weights that have to come from the third-level cache. */
static ptrdiff_t NAME(winograd_tiles)(ptrdiff_t c, ptrdiff_t o, ptrdiff_t tiles) { return c * o >= 1 << 14 ? tiles : 1; }

/* Elements from one tile to the next. Like all the paddings here it keeps strides away from powers of two, which fall
 * into the same few sets of the cache. */
static ptrdiff_t NAME(tile_step)(ptrdiff_t channels) { return channels % 128 ? channels : channels + LANES; }

/* Elements from one point to the next for `tiles` tiles of `step` elements. */
static ptrdiff_t NAME(point_size)(ptrdiff_t tiles, ptrdiff_t step) { return tiles * step + LANES; }

/* B' d B of one tile and one vector of channels; `row` and `column` elements between neighbours of d. */
INLINE void NAME(transform_input)(REAL *to, ptrdiff_t point, const REAL *d, ptrdiff_t row, ptrdiff_t column) {
#define COLUMN(j)                                                                                                      \
    VEC d0##j = NAME(load)(d + j * column), d1##j = NAME(load)(d + row + j * column);                                  \
    VEC d2##j = NAME(load)(d + 2 * row + j * column), d3##j = NAME(load)(d + 3 * row + j * column);                    \
    VEC t0##j = d0##j - d2##j, t1##j = d1##j + d2##j, t2##j = d2##j - d1##j, t3##j = d1##j - d3##j;
#define ROW(i)                                                                                                         \
    NAME(store)(to + (4 * i + 0) * point, t##i##0 - t##i##2);                                                          \
    NAME(store)(to + (4 * i + 1) * point, t##i##1 + t##i##2);                                                          \
    NAME(store)(to + (4 * i + 2) * point, t##i##2 - t##i##1);                                                          \
    NAME(store)(to + (4 * i + 3) * point, t##i##1 - t##i##3);
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3)
    ROW(0) ROW(1) ROW(2) ROW(3)
#undef COLUMN
#undef ROW
}

/* The input transform of rows x columns tiles of a buffer of `width` pixels a row. */
static void NAME(transform_inputs)(REAL *to, ptrdiff_t point, const REAL *x, ptrdiff_t width, ptrdiff_t channels,
                                   ptrdiff_t rows, ptrdiff_t columns) {
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t q = 0; q < columns; q++, to += NAME(tile_step)(channels))
            for (ptrdiff_t c = 0; c < channels; c += LANES)
                NAME(transform_input)(to + c, point, x + (2 * r * width + 2 * q) * channels + c, width * channels,
                                      channels);
}

/* A' m A of one tile and one vector of outputs into y[2][2]. */
INLINE void NAME(transform_output)(VEC y[4], const REAL *m, ptrdiff_t point) {
#define COLUMN(j)                                                                                                      \
    VEC m1##j = NAME(load)(m + (4 + j) * point), m2##j = NAME(load)(m + (8 + j) * point);                              \
    VEC s##j = NAME(load)(m + j * point) + m1##j + m2##j, t##j = m1##j - m2##j - NAME(load)(m + (12 + j) * point);
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3)
    y[0] = s0 + s1 + s2;
    y[1] = s1 - s2 - s3;
    y[2] = t0 + t1 + t2;
    y[3] = t1 - t2 - t3;
#undef COLUMN
}

/* --------------------------------------------------------------------------------------- forward, and towards x */

static void NAME(winograd_piece)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(engine) *e = context;
    ptrdiff_t all_rows = (e->p + 1) / 2, columns = (e->q + 1) / 2, bands = (all_rows + e->rows - 1) / e->rows;
    ptrdiff_t n0 = index / bands * e->images, images = e->n - n0 < e->images ? e->n - n0 : e->images;
    ptrdiff_t row0 = index % bands * e->rows, rows = all_rows - row0 < e->rows ? all_rows - row0 : e->rows;
    ptrdiff_t tiles = images * rows * columns, x_step = NAME(tile_step)(e->c), y_step = NAME(tile_step)(e->o);
    ptrdiff_t x_point = NAME(point_size)(tiles, x_step), y_point = NAME(point_size)(tiles, y_step);
    REAL *v = e->scratch + worker * e->scratch_size, *m = v + NAME(POINTS) * x_point;
    REAL *buffer = m + NAME(POINTS) * y_point;
    for (ptrdiff_t i = 0; i < images; i++) {
        NAME(gather)(buffer, e->c, e->x + (n0 + i) * e->xs[0], e->xs, e->c, e->h, e->w, 2 * row0 - e->top, 2 * rows + 2,
                     -e->left, e->columns);
        NAME(transform_inputs)(v + i * rows * columns * x_step, x_point, buffer, e->columns, e->c, rows, columns);
    }

    struct elq_run run = {0, e->c};
    struct elq_taps one = {.count = 1, .runs = 1, .run = &run};
    for (ptrdiff_t point = 0; point < NAME(POINTS); point++)
        for (ptrdiff_t o = 0; o < e->o; o += 2 * LANES)
            NAME(row)(e->o - o > LANES ? 2 : 1, v + point * x_point, x_step, &one, NAME(zeros),
                      e->weights + (point * e->o + o) * e->c, m + point * y_point + o, y_step, tiles, e->o - o);

    for (ptrdiff_t tile = 0; tile < tiles; tile++) {
        ptrdiff_t n = n0 + tile / (rows * columns), p = 2 * (row0 + tile / columns % rows), q = 2 * (tile % columns);
        REAL *y = e->y + n * e->y_n + p * e->y_h + q * e->y_w;
        for (ptrdiff_t o = 0; o < e->o; o += LANES) {
            VEC out[4], bias = e->bias ? NAME(load)(e->bias + o) : (VEC){0};
            NAME(transform_output)(out, m + tile * y_step + o, y_point);
            for (int k = 0; k < 4; k++) out[k] += bias;
            NAME(store)(y + o, out[0]);
            if (q + 1 < e->q) NAME(store)(y + e->y_w + o, out[1]);
            if (p + 1 < e->p) NAME(store)(y + e->y_h + o, out[2]);
            if (p + 1 < e->p && q + 1 < e->q) NAME(store)(y + e->y_h + e->y_w + o, out[3]);
        }
    }
}

/* Weights on their way into `to`, [point][block of 1 or 2 vectors of outputs][c][lanes]. */
struct NAME(winograd_weights) {
    const struct NAME(engine) *e;
    const REAL *w;
    ptrdiff_t so, sc, si, sj;
    REAL *to;
};

/* G g G' of one vector of outputs, in double. */
static void NAME(transform_weights)(void *context, ptrdiff_t vector, int worker) {
    const struct NAME(winograd_weights) *a = context;
    const struct NAME(engine) *e = a->e;
    ptrdiff_t o = vector * LANES, first = o / (2 * LANES) * 2 * LANES, lanes = e->o - first > LANES ? 2 * LANES : LANES;
    (void)worker;
    for (ptrdiff_t c = 0; c < e->c; c++) {
        double g[3][3][LANES], t[4][3][LANES];
        for (int k = 0; k < 9; k++) {
            const REAL *w = a->w + o * a->so + c * a->sc + e->taps->i[k] * a->si + e->taps->j[k] * a->sj;
            for (ptrdiff_t l = 0; l < LANES; l++) g[e->taps->row[k]][e->taps->column[k]][l] = w[l * a->so];
        }
        for (int j = 0; j < 3; j++)
            for (ptrdiff_t l = 0; l < LANES; l++) {
                t[0][j][l] = g[0][j][l];
                t[1][j][l] = 0.5 * (g[0][j][l] + g[1][j][l] + g[2][j][l]);
                t[2][j][l] = 0.5 * (g[0][j][l] - g[1][j][l] + g[2][j][l]);
                t[3][j][l] = g[2][j][l];
            }
        for (int i = 0; i < 4; i++) {
            REAL *u = a->to + 4 * i * e->c * e->o + first * e->c + c * lanes + o - first;
            for (ptrdiff_t l = 0; l < LANES; l++) {
                u[l] = t[i][0][l];
                u[l + e->c * e->o] = 0.5 * (t[i][0][l] + t[i][1][l] + t[i][2][l]);
                u[l + 2 * e->c * e->o] = 0.5 * (t[i][0][l] - t[i][1][l] + t[i][2][l]);
                u[l + 3 * e->c * e->o] = t[i][2][l];
            }
        }
    }
}

static int NAME(winograd)(struct NAME(engine) *e, const REAL *w, ptrdiff_t so, ptrdiff_t sc, ptrdiff_t si,
                          ptrdiff_t sj) {
    ptrdiff_t all_rows = (e->p + 1) / 2, columns = (e->q + 1) / 2, threads = elq_num_threads();
    ptrdiff_t row_size = NAME(POINTS) * (NAME(tile_step)(e->c) + NAME(tile_step)(e->o)) * columns;
    ptrdiff_t weights = NAME(POINTS) * e->c * e->o, least = NAME(winograd_tiles)(e->c, e->o, 56);
    e->columns = 2 * columns + 2;
    e->rows = ELQ_BUFFER_BYTES / (ptrdiff_t)sizeof(REAL) / row_size + 1;
    if (e->rows * columns < least) e->rows = (least + columns - 1) / columns;
    if (e->rows > all_rows) e->rows = all_rows;
    e->images = e->rows < all_rows ? 1 : (least + all_rows * columns - 1) / (all_rows * columns);
    ptrdiff_t wanted = 2 * threads;
    while (e->images > 1 && (e->n + e->images - 1) / e->images < wanted) e->images--;
    while (e->images == 1 && e->rows > 1 && e->n * ((all_rows + e->rows - 1) / e->rows) < wanted)
        e->rows = (e->rows + 1) / 2;
    e->scratch_size = WHOLE(e->images * e->rows * row_size + 2 * NAME(POINTS) * LANES +
                            (2 * e->rows + 2) * e->columns * e->c);

    REAL *memory = elq_memory_take((weights + threads * e->scratch_size) * sizeof(REAL));
    if (!memory) return -1;
    e->weights = memory;
    e->scratch = memory + weights;
    struct NAME(winograd_weights) transform = {e, w, so, sc, si, sj, memory};
    elq_parallel_for(e->o / LANES, NAME(transform_weights), &transform);
    elq_parallel_for((e->n + e->images - 1) / e->images * ((all_rows + e->rows - 1) / e->rows), NAME(winograd_piece), e);
    elq_memory_give(memory);
    return 0;
}
