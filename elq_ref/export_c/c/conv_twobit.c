#include "fields.c"
#include "layer.h"

/* Convolution by ternary weights of two bits, w + 1. */
static void conv_twobit(const conv_t *layer, const int8_t *x, int8_t *y, void *scratch) {
    conv_fields(2, layer, x, y, scratch);
}
