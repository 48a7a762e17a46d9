/* Functions of one number on float activations (infer/rows.h): a template of VECTOR_BYTES, NAME, ROWS(op), the name of a
 * function, and MAXIMUM(low, v), MINIMUM(high, v), which are v where v is not a number.
 *
 * With u = 2^-24 and y the exact result of x as it is, an output is within
 *
 *   clip relu leaky_relu prelu    half a unit in the last place
 *   hard_sigmoid                  2 u (|alpha x| + |beta|)      (the product and the sum may be one rounding)
 *   hard_swish                    4 u |x|
 *   sigmoid silu tanh elu         4 u |y| + 2^-142
 *   gelu gelu_tanh                4 u |x| + 2^-149
 *
 * of y. NaN gives NaN, infinities what the formula gives (0 times infinity is NaN), -0 gives -0 where the function of 0 is 0.
 *
 *   e^x = 2^n (1 + p),  n = round(x / log 2),  r = x - n log 2,  p = e^r - 1 = r + r^2 Q(r),  |r| <= log 2 / 2
 *   sigmoid(x) = (x < 0 ? e : 1) / (1 + e),  e = e^-|x|           tanh |x| = m / (m + 2),  m = e^2|x| - 1
 *   gelu(x) = x Phi(x),  Phi(-z) = e^(-z^2 / 2) P(t),  t = 1 / (1 + 0.33 z),  z >= 0
 *   gelu_tanh(x) = x sigmoid(x (1.5957691 + 0.0713548 x^2))
 *
 * Q and P are minimax polynomials: |e^r error| < 0.06 u, |Phi error| < 0.1 u. */
#define REAL float
#include "common/vector.inc.h"
#include "infer/rows.h"

#define BITS NAME(bits)
#define ALL(number) ((float)(number) - (VEC){0})
#define WHERE(chosen, a, b) ((VEC)(((chosen) & (BITS)(a)) | (~(chosen) & (BITS)(b))))
#define SIGN (~(BITS){0} ^ 0x7fffffff)

/* e^r - 1 and n of x, |x| < 2^20. */
INLINE VEC NAME(reduced)(VEC x, BITS *n) {
    const float shift = 12582912; /* 1.5 * 2^23: behind it the last bit of a float is worth 1 */
    const VEC shifted = x * 1.44269504f + shift, whole = shifted - shift;
    const VEC r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f; /* the first product is exact */
    const VEC q = (((1.381454e-3f * r + 8.368745e-3f) * r + 4.166839e-2f) * r + 0.16666521f) * r + 0.49999994f;
    *n = (BITS)shifted - 0x4b400000;
    return r + (r * r) * q;
}

INLINE VEC NAME(power_of_two)(BITS n) { return (VEC)((n + 127) << 23); }

/* e^x, x <= 0: 0 from -104 on, denormal numbers before. */
INLINE VEC NAME(exponential)(VEC x) {
    BITS n;
    const VEC p = NAME(reduced)(MAXIMUM(ALL(-104), x), &n), half = NAME(power_of_two)(n >> 1);
    return (half + p * half) * NAME(power_of_two)(n - (n >> 1));
}

/* e^x - 1, -20 <= x <= 20; its sign is that of x. */
INLINE VEC NAME(less_one)(VEC x) {
    BITS n;
    const VEC p = NAME(reduced)(x, &n), power = NAME(power_of_two)(n);
    return (VEC)((BITS)((power - 1) + p * power) | ((BITS)x & SIGN));
}

INLINE VEC NAME(sigmoid)(VEC x) {
    const VEC e = NAME(exponential)((VEC)((BITS)x | SIGN));
    return WHERE(x < 0, e, ALL(1)) / (1 + e);
}

INLINE VEC NAME(tanh)(VEC x) {
    const VEC m = NAME(less_one)(MINIMUM(ALL(20), (VEC)((BITS)(x + x) & ~SIGN)));
    return (VEC)((BITS)(m / (m + 2)) | ((BITS)x & SIGN));
}

INLINE VEC NAME(gelu)(VEC x) {
    const VEC z = (VEC)((BITS)x & ~SIGN), t = 1 / (1 + z * 0.33f);
    const VEC p3 = ((4.3694757e-2f * t - 0.21169144f) * t + 0.3135708f) * t - 7.0736190e-2f;
    const VEC p = (((p3 * t + 0.17015603f) * t + 0.1228186f) * t + 0.13218746f) * t;
    const VEC q = NAME(exponential)(z * (z * -0.5f)) * p; /* Phi(-z) */
    return x * WHERE(x < 0, q, 1 - q);
}

