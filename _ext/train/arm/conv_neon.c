/* Convolution for neon: float, then double. The tiles fill its 32 registers without spills. */
#define VECTOR_BYTES 16
#define TILE1 15
#define TILE2 9

#include "train/taps.h"

#define REAL float
#define NAME(x) x##_f32__neon
#include "train/conv.inc.h"
#include "train/conv_dw.inc.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64__neon
#include "train/conv.inc.h"
#include "train/conv_dw.inc.h"
