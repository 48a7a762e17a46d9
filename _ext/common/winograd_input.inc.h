/* What training and inference share of Winograd's F(4x4, 3x3): B' d B of a tile of 6x6 pixels, B' by the points 0, 2/3,
 * -2/3, 3/2, -3/2 and infinity (train/winograd_tile.inc.h, infer/f32_winograd.inc.h). A template of REAL and NAME. */

/* In one function with the loops around them, or loading everything at once, the transformations lack registers. */
#undef APART
#undef IN_ORDER
#undef RATIO
#undef STORE_SIX
#define APART static __attribute__((noinline))
#define IN_ORDER __asm__ volatile("" ::: "memory")
#define RATIO(a, b) ((REAL)(a) / (REAL)(b))

#define STORE_SIX(i, v0, v1, v2, v3, v4, v5)                                                                           \
    {                                                                                                                  \
        REAL *to_row = to + 6 * (i) * point;                                                                           \
        NAME(store)(to_row, v0), NAME(store)(to_row + point, v1), NAME(store)(to_row + 2 * point, v2);                 \
        NAME(store)(to_row + 3 * point, v3), NAME(store)(to_row + 4 * point, v4);                                      \
        NAME(store)(to_row + 5 * point, v5);                                                                           \
    }

/* B' of six vectors. */
#define INPUT_SIX(t0, t1, t2, t3, t4, t5, d0, d1, d2, d3, d4, d5)                                                      \
    {                                                                                                                  \
        VEC even = d4 - RATIO(9, 4) * d2, odd = d3 - RATIO(9, 4) * d1;                                                 \
        VEC even2 = d4 - RATIO(4, 9) * d2, odd2 = d3 - RATIO(4, 9) * d1;                                               \
        t0 = (d0 + d4) - RATIO(97, 36) * d2, t5 = (d1 + d5) - RATIO(97, 36) * d3;                                      \
        t1 = even + RATIO(2, 3) * odd, t2 = even - RATIO(2, 3) * odd;                                                  \
        t3 = even2 + RATIO(3, 2) * odd2, t4 = even2 - RATIO(3, 2) * odd2;                                              \
    }

/* B' d B into to[point]; `row` and `column` elements between neighbours of d. */
APART void NAME(winograd_input)(REAL *to, ptrdiff_t point, const REAL *d, ptrdiff_t row, ptrdiff_t column) {
    VEC t[6][6];
#define D(i, j) NAME(load)(d + (i) * row + (j) * column)
#define COLUMN(j)                                                                                                      \
    {                                                                                                                  \
        VEC d0 = D(0, j), d1 = D(1, j), d2 = D(2, j), d3 = D(3, j), d4 = D(4, j), d5 = D(5, j);                        \
        INPUT_SIX(t[0][j], t[1][j], t[2][j], t[3][j], t[4][j], t[5][j], d0, d1, d2, d3, d4, d5)                        \
        IN_ORDER;                                                                                                      \
    }
#define ROW(i)                                                                                                         \
    {                                                                                                                  \
        VEC v0, v1, v2, v3, v4, v5;                                                                                    \
        INPUT_SIX(v0, v1, v2, v3, v4, v5, t[i][0], t[i][1], t[i][2], t[i][3], t[i][4], t[i][5])                        \
        STORE_SIX(i, v0, v1, v2, v3, v4, v5)                                                                           \
    }
    /* clang-format off */
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3) COLUMN(4) COLUMN(5)
    ROW(0) ROW(1) ROW(2) ROW(3) ROW(4) ROW(5)
    /* clang-format on */
#undef D
#undef COLUMN
#undef ROW
}
#undef INPUT_SIX
