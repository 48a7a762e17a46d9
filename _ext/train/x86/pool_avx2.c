/* Max pooling, ReLU and sums for avx2: float, then double. */
#define VECTOR_BYTES 32

#define REAL float
#define NAME(x) x##_f32__avx2
#include "train/pool.inc.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64__avx2
#include "train/pool.inc.h"
