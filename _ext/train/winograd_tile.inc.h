/* Winograd's F(4x4, 3x3), one tile and one vector of channels at a time: a template of REAL and NAME.
 *
 *     Y = A' [ sum_c (G g G') * (B' d B) ] A      d 6x6 input pixels, g 3x3 weights, Y 4x4 outputs, * by elements
 *
 * B' = 1    0  -97/36   0     1  0    65 G = 65   0   0    A' = 1 3/2  3/2 2/3  2/3 0
 *      0  -3/2  -9/4   2/3    1  0          -27 -18 -12         0  1   -1   1   -1  0
 *      0   3/2  -9/4  -2/3    1  0          -27  18 -12         0 2/3  2/3 3/2  3/2 0
 *      0  -2/3  -4/9   3/2    1  0           12  18  27         0 4/9 -4/9 9/4 -9/4 1
 *      0   2/3  -4/9  -3/2    1  0           12 -18  27
 *      0    1     0  -97/36   0  1            0   0  65
 *
 * These interpolate at 0, 2/3, -2/3, 3/2, -3/2 and infinity, with a quarter of the worst error of the usual points
 * (0, 1, -1, 2, -2). Each of the 36 places of a transformed tile is a `point`. Y is linear in g, so its gradient is the
 * adjoint of the same three steps:
 *
 *     dg = G' [ sum over tiles (B' d B) * (A dY A') ] G
 *
 * Error, with gamma(n) = n u / (1 - n u):
 *     gamma(C + 20)     |A'| [ sum_c (|G| |g| |G'|) * (|B'| |d| |B|) ] |A|     and u |bias| more,
 *     gamma(tiles + 22) |G'| [ sum (|B'| |d| |B|) * (|A| |dY| |A'|) ] |G|      for dg:
 * without fused multiply-add, a number passes at most 5 roundings in B' (those of constants included), thus 10 in
 * B' d B; 1 in G g G', which is taken in double, as is G' . G; C (or tiles) in the sum; 4 + 4 in A' . A, 5 + 5 in
 * A dY A'; 1 by the addition of the bias. What double rounds is less than the one that remains. */

#include "common/winograd_input.inc.h"

enum { NAME(POINTS) = 36 };

/* A' of six vectors. */
#define OUTPUT_FOUR(y0, y1, y2, y3, m0, m1, m2, m3, m4, m5)                                                            \
    {                                                                                                                  \
        VEC sum = m1 + m2, sum2 = m3 + m4, difference = m1 - m2, difference2 = m3 - m4;                                \
        y0 = m0 + RATIO(3, 2) * sum + RATIO(2, 3) * sum2, y1 = difference + difference2;                               \
        y2 = RATIO(2, 3) * sum + RATIO(3, 2) * sum2, y3 = m5 + RATIO(9, 4) * difference2 + RATIO(4, 9) * difference;   \
    }

/* A of four vectors. */
#define GRADIENT_SIX(e0, e1, e2, e3, e4, e5, d0, d1, d2, d3)                                                           \
    {                                                                                                                  \
        VEC even = d0 + RATIO(4, 9) * d2, odd = d1 + RATIO(4, 9) * d3;                                                 \
        VEC even2 = d0 + RATIO(9, 4) * d2, odd2 = d1 + RATIO(9, 4) * d3;                                               \
        e0 = d0, e5 = d3, e1 = RATIO(3, 2) * even + odd, e2 = RATIO(3, 2) * even - odd;                                \
        e3 = RATIO(2, 3) * even2 + odd2, e4 = RATIO(2, 3) * even2 - odd2;                                              \
    }

/* G of three numbers, G' of six. */
#define WEIGHT_SIX(u0, u1, u2, u3, u4, u5, g0, g1, g2)                                                                 \
    {                                                                                                                  \
        double ends = 27 / 65.0 * g0 + 12 / 65.0 * g2, ends2 = 12 / 65.0 * g0 + 27 / 65.0 * g2;                        \
        double middle = 18 / 65.0 * g1;                                                                                \
        u0 = g0, u1 = -ends - middle, u2 = middle - ends, u3 = ends2 + middle, u4 = ends2 - middle, u5 = g2;           \
    }
#define WEIGHT_THREE(g0, g1, g2, m0, m1, m2, m3, m4, m5)                                                               \
    {                                                                                                                  \
        double sum = m1 + m2, sum2 = m3 + m4;                                                                          \
        g0 = m0 + 12 / 65.0 * sum2 - 27 / 65.0 * sum, g1 = 18 / 65.0 * ((m3 - m4) - (m1 - m2));                        \
        g2 = m5 + 27 / 65.0 * sum2 - 12 / 65.0 * sum;                                                                  \
    }

