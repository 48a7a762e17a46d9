/* Max pooling, ReLU and sums for avx512: float, then double. */
#define VECTOR_BYTES 64

#define REAL float
#define NAME(x) x##_f32__avx512
#include "train/pool.inc.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64__avx512
#include "train/pool.inc.h"
