#include "layer.h"

/* A function of one number, n times: a table of 256 for each of c channels, or one for all, begins with that of -128. y may
 * be x. */
static void through_table(const int8_t *table, int c, const int8_t *x, int8_t *y, int n) {
    int channel = 0;
    for (int i = 0; i < n; i++) {
        y[i] = table[channel * 256 + x[i] + 128];
        if (++channel == c) channel = 0;
    }
}
