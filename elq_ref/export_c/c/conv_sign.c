#include "fields.c"
#include "layer.h"

/* Convolution by binary weights of one bit, 1 for -1. */
static void conv_sign(const conv_t *layer, const int8_t *x, int8_t *y, void *scratch) {
    conv_fields(1, layer, x, y, scratch);
}
