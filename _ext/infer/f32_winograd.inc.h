/* Winograd's F(4x4, 3x3) with codes for weights: 36 multiplications for 16 output pixels, not 144.
 *
 *     Y = (3/65)^2 A' [ sum_c (G g G') * (B' d B) ] A      d 6x6 inputs, g 3x3 codes, Y 4x4 outputs, * by elements
 *
 * B' = 1    0  -97/36   0     1  0    G = 1  0  0    A' = 65/3 -3/2 -3/2  2/3  2/3   0
 *      0  -3/2  -9/4   2/3    1  0        9  6  4           0   -1    1    1   -1    0
 *      0   3/2  -9/4  -2/3    1  0        9 -6  4           0  -2/3 -2/3  3/2  3/2   0
 *      0  -2/3  -4/9   3/2    1  0        4  6  9           0  -4/9  4/9  9/4 -9/4 65/3
 *      0   2/3  -4/9  -3/2    1  0        4 -6  9
 *      0    1     0  -97/36   0  1        0  0  1
 *
 * These interpolate at 0, 2/3, -2/3, 3/2, -3/2 and infinity, with a quarter of the worst error of the usual points
 * (0, 1, -1, 2, -2). Usually G has fractions; here they are moved to A and to the scale of the output, which leaves
 * G g G' whole numbers up to 361: transformed codes are exact. They are made anew from the 1 or 2 bits in every task,
 * for one or two vectors of outputs, and serve all of the task's tiles; the sums over channels are products of matrices,
 * tiles x C by C x outputs, one for each of the 36 places (`points`), and go through the tile kernel of the direct
 * convolution.
 *
 * Error: with n = C + 20, n u / (1 - n u) |scale| (3/65)^2 |A'| [ sum_c (|G| |g| |G'|) * (|B'| |d| |B|) ] |A| for the
 * sum and u |bias| more: 3 + 3 roundings in B' d B (one of them of the constants), C in the sum, 5 + 5 in A' . A, 3 in
 * scale and its product, 1 of the bias's addition. |A'| (|G| 1) * (|B'| 1) is at most 23.2 * 65/3 in each direction, so
 * this is below n u / (1 - n u) |scale| 538 sum_c max |d_c| over the tile. A NaN or infinity in d reaches all 16
 * outputs of the tiles that see it. A template like infer/f32_codes.inc.h, and of the tile kernel's TILE1 and TILE2. */
enum { NAME(PLACES) = 36, NAME(TILES) = 64, NAME(DEPTH) = 1024 / LANES }; /* tiles of a task; channels at a time */

/* How a call is cut into tasks: pictures x bands of rows of tiles x pieces of the outputs; and its scratch. */
struct NAME(winograd_plan) {
    ptrdiff_t columns, all_rows;         /* tiles of a picture */
    ptrdiff_t images, rows, bands;       /* of a task; a picture's bands */
    ptrdiff_t pieces, vectors;           /* of the outputs; vectors of a piece */
    ptrdiff_t x_point, w_point, m_point; /* floats from one point to the next: [point][DEPTH channels][tile][c], */
}; /* [point][c][lanes], [point][tile][lanes] */

static struct NAME(winograd_plan) NAME(winograd_plan)(const elq_shape *s, ptrdiff_t n) {
    struct NAME(winograd_plan) p = {.columns = (s->q + 3) / 4, .all_rows = (s->p + 3) / 4, .images = 1, .pieces = 1};
    ptrdiff_t tiles = p.columns * p.all_rows, vectors = (s->o + LANES - 1) / LANES;
    ptrdiff_t wanted = n * tiles * s->c * s->o > 1 << 18 ? 4 : 2;
    ptrdiff_t most = NAME(TILES) * 144 / s->c; /* transformed inputs take up to about 1.5 MB */
    if (most > NAME(TILES)) most = NAME(TILES);
    if (most < 4) most = 4;
    p.bands = (tiles + most - 1) / most;
    if (p.bands > p.all_rows) p.bands = p.all_rows;
    if (p.bands == 1) p.images = most / tiles > 1 ? most / tiles : 1;
    while (p.images > 1 && (n + p.images - 1) / p.images < wanted) p.images--;
    for (ptrdiff_t groups = (n + p.images - 1) / p.images; groups * p.bands * p.pieces < wanted;) {
        if (vectors >= 4 * p.pieces || (vectors >= 2 * p.pieces && p.all_rows < 4)) p.pieces *= 2;
        else if (p.bands * 2 <= p.all_rows) p.bands *= 2;
        else break;
    }
    p.rows = (p.all_rows + p.bands - 1) / p.bands;
    p.bands = (p.all_rows + p.rows - 1) / p.rows;
    p.vectors = (vectors + p.pieces - 1) / p.pieces;
    p.vectors += p.vectors > 1 && p.vectors % 2; /* pairs */
    p.pieces = (vectors + p.vectors - 1) / p.vectors;
    ptrdiff_t lanes = p.vectors > 1 ? 2 * LANES : LANES;
    /* One vector away from powers of two, which share few sets of the cache. */
    p.x_point = p.images * p.rows * p.columns * s->c + LANES;
    p.w_point = (s->c < NAME(DEPTH) ? s->c : NAME(DEPTH)) * lanes + LANES;
    p.m_point = p.images * p.rows * p.columns * lanes + LANES;
    return p;
}

