/* Batch normalization for generic: float, then double. */
#define VECTOR_BYTES 16

#define REAL float
#define NAME(x) x##_f32__generic
#include "train/norm.inc.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64__generic
#include "train/norm.inc.h"
