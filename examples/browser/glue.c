/* What JavaScript sees of the exported network: where to put a picture, classify(), where the results lie. */
#include <string.h>

#include "digits.h"

#define EXPORT __attribute__((visibility("default")))

static uint32_t arena[(DIGITS_ARENA_BYTES + 3) / 4];
static uint8_t picture[DIGITS_INPUT_BYTES];
static int32_t raw[DIGITS_CLASSES];

EXPORT uint8_t *picture_at(void) { return picture; }
EXPORT int32_t *raw_at(void) { return raw; }
EXPORT const float *factor_at(void) { return digits_factor; }

/* The class of the picture, or a status below 0. */
EXPORT int classify(void) {
    const int status = digits_run(arena, sizeof arena, picture, raw);
    return status ? -status : digits_argmax(raw);
}

/* 0, or the number of the layer that fails, counted from 1. */
EXPORT int selftest(void) { return digits_selftest(arena, sizeof arena); }

void *memcpy(void *to, const void *from, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) ((char *)to)[i] = ((const char *)from)[i];
    return to;
}

void *memset(void *to, int value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) ((char *)to)[i] = (char)value;
    return to;
}
