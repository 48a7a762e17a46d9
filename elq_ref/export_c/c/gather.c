#include "layer.h"

#if defined __BYTE_ORDER__ && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights are bytes of little-endian words"
#endif

/* Holds a variable in a register as it is: otherwise gcc orders sums anew so that their parts no longer fit the registers
 * of a Cortex-M, or makes constants and addresses of pieces. */
#if defined __GNUC__ && (defined __arm__ || defined __riscv)
#define KEEP(variable) __asm__("" : "+r"(variable))
#else
#define KEEP(variable) ((void)0)
#endif

/* Where the window of an output pixel begins in the picture, in the border too; `left` pixels of its row are to come. */
typedef struct {
    int y, x, left;
} corner_t;

static corner_t first_corner(const shape_t *g) {
    const corner_t at = {-g->top, -g->left, g->q};
    return at;
}

static void next_corner(const shape_t *g, corner_t *at) {
    at->x += g->sx;
    if (--at->left != 0) return;
    at->y += g->sy;
    at->x = -g->left;
    at->left = g->q;
}

/* The operands of a row of weights: a group's channels of the window, in the order kh kw c, 0 in the border; and 0 up to
 * a multiple of 8 bytes. */
static void gather(const shape_t *g, const int8_t *x, corner_t at, int group, int8_t *to) {
    const int channels = g->c / g->groups, row = g->kw * channels;
    const int whole = g->groups == 1 && g->dx == 1 && at.x >= 0 && at.x + g->kw <= g->w;
    for (int i = 0, y = at.y; i < g->kh; i++, y += g->dy) {
        const int inside = y >= 0 && y < g->h;
        const int8_t *line = inside ? x + (y * g->w * g->c + group * channels) : x;
        if (whole && inside) memcpy(to, line + at.x * g->c, (size_t)row);
        else
            for (int j = 0, column = at.x; j < g->kw; j++, column += g->dx) {
                int8_t *tap = to + j * channels;
                if (inside && column >= 0 && column < g->w) memcpy(tap, line + column * g->c, (size_t)channels);
                else memset(tap, 0, (size_t)channels);
            }
        to += row;
    }
    memset(to, 0, (size_t)(-g->k & 7));
}
