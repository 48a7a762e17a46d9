/* What a layer is made of. All constants are arrays and structs of integers without a pointer and without padding, so
 * that a CRC sees every bit of them. */
#include <stdint.h>
#include <string.h>

/* Sizes of a layer that moves a window over its operand (h w c) and computes a value (p q o), both in the order row,
 * column, channel. Fully connected: 1 x 1 on 1 x 1. */
typedef struct {
    uint16_t h, w, c;   /* operand: rows, columns, channels */
    uint16_t p, q, o;   /* value: rows, columns, channels */
    uint16_t kh, kw;    /* window */
    uint16_t sy, sx;    /* steps from one window to the next */
    uint16_t dy, dx;    /* steps between the elements of a window */
    uint16_t top, left; /* zeros before the first row and column */
    uint16_t groups;    /* of channels: every output channel reads c / groups */
    uint16_t k;         /* terms of a sum */
    uint16_t l;         /* requantization: sums are shifted by l to the left; */
    int16_t lo;         /* results are clamped to lo .. 127 */
} shape_t;

/* A layer with sums. Weights are in the form of the function that reads them, one row an output channel, in the order
 * kh kw c. */
typedef struct {
    const shape_t *shape;
    const uint32_t *weights;
    const int32_t *b, *q; /* added to a sum; multiplied by, 0 where the channel is constant and b its value */
    const uint8_t *s;     /* 33 .. 62: shifted by, to the right */
    int32_t *raw;         /* NULL, or where the sums of the last layer go instead of int8 */
} conv_t;

/* How two values are added. */
typedef struct {
    int32_t q1, q2, s, lo;
} add_t;

/* What is asked of the compiler: two's complement, >> of a negative int32_t rounds down, int has 32 bits. */
typedef char compiler_is_as_wanted[(-1 & 3) == 3 && ((int32_t)-3 >> 1) == -2 && sizeof(int) >= 4 ? 1 : -1];
