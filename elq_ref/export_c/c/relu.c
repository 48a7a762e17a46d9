#include "layer.h"

/* max(x, 0) of n elements; y may be x. */
static void relu(const int8_t *x, int8_t *y, int n) {
    for (int i = 0; i < n; i++) y[i] = x[i] < 0 ? 0 : x[i];
}
