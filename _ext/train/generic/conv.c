/* Convolution for generic: float, then double. The tile fits into 16 registers. */
#define VECTOR_BYTES 16
#define TILE1 8
#define TILE2 4

#include "train/taps.h"

#define REAL float
#define NAME(x) x##_f32__generic
#include "train/conv.inc.h"
#include "train/conv_dw.inc.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64__generic
#include "train/conv.inc.h"
#include "train/conv_dw.inc.h"
