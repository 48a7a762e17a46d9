#include "layer.h"

/* An operand of `from` channels to its place among `to` channels, through a table that begins with -128, or NULL. */
static void join(const int8_t *table, const int8_t *x, int from, int8_t *y, int to, int pixels) {
    for (int pixel = 0; pixel < pixels; pixel++, x += from, y += to)
        for (int c = 0; c < from; c++) y[c] = table == NULL ? x[c] : table[x[c] + 128];
}
