/* infer/functions.inc.h and infer/bytes.inc.h for aarch64. */
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define VECTOR_BYTES 16
#define NAME(x) neon_##x
#define MAXIMUM(low, v) WHERE((v) < (low), low, v)
#define MINIMUM(high, v) WHERE((v) > (high), high, v)
#define ROWS(op) elq_rows_##op##_f32__neon
#include "infer/functions.inc.h"

/* LOOK_UP of infer/bytes.inc.h: 64 entries at a time, by x + 128; an index beyond them leaves what is there. */
static void looked_up(const int8_t *table, const int8_t *from, int8_t *to, ptrdiff_t count) {
    const int8x16x4_t t0 = vld1q_s8_x4(table), t1 = vld1q_s8_x4(table + 64), t2 = vld1q_s8_x4(table + 128);
    const int8x16x4_t t3 = vld1q_s8_x4(table + 192);
    const uint8x16_t next = vdupq_n_u8(64);
    for (ptrdiff_t i = 0; i + 16 <= count; i += 16) {
        uint8x16_t x = veorq_u8(vreinterpretq_u8_s8(vld1q_s8(from + i)), vdupq_n_u8(128));
        int8x16_t y = vqtbl4q_s8(t0, x);
        y = vqtbx4q_s8(y, t1, x = vsubq_u8(x, next));
        y = vqtbx4q_s8(y, t2, x = vsubq_u8(x, next));
        vst1q_s8(to + i, vqtbx4q_s8(y, t3, vsubq_u8(x, next)));
    }
    for (ptrdiff_t i = count - count % 16; i < count; i++) to[i] = table[128 + from[i]];
}
#define LOOK_UP looked_up

#undef ROWS
#define ROWS(op) elq_rows_##op##_i8__neon
#include "infer/bytes.inc.h"
