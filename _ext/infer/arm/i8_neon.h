/* What the int8 convolutions of aarch64 share, with and without SDOT: vectors of 4 outputs. See infer/i8_conv.inc.h for
 * the names. */
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "infer/i8_plan.h"

#define LANES 4
#define VEC int32x4_t
#define BYTES int8x16_t
#define FLIP 0 /* products are signed */

/* No way without decoding: there the promise is size. */
enum { VECTOR_PIXELS = 0, MOST_VECTOR = 0 };
#define vector_sums(packed, next, steps, vectors, weights, x, total, sums)                                             \
    ((void)(packed), (void)(next), (void)(weights), (void)(x), (void)(total), (void)(sums))

static inline VEC vec_zero(void) { return vdupq_n_s32(0); }
static inline VEC vec_load(const int32_t *from) { return vld1q_s32(from); }
static inline void vec_store(int32_t *to, VEC v) { vst1q_s32(to, v); }
static inline VEC vec_add(VEC a, VEC b) { return vaddq_s32(a, b); }
static inline VEC vec_sub(VEC a, VEC b) { return vsubq_s32(a, b); }
static inline BYTES bytes_load(const int8_t *from) { return vld1q_s8(from); }
static inline void bytes_store(int8_t *to, BYTES v) { vst1q_s8(to, v); }
static inline BYTES bytes_set(int8_t value) { return vdupq_n_s8(value); }
static inline int32_t four_bytes(const void *from) {
    int32_t four;
    memcpy(&four, from, 4);
    return four;
}
static inline BYTES broadcast(const uint8_t *from) { return vreinterpretq_s8_s32(vdupq_n_s32(four_bytes(from))); }

/* One load gives four steps: shift, mask, take off the 1 that was added. */
static void decode_t2(const uint8_t *packed, ptrdiff_t groups, ptrdiff_t vectors, int8_t *panel) {
    const uint8x16_t mask = vdupq_n_u8(3), one = vdupq_n_u8(1);
    const ptrdiff_t step = vectors * 16;
    for (ptrdiff_t k = 0; k < groups; k++, panel += 4 * step)
        for (ptrdiff_t v = 0; v < vectors; v++, packed += 16) {
            const uint8x16_t codes = vld1q_u8(packed);
            int8_t *to = panel + v * 16;
            bytes_store(to, vreinterpretq_s8_u8(vsubq_u8(vandq_u8(codes, mask), one)));
            bytes_store(to + step, vreinterpretq_s8_u8(vsubq_u8(vandq_u8(vshrq_n_u8(codes, 2), mask), one)));
            bytes_store(to + 2 * step, vreinterpretq_s8_u8(vsubq_u8(vandq_u8(vshrq_n_u8(codes, 4), mask), one)));
            bytes_store(to + 3 * step, vreinterpretq_s8_u8(vsubq_u8(vshrq_n_u8(codes, 6), one)));
        }
}

/* A bit of every byte is tested: -1 where it is set, and 1 in place of 0. */
static void decode_b1(const uint8_t *packed, ptrdiff_t groups, ptrdiff_t vectors, int8_t *panel) {
    const uint8x16_t one = vdupq_n_u8(1);
    for (ptrdiff_t k = 0; k < groups; k++, panel += 8 * vectors * 16)
        for (ptrdiff_t v = 0; v < vectors; v++, packed += 16) {
            const uint8x16_t codes = vld1q_u8(packed);
            for (int i = 0; i < 8; i++) {
                const uint8x16_t set = vtstq_u8(codes, vdupq_n_u8((uint8_t)(1 << i)));
                bytes_store(panel + (i * vectors + v) * 16, vreinterpretq_s8_u8(vorrq_u8(set, one)));
            }
        }
}

/* The tail of 4 outputs. The low words of the 64-bit products cannot matter, since s >= 33: the high ones are rounded and
 * shifted in 32 bits. */
typedef struct {
    int32x4_t q, round, right, low, high, l;
} TAIL;

static inline TAIL tail_of(const int32_t *q, const int32_t *round, const int32_t *shift, const int32_t *low,
                           const int32_t *high, int l) {
    return (TAIL){vec_load(q),   vec_load(round), vnegq_s32(vec_load(shift)),
                  vec_load(low), vec_load(high),  vdupq_n_s32(l)};
}

static inline VEC tail_vec(VEC a, TAIL t) {
    a = vshlq_s32(a, t.l);
    const int64x2_t first = vmull_s32(vget_low_s32(a), vget_low_s32(t.q)), second = vmull_high_s32(a, t.q);
    const int32x4_t high = vuzp2q_s32(vreinterpretq_s32_s64(first), vreinterpretq_s32_s64(second));
    return vshlq_s32(vaddq_s32(high, t.round), t.right);
}

typedef struct {
    int32x4_t q_v, q_r, round, right;
} ADDITION;

static inline ADDITION addition_of(const elq_tail_i8 *tail) {
    return (ADDITION){vdupq_n_s32(tail->q_v), vdupq_n_s32(tail->q_r), vdupq_n_s32(1 << (tail->s_add - 1)),
                      vdupq_n_s32(-tail->s_add)};
}

static inline VEC vec_of_bytes(const int8_t *from) {
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four_bytes(from))))));
}

static inline VEC tail_add(VEC v, TAIL t, VEC r, ADDITION add) {
    v = vminq_s32(vmaxq_s32(v, t.low), t.high);
    v = vmlaq_s32(vmlaq_s32(add.round, v, add.q_v), r, add.q_r);
    return vshlq_s32(v, add.right);
}

static inline BYTES tail_pack(VEC a, VEC b, VEC c, VEC d) {
    const int16x8_t first = vcombine_s16(vqmovn_s32(a), vqmovn_s32(b));
    return vcombine_s8(vqmovn_s16(first), vqmovn_s16(vcombine_s16(vqmovn_s32(c), vqmovn_s32(d))));
}

static inline BYTES bytes_clamp(BYTES v, BYTES low, BYTES high) { return vminq_s8(vmaxq_s8(v, low), high); }

/* 16 / width pieces of 4 or 8 bytes, `step` apart. */
static inline void bytes_scatter(int8_t *to, ptrdiff_t step, ptrdiff_t width, BYTES v) {
    int8_t copy[16];
    bytes_store(copy, v);
    if (width == 8)
        for (int k = 0; k < 2; k++) memcpy(to + k * step, copy + 8 * k, 8);
    else
        for (int k = 0; k < 4; k++) memcpy(to + k * step, copy + 4 * k, 4);
}
