/* infer/limit.h for NEON. Bytes: smlal, 8 products and 16-bit sums, which only ternary and binary weights may use. */
#include <arm_neon.h>

#include "infer/limit.h"

#define FMA(sum) __asm__ volatile("fmla %0.4s, %2.4s, %2.4s" : "+w"(sum), "=w"(t) : "w"(x));
#define BYTES(sum) __asm__ volatile("smlal %0.8h, %2.8b, %2.8b" : "+w"(sum), "=w"(t) : "w"(x));

ELQ_LIMIT(elq_limit_f32__neon, "fmla", ELQ_NEON, ELQ_F32, float32x4_t, FMA, 4)
ELQ_LIMIT(elq_limit_i8__neon, "smlal", ELQ_NEON, ELQ_I8, int8x16_t, BYTES, 8)
