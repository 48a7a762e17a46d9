/* Convolution with int8 activations, aarch64 with SDOT: four products of int8 added to an int32. */
#include "infer/i8_neon.h"

#define TILE1 16
#define TILE2 12
#define SUMS int32x4_t
#define WIDE_WEIGHTS 0
#define MOST_STEPS(weights) ((void)(weights), 0)
#define sums_zero() vdupq_n_s32(0)
#define sums_step(sums, x, w, weights) vdotq_s32(sums, x, w)
#define sums_widen(sums, weights) (sums)

#include "infer/i8_conv.inc.h"

KERNEL(t2, dotprod, ELQ_DOTPROD, ELQ_T2)
KERNEL(b1, dotprod, ELQ_DOTPROD, ELQ_B1)
KERNEL(i8, dotprod, ELQ_DOTPROD, ELQ_FULL)