#include "common/winograd_input.inc.h"

/* G of three vectors. */
#define WEIGHT_SIX(u0, u1, u2, u3, u4, u5, g0, g1, g2)                                                                 \
    {                                                                                                                  \
        VEC ends = 9 * g0 + 4 * g2, ends2 = 4 * g0 + 9 * g2;                                                           \
        u0 = g0, u1 = ends + 6 * g1, u2 = ends - 6 * g1, u3 = ends2 + 6 * g1, u4 = ends2 - 6 * g1, u5 = g2;            \
    }

/* G g G' of channels `first` .. `end` of `c` and one block of outputs, to[point][c][step lanes]. */
INLINE void NAME(winograd_weights)(const int bits, float *to, ptrdiff_t point, ptrdiff_t step, const uint32_t *codes,
                                   ptrdiff_t c, ptrdiff_t first, ptrdiff_t end) {
    for (ptrdiff_t c0 = first; c0 < end; c0 += 16) {
#define WORD(k)                                                                                                        \
    UNSIGNED w##k = NAME(load_words)(codes + (k * c + c0) * bits / 32 * LANES) >> (uint32_t)((k * c + c0) * bits % 32);
        /* clang-format off */
        WORD(0) WORD(1) WORD(2) WORD(3) WORD(4) WORD(5) WORD(6) WORD(7) WORD(8)
        /* clang-format on */
#undef WORD
        for (int k = 0; k < 16; k++, to += step) {
            VEC t[6][3];
#define COLUMN(j, a, b, c)                                                                                             \
    {                                                                                                                  \
        VEC g0 = NAME(decode)(bits, a), g1 = NAME(decode)(bits, b), g2 = NAME(decode)(bits, c);                        \
        a >>= bits, b >>= bits, c >>= bits;                                                                            \
        WEIGHT_SIX(t[0][j], t[1][j], t[2][j], t[3][j], t[4][j], t[5][j], g0, g1, g2)                                   \
    }
#define ROW(i)                                                                                                         \
    {                                                                                                                  \
        VEC u0, u1, u2, u3, u4, u5;                                                                                    \
        WEIGHT_SIX(u0, u1, u2, u3, u4, u5, t[i][0], t[i][1], t[i][2])                                                  \
        STORE_SIX(i, u0, u1, u2, u3, u4, u5)                                                                           \
    }
            /* clang-format off */
            COLUMN(0, w0, w3, w6) COLUMN(1, w1, w4, w7) COLUMN(2, w2, w5, w8)
            ROW(0) ROW(1) ROW(2) ROW(3) ROW(4) ROW(5)
            /* clang-format on */
#undef COLUMN
#undef ROW
        }
    }
}

APART void NAME(winograd_weights_b1)(float *to, ptrdiff_t point, ptrdiff_t step, const uint32_t *codes, ptrdiff_t c,
                                     ptrdiff_t first, ptrdiff_t end) {
    NAME(winograd_weights)(1, to, point, step, codes, c, first, end);
}

APART void NAME(winograd_weights_t2)(float *to, ptrdiff_t point, ptrdiff_t step, const uint32_t *codes, ptrdiff_t c,
                                     ptrdiff_t first, ptrdiff_t end) {
    NAME(winograd_weights)(2, to, point, step, codes, c, first, end);
}

