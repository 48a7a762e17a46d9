/* Convolutions with float activations for NEON. */
#define VECTOR_BYTES 16
#define TILE1 15
#define TILE2 9
#define ISA neon
#define ELQ_ISA ELQ_NEON
#define LEAST 1 /* plain C does them */
#define QUAD(v) ((float32x4_t)(v))
#define MAXIMUM(low, v) ((VEC)vbslq_f32(vcltq_f32(QUAD(v), QUAD(low)), QUAD(low), QUAD(v)))

#include <arm_neon.h>

#include "infer/f32_kernels.inc.h"