/* A dY A' into to[point]. */
APART void NAME(winograd_gradient)(REAL *to, ptrdiff_t point, const REAL *dy, ptrdiff_t row, ptrdiff_t column) {
    VEC t[6][4];
#define D(i, j) NAME(load)(dy + (i) * row + (j) * column)
#define COLUMN(j)                                                                                                      \
    {                                                                                                                  \
        VEC d0 = D(0, j), d1 = D(1, j), d2 = D(2, j), d3 = D(3, j);                                                    \
        GRADIENT_SIX(t[0][j], t[1][j], t[2][j], t[3][j], t[4][j], t[5][j], d0, d1, d2, d3)                             \
        IN_ORDER;                                                                                                      \
    }
#define ROW(i)                                                                                                         \
    {                                                                                                                  \
        VEC v0, v1, v2, v3, v4, v5;                                                                                    \
        GRADIENT_SIX(v0, v1, v2, v3, v4, v5, t[i][0], t[i][1], t[i][2], t[i][3])                                       \
        STORE_SIX(i, v0, v1, v2, v3, v4, v5)                                                                           \
    }
    COLUMN(0)
    COLUMN(1)
    COLUMN(2)
    COLUMN(3)
    ROW(0)
    ROW(1)
    ROW(2)
    ROW(3)
    ROW(4)
    ROW(5)
#undef D
#undef COLUMN
#undef ROW
}

/* A' m A + bias into those of the 4x4 pixels of y that exist, `rows` x `columns`; `y_h` and `y_w` elements between
 * neighbours. The sums of the tile behind it, m + next, are fetched meanwhile. */
APART void NAME(winograd_output)(REAL *y, ptrdiff_t y_h, ptrdiff_t y_w, ptrdiff_t rows, ptrdiff_t columns,
                                 const REAL *m, ptrdiff_t point, ptrdiff_t next, VEC bias) {
    VEC t[4][6];
#define M(i, j) NAME(load)(m + (6 * (i) + (j)) * point)
#define COLUMN(j)                                                                                                      \
    {                                                                                                                  \
        VEC m0 = M(0, j), m1 = M(1, j), m2 = M(2, j), m3 = M(3, j), m4 = M(4, j), m5 = M(5, j);                        \
        for (int i = 0; i < 6; i++) __builtin_prefetch(m + next + (6 * i + j) * point);                                \
        OUTPUT_FOUR(t[0][j], t[1][j], t[2][j], t[3][j], m0, m1, m2, m3, m4, m5)                                        \
        IN_ORDER;                                                                                                      \
    }
#define ROW(i)                                                                                                         \
    if (i < rows) {                                                                                                    \
        VEC y0, y1, y2, y3;                                                                                            \
        OUTPUT_FOUR(y0, y1, y2, y3, t[i][0], t[i][1], t[i][2], t[i][3], t[i][4], t[i][5])                              \
        NAME(store)(y + i * y_h, y0 + bias);                                                                           \
        if (columns > 1) NAME(store)(y + i * y_h + y_w, y1 + bias);                                                    \
        if (columns > 2) NAME(store)(y + i * y_h + 2 * y_w, y2 + bias);                                                \
        if (columns > 3) NAME(store)(y + i * y_h + 3 * y_w, y3 + bias);                                                \
    }
    COLUMN(0)
    COLUMN(1)
    COLUMN(2)
    COLUMN(3)
    COLUMN(4)
    COLUMN(5)
    ROW(0)
    ROW(1)
    ROW(2)
    ROW(3)
#undef M
#undef COLUMN
#undef ROW
}

/* G g G' of one vector of 3x3 weights, g[3 i + j], into to[point]. */
APART void NAME(winograd_weight)(REAL *to, ptrdiff_t point, double g[9][LANES]) {
    double t[6][3][LANES];
    for (int j = 0; j < 3; j++)
        for (ptrdiff_t l = 0; l < LANES; l++)
            WEIGHT_SIX(t[0][j][l], t[1][j][l], t[2][j][l], t[3][j][l], t[4][j][l], t[5][j][l], g[j][l], g[3 + j][l],
                       g[6 + j][l])
    for (int i = 0; i < 6; i++) {
        REAL u[6][LANES];
        for (ptrdiff_t l = 0; l < LANES; l++)
            WEIGHT_SIX(u[0][l], u[1][l], u[2][l], u[3][l], u[4][l], u[5][l], t[i][0][l], t[i][1][l], t[i][2][l])
        for (int j = 0; j < 6; j++, to += point) NAME(store)(to, NAME(load)(u[j]));
    }
}

/* G' m G of one vector of sums, m[point], into g[3 i + j]. */
APART void NAME(winograd_weight_gradient)(REAL g[9][LANES], double m[NAME(POINTS)][LANES]) {
    double t[3][6][LANES];
    for (int j = 0; j < 6; j++)
        for (ptrdiff_t l = 0; l < LANES; l++)
            WEIGHT_THREE(t[0][j][l], t[1][j][l], t[2][j][l], m[j][l], m[6 + j][l], m[12 + j][l], m[18 + j][l],
                         m[24 + j][l], m[30 + j][l])
    for (int i = 0; i < 3; i++)
        for (ptrdiff_t l = 0; l < LANES; l++)
            WEIGHT_THREE(g[3 * i][l], g[3 * i + 1][l], g[3 * i + 2][l], t[i][0][l], t[i][1][l], t[i][2][l], t[i][3][l],
                         t[i][4][l], t[i][5][l])
}

#undef OUTPUT_FOUR
#undef GRADIENT_SIX
#undef WEIGHT_SIX
#undef WEIGHT_THREE
