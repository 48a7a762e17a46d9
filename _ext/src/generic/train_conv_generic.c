/* Convolution for generic: float, then double. The tile fills the registers of the target's baseline: 32 for NEON, 16
 * for SSE2. */
#define VECTOR_BYTES 16
#if defined(__aarch64__)
#define TILE1 15
#define TILE2 9
#else
#define TILE1 8
#define TILE2 4
#endif

#include "train_taps.h"

#define REAL float
#define NAME(x) x##_f32__generic
#include "train_conv.inc.h"
#include "train_conv_dw.inc.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64__generic
#include "train_conv.inc.h"
#include "train_conv_dw.inc.h"
