/* infer/limit.h for SDOT: 16 products, summed by four into 32 bits. */
#include <arm_neon.h>

#include "infer/limit.h"

#define BYTES(sum) __asm__ volatile("sdot %0.4s, %2.16b, %2.16b" : "+w"(sum), "=w"(t) : "w"(x));

ELQ_LIMIT(elq_limit_i8__dotprod, "sdot", ELQ_DOTPROD, ELQ_I8, int8x16_t, BYTES, 16)