/* A' of six vectors. */
#define OUTPUT_SIX(y0, y1, y2, y3, m0, m1, m2, m3, m4, m5)                                                             \
    {                                                                                                                  \
        VEC sum = m1 + m2, sum2 = m3 + m4, difference = m2 - m1, difference2 = m3 - m4;                                \
        y0 = (2 / 3.0f * sum2 - 1.5f * sum) + 65 / 3.0f * m0, y1 = difference + difference2;                           \
        y2 = 1.5f * sum2 - 2 / 3.0f * sum, y3 = (2.25f * difference2 + 4 / 9.0f * difference) + 65 / 3.0f * m5;        \
    }

/* A' m A of one tile and one vector of outputs and everything behind it; the outputs begin at element `place` of y, and
 * `rows` x `columns` of them lie in the picture. The sums of the tile behind it, m + next, are fetched meanwhile. */
APART void NAME(winograd_output)(const elq_conv *conv, const float *m, ptrdiff_t next, ptrdiff_t point, ptrdiff_t place,
                                 ptrdiff_t rows, ptrdiff_t columns, VEC scale, VEC bias, ptrdiff_t lanes) {
    const elq_shape *s = &conv->shape;
    float *y = (float *)conv->y + place;
    const float *residual = conv->residual ? (const float *)conv->residual + place : NULL;
    const elq_tail_f32 *of = conv->tail;
    VEC low = of->low - (VEC){0}, high = of->high - (VEC){0}, t[4][6];
#define M(i, j) NAME(load)(m + (6 * (i) + (j)) * point)
#define COLUMN(j)                                                                                                      \
    {                                                                                                                  \
        VEC m0 = M(0, j), m1 = M(1, j), m2 = M(2, j), m3 = M(3, j), m4 = M(4, j), m5 = M(5, j);                        \
        for (int i = 0; i < 6; i++) __builtin_prefetch(m + next + (6 * i + j) * point);                                \
        OUTPUT_SIX(t[0][j], t[1][j], t[2][j], t[3][j], m0, m1, m2, m3, m4, m5)                                         \
        IN_ORDER;                                                                                                      \
    }
#define PIXEL(i, j)                                                                                                    \
    if (j < columns) {                                                                                                 \
        ptrdiff_t at = (i * s->q + j) * s->o;                                                                          \
        NAME(tail)(y + at, y##j, scale, bias, residual ? residual + at : NULL, low, high, lanes);                      \
    }
#define ROW(i)                                                                                                         \
    if (i < rows) {                                                                                                    \
        VEC y0, y1, y2, y3;                                                                                            \
        OUTPUT_SIX(y0, y1, y2, y3, t[i][0], t[i][1], t[i][2], t[i][3], t[i][4], t[i][5])                               \
        PIXEL(i, 0) PIXEL(i, 1) PIXEL(i, 2) PIXEL(i, 3)                                                                \
    }
    /* clang-format off */
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3) COLUMN(4) COLUMN(5)
    ROW(0) ROW(1) ROW(2) ROW(3)
    /* clang-format on */
#undef M
#undef COLUMN
#undef PIXEL
#undef ROW
}

INLINE size_t NAME(winograd_bytes)(const int bits, const elq_shape *s) { return NAME(code_bytes)(bits, s); }

INLINE void NAME(winograd_pack)(const int bits, const elq_shape *s, const void *rows, void *packed) {
    NAME(pack_codes)(bits, s, rows, packed);
}

static int NAME(winograd_runs)(const elq_shape *s) {
    return s->kh == 3 && s->kw == 3 && s->stride_h == 1 && s->stride_w == 1 && s->dilation_h == 1 &&
           s->dilation_w == 1 && s->groups == 1 && s->c % 16 == 0;
}

/* At least two tiles, so that transforming the weights pays. */
static int NAME(winograd_pays)(const elq_shape *s) { return s->p >= 4 && s->q >= 4 && s->p + s->q > 8; }

static ptrdiff_t NAME(winograd_tasks)(const elq_shape *s, ptrdiff_t n) {
    struct NAME(winograd_plan) p = NAME(winograd_plan)(s, n);
    return (n + p.images - 1) / p.images * p.bands * p.pieces;
}

/* Of the largest tasks: those of many pictures. */
static size_t NAME(winograd_scratch)(const elq_shape *s) {
    struct NAME(winograd_plan) p = NAME(winograd_plan)(s, 4 * NAME(TILES));
    ptrdiff_t buffer = 6 * (4 * p.columns + 2) * s->c;
    return (size_t)(NAME(PLACES) * (p.x_point + p.m_point + p.w_point) + buffer) * sizeof(float);
}

