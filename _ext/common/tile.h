/* A tile of sums in registers, of 1 or 2 vectors (a## and b##) and at most 28 or 14 pixels: names, as gcc keeps no array
 * of them in registers, and the choice of the function that has as many as there are pixels. */
#ifndef ELQ_TILE_H
#define ELQ_TILE_H

/* M(t, g, r) of every pixel t, which is read as pointer g = t / 3 plus r = t % 3 steps, an x86 address, so that ten
 * pointers do for all. */
/* clang-format off */
#define EACH_PIXEL(M)                                                                                                  \
    M(0, 0, 0) M(1, 0, 1) M(2, 0, 2) M(3, 1, 0) M(4, 1, 1) M(5, 1, 2) M(6, 2, 0) M(7, 2, 1) M(8, 2, 2) M(9, 3, 0)      \
    M(10, 3, 1) M(11, 3, 2) M(12, 4, 0) M(13, 4, 1) M(14, 4, 2) M(15, 5, 0) M(16, 5, 1) M(17, 5, 2) M(18, 6, 0)        \
    M(19, 6, 1) M(20, 6, 2) M(21, 7, 0) M(22, 7, 1) M(23, 7, 2) M(24, 8, 0) M(25, 8, 1) M(26, 8, 2) M(27, 9, 0)
/* clang-format on */
#define EACH_POINTER(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9)

/* TILE(V, T), which the including file defines, of `vectors` vectors and t pixels: both are constants in it. */
#define CHOOSE_TILE(vectors, t)                                                                                        \
    if (vectors > 1) switch (t) {                                                                                      \
            EACH_PIXEL(TILE_CASE2)                                                                                     \
        }                                                                                                              \
    else switch (t) {                                                                                                  \
            EACH_PIXEL(TILE_CASE1)                                                                                     \
        }
#define TILE_CASE1(n, g, r)                                                                                            \
    case n + 1:                                                                                                        \
        if (n < TILE1) TILE(1, n + 1);                                                                                 \
        break;
#define TILE_CASE2(n, g, r)                                                                                            \
    case n + 1:                                                                                                        \
        if (n < TILE2) TILE(2, n + 1);                                                                                 \
        break;
#endif
