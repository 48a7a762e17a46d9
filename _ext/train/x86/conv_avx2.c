/* Convolution for avx2: float, then double. */
#define VECTOR_BYTES 32
#define TILE1 12
#define TILE2 6

#include "train/taps.h"

#define REAL float
#define NAME(x) x##_f32__avx2
#include "train/conv.inc.h"
#include "train/conv_dw.inc.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64__avx2
#include "train/conv.inc.h"
#include "train/conv_dw.inc.h"