INLINE void NAME(winograd_run)(const int bits, const elq_conv *conv, ptrdiff_t task, void *scratch) {
    const elq_shape *s = &conv->shape;
    struct NAME(winograd_plan) plan = NAME(winograd_plan)(s, conv->n), *p = &plan;
    ptrdiff_t piece = task % p->pieces, band = task / p->pieces % p->bands, group = task / p->pieces / p->bands;
    ptrdiff_t n0 = group * p->images, images = conv->n - n0 < p->images ? conv->n - n0 : p->images;
    ptrdiff_t row0 = band * p->rows, rows = p->all_rows - row0 < p->rows ? p->all_rows - row0 : p->rows;
    ptrdiff_t tiles = images * rows * p->columns, width = 4 * p->columns + 2;
    ptrdiff_t xs[4] = {s->h * s->w * s->c, 1, s->w * s->c, s->c};
    float *x = scratch, *w = x + NAME(PLACES) * p->x_point, *m = w + NAME(PLACES) * p->w_point;
    float *buffer = m + NAME(PLACES) * p->m_point;
    assert(task >= 0 && n0 < conv->n && (uintptr_t)scratch % ELQ_ALIGN == 0);
    for (ptrdiff_t row = 0; row < images * rows; row++) {
        NAME(gather)(buffer, s->c, (const float *)conv->x + (n0 + row / rows) * xs[0], xs, s->c, s->h, s->w,
                     4 * (row0 + row % rows) - s->pad_h, 6, -s->pad_w, width);
        for (ptrdiff_t q = 0; q < p->columns; q++)
            for (ptrdiff_t c0 = 0; c0 < s->c; c0 += NAME(DEPTH)) {
                ptrdiff_t depth = s->c - c0 < NAME(DEPTH) ? s->c - c0 : NAME(DEPTH);
                float *to = x + c0 * tiles + (row * p->columns + q) * depth;
                for (ptrdiff_t c = 0; c < depth; c += LANES)
                    NAME(winograd_input)(to + c, p->x_point, buffer + 4 * q * s->c + c0 + c, width * s->c, s->c);
            }
    }

    ptrdiff_t words = NAME(row_words)(bits, s), first = piece * p->vectors, all = (s->o + LANES - 1) / LANES;
    ptrdiff_t end = first + p->vectors < all ? first + p->vectors : all;
    for (ptrdiff_t block = first; block < end; block += 2) {
        int vectors = end - block > 1 ? 2 : 1;
        for (ptrdiff_t c0 = 0; c0 < s->c; c0 += NAME(DEPTH)) {
            struct NAME(run) run = {0, s->c - c0 < NAME(DEPTH) ? s->c - c0 : NAME(DEPTH)};
            for (int k = 0; k < vectors; k++)
                (bits == 1 ? NAME(winograd_weights_b1) : NAME(winograd_weights_t2))(
                    w + k * LANES, p->w_point, vectors * LANES,
                    (const uint32_t *)conv->weights + (block + k) * words * LANES, s->c, c0, c0 + run.length);
            for (ptrdiff_t point = 0; point < NAME(PLACES); point++)
                NAME(row)(vectors, x + point * p->x_point + c0 * tiles, run.length, &run, 1, w + point * p->w_point,
                          m + point * p->m_point, tiles, c0 > 0);
        }
        for (int k = 0; k < vectors; k++) {
            const elq_tail_f32 *tail = conv->tail;
            ptrdiff_t o = (block + k) * LANES, lanes = s->o - o;
            VEC scale = NAME(load_some)(tail->scale + o, lanes) * (9 / 4225.0f);
            VEC bias = NAME(load_some)(tail->bias + o, lanes);
            ptrdiff_t tile = 0;
            for (ptrdiff_t i = 0; i < images; i++)
                for (ptrdiff_t p4 = 4 * row0; p4 < 4 * (row0 + rows); p4 += 4)
                    for (ptrdiff_t q = 0; q < 4 * p->columns; q += 4, tile++)
                        NAME(winograd_output)(conv, m + (tile * vectors + k) * LANES, vectors * LANES, p->m_point,
                                              (((n0 + i) * s->p + p4) * s->q + q) * s->o + o, s->p - p4, s->q - q,
                                              scale, bias, lanes);
        }
    }
}
