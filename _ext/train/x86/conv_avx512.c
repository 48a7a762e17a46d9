/* Convolution for avx512: float, then double. */
#define VECTOR_BYTES 64
#define TILE1 28
#define TILE2 14

#include "train/taps.h"

#define REAL float
#define NAME(x) x##_f32__avx512
#include "train/conv.inc.h"
#include "train/conv_dw.inc.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64__avx512
#include "train/conv.inc.h"
#include "train/conv_dw.inc.h"
