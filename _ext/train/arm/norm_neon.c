/* Batch normalization for neon: float, then double. */
#define VECTOR_BYTES 16

#define REAL float
#define NAME(x) x##_f32__neon
#include "train/norm.inc.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64__neon
#include "train/norm.inc.h"