INLINE VEC NAME(gelu_tanh)(VEC x) { return x * NAME(sigmoid)(x * (7.1354816e-2f * (x * x) + 1.5957691f)); }

/* The function of every element, a vector at a time: the last ones in the same loop, so that their bits are the same. a
 * and b are the function's numbers. */
#define FUNCTION(op, count, y_of_x)                                                                                    \
    void ROWS(op)(const elq_instruction *s, const void *from, const void *residual, void *to, ptrdiff_t first,         \
                  ptrdiff_t last) {                                                                                    \
        const ptrdiff_t row = s->shape.q * s->shape.o, end = last * row;                                               \
        const VEC a = ALL((count) > 0 ? s->numbers[0] : 0), b = ALL((count) > 1 ? s->numbers[1] : 0);                  \
        (void)residual, (void)a, (void)b;                                                                              \
        for (ptrdiff_t i = first * row; i < end; i += LANES) {                                                         \
            const VEC x = NAME(load_some)((const float *)from + i, end - i);                                           \
            NAME(store_some)((float *)to + i, y_of_x, end - i);                                                        \
        }                                                                                                              \
    }
FUNCTION(clip, 2, MINIMUM(b, MAXIMUM(a, x)))
FUNCTION(leaky_relu, 1, WHERE(x < 0, x *a, x))
FUNCTION(sigmoid, 0, NAME(sigmoid)(x))
FUNCTION(tanh, 0, NAME(tanh)(x))
FUNCTION(hard_sigmoid, 2, MINIMUM(ALL(1), MAXIMUM(ALL(0), x *a + b)))
FUNCTION(hard_swish, 0, x *(MINIMUM(ALL(6), MAXIMUM(ALL(0), x + 3)) / 6))
FUNCTION(silu, 0, x *NAME(sigmoid)(x))
FUNCTION(gelu, 0, NAME(gelu)(x))
FUNCTION(gelu_tanh, 0, NAME(gelu_tanh)(x))
FUNCTION(elu, 1, WHERE(x > 0, x, a *NAME(less_one)(MAXIMUM(ALL(-20), MINIMUM(ALL(0), x)))))

void ROWS(prelu)(const elq_instruction *s, const void *from, const void *residual, void *to, ptrdiff_t first,
                 ptrdiff_t last) {
    const ptrdiff_t channels = s->shape.o, pixels = s->shape.q;
    (void)residual;
    for (ptrdiff_t i = first * pixels; i < last * pixels; i++)
        for (ptrdiff_t c = 0; c < channels; c += LANES) {
            const VEC slope = NAME(load_some)(s->numbers + c, channels - c);
            const VEC x = NAME(load_some)((const float *)from + i * channels + c, channels - c);
            NAME(store_some)((float *)to + i * channels + c, WHERE(x < 0, x * slope, x), channels - c);
        }
}

/* y = a b within s->f32.low and high; y may be a or b. */
INLINE void NAME(multiply)(const elq_instruction *s, const float *a, const float *b, float *y, ptrdiff_t count) {
    const VEC low = ALL(s->f32.low), high = ALL(s->f32.high);
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const VEC product = NAME(load_some)(a + i, count - i) * NAME(load_some)(b + i, count - i);
        NAME(store_some)(y + i, MINIMUM(high, MAXIMUM(low, product)), count - i);
    }
}

void ROWS(mul)(const elq_instruction *s, const void *from, const void *residual, void *to, ptrdiff_t first,
               ptrdiff_t last) {
    const ptrdiff_t row = s->shape.q * s->shape.o, at = first * row;
    NAME(multiply)(s, (const float *)from + at, (const float *)residual + at, (float *)to + at, (last - first) * row);
}

void ROWS(mul_channels)(const elq_instruction *s, const void *from, const void *residual, void *to, ptrdiff_t first,
                        ptrdiff_t last) {
    const elq_shape *g = &s->shape;
    for (ptrdiff_t i = first * g->q; i < last * g->q; i++)
        NAME(multiply)(s, (const float *)from + i * g->o, (const float *)residual + i / g->q / g->p * g->o,
                       (float *)to + i * g->o, g->o);
}

void ROWS(concat)(const elq_instruction *s, const void *from, const void *residual, void *to, ptrdiff_t first,
                  ptrdiff_t last) {
    const ptrdiff_t c = s->shape.c, o = s->shape.o, row = s->shape.q;
    (void)residual;
    for (ptrdiff_t i = first * row; i < last * row; i++)
        memcpy((float *)to + i * o + s->first_channel, (const float *)from + i * c, (size_t)c * sizeof(float));
}

#define ELEMENT float
#define POOL(name) NAME(name)
#define NO_NUMBER(v) ((v) != (v))
#include "infer/max_pool.inc.h"
