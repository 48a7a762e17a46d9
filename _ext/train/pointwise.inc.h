/* Functions of one number and their derivatives, elq_ref/kernels/numpy_pointwise.py in C. A template of REAL,
 * VECTOR_BYTES, NAME.
 *
 * exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2: exp(r) by its Taylor series, whose next term is below a
 * quarter of an ulp; below the least normal number it is that number, and from about half of the largest on infinite.
 * A piece of work is a stretch of elements. */

#define SINGLE (sizeof(REAL) == sizeof(float))
#define ALL(value) ((VEC){0} + (REAL)(value))

/* a where the bits of a lane are set, else b */
INLINE VEC NAME(pick)(NAME(bits) mask, VEC a, VEC b) { return (VEC)(((NAME(bits))a & mask) | ((NAME(bits))b & ~mask)); }

INLINE VEC NAME(between)(VEC x, REAL low, REAL high) { /* NaN stays */
    x = NAME(pick)(x < low, ALL(low), x);
    return NAME(pick)(x > high, ALL(high), x);
}

/* exp(r) - 1, and 2^n */
INLINE VEC NAME(exp_parts)(VEC x, VEC *scale) {
    static const double TERMS[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
        1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       1.0 / 2,      1.0};
    const REAL magic = SINGLE ? 12582912.0 : 6755399441055744.0; /* its last bit is worth 1 */
    x = SINGLE ? NAME(between)(x, -87.336, 88.9) : NAME(between)(x, -708.39, 709.9);
    VEC shifted = x * (REAL)1.4426950408889634 + magic, n = shifted - magic;
    VEC r = x - n * (REAL)0.693145751953125;
    r = r - n * (REAL)1.42860682030941723212e-6;
    VEC sum = {0};
    for (unsigned k = SINGLE ? 6 : 0; k < sizeof(TERMS) / sizeof(*TERMS); k++) sum = sum * r + (REAL)TERMS[k];
    NAME(bits) whole = (NAME(bits))shifted - (NAME(bits))ALL(magic);
    *scale = (VEC)((whole + (SINGLE ? 127 : 1023)) << (SINGLE ? 23 : 52));
    return sum * r;
}

INLINE VEC NAME(exp)(VEC x) {
    VEC scale, less = NAME(exp_parts)(x, &scale);
    return (less + (REAL)1) * scale;
}

INLINE VEC NAME(expm1)(VEC x) { /* of x <= 44 */
    VEC scale, less = NAME(exp_parts)(x, &scale);
    return less * scale + (scale - (REAL)1);
}

INLINE VEC NAME(sigmoid)(VEC x) { return (REAL)1 / ((REAL)1 + NAME(exp)(-x)); }

INLINE VEC NAME(tanh)(VEC x) { /* E / (E + 2), E = exp(2 |x|) - 1 */
    NAME(bits) sign = (NAME(bits))x & (NAME(bits))(-(VEC){0});
    VEC size = (VEC)((NAME(bits))x ^ sign);
    VEC e = NAME(expm1)(NAME(between)(size, 0, 22) * (REAL)2);
    return (VEC)((NAME(bits))(e / (e + (REAL)2)) | sign);
}

INLINE VEC NAME(normal_share)(VEC x) { /* Phi(x) */
    VEC share;
    for (int l = 0; l < LANES; l++) share[l] = 0.5 * erfc(-0.70710678118654752 * x[l]);
    return share;
}

INLINE VEC NAME(tanh_share)(VEC x) { /* (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)) */
    return NAME(sigmoid)((REAL)(2 * 0.79788456080286536) * (x + (REAL)0.044715 * x * x * x));
}

INLINE VEC NAME(value)(const struct elq_pointwise *f, VEC x) {
    const REAL a = f->a, b = f->b;
    const VEC zero = {0};
    switch (f->function) {
    case ELQ_CLIP:
        return NAME(between)(x, a, b);
    case ELQ_LEAKY_RELU:
        return NAME(pick)(x >= 0, x, a * x);
    case ELQ_HARD_SIGMOID:
        return NAME(between)(a * x + b, 0, 1);
    case ELQ_HARD_SWISH:
        return x * NAME(between)(x + (REAL)3, 0, 6) / (REAL)6;
    case ELQ_SIGMOID:
        return NAME(sigmoid)(x);
    case ELQ_TANH:
        return NAME(tanh)(x);
    case ELQ_SILU:
        return x / ((REAL)1 + NAME(exp)(-x));
    case ELQ_ELU:
        return NAME(pick)(x > 0, x, a * NAME(expm1)(NAME(pick)(x > 0, zero, x)));
    case ELQ_GELU:
        return x * NAME(normal_share)(x);
    default:
        return x * NAME(tanh_share)(x);
    }
}

INLINE VEC NAME(slope)(const struct elq_pointwise *f, VEC x) {
    const REAL a = f->a, b = f->b;
    const VEC zero = {0}, one = ALL(1);
    VEC s;
    switch (f->function) {
    case ELQ_CLIP:
        return NAME(pick)((x <= a) | (x >= b), zero, one);
    case ELQ_LEAKY_RELU:
        return NAME(pick)(x > 0, one, ALL(a));
    case ELQ_HARD_SIGMOID:
        s = a * x + b;
        return NAME(pick)((s > 0) & (s < 1), ALL(a), zero);
    case ELQ_HARD_SWISH:
        s = NAME(pick)(x >= 3, one, x / (REAL)3 + (REAL)0.5);
        return NAME(pick)(x <= -3, zero, s);
    case ELQ_SIGMOID:
        s = NAME(sigmoid)(x);
        return s * ((REAL)1 - s);
    case ELQ_TANH:
        s = NAME(tanh)(x);
        return (REAL)1 - s * s;
    case ELQ_SILU:
        s = NAME(sigmoid)(x);
        return s * ((REAL)1 + x * ((REAL)1 - s));
    case ELQ_ELU:
        return NAME(pick)(x > 0, one, a * NAME(exp)(NAME(pick)(x > 0, zero, x)));
    case ELQ_GELU:
        return NAME(normal_share)(x) + x * (NAME(exp)(x * x * (REAL)-0.5) * (REAL)0.39894228040143268);
    default:
        s = NAME(tanh_share)(x);
        return s + (REAL)(2 * 0.79788456080286536) * x * s * ((REAL)1 - s) * ((REAL)1 + (REAL)(3 * 0.044715) * x * x);
    }
}

/* The loop of one function: `f` with a constant function, so that the choice is made outside. */
INLINE void NAME(point_loop)(const struct elq_pointwise *f, ptrdiff_t k, ptrdiff_t end) {
    const REAL *x = f->x, *dy = f->dy;
    REAL *y = f->y;
    for (; k < end; k += LANES) {
        VEC v = NAME(load_some)(x + k, end - k);
        VEC out = dy ? NAME(load_some)(dy + k, end - k) * NAME(slope)(f, v) : NAME(value)(f, v);
        NAME(store_some)(y + k, out, end - k);
    }
}

static void NAME(point_stretch)(void *context, ptrdiff_t index, int worker) {
    struct elq_pointwise f = *(const struct elq_pointwise *)context;
    ptrdiff_t k = index * NAME(STRETCH), end = k + NAME(STRETCH) < f.count ? k + NAME(STRETCH) : f.count;
    (void)worker;
#define ONE(word)                                                                                                      \
    case word:                                                                                                         \
        f.function = word;                                                                                             \
        NAME(point_loop)(&f, k, end);                                                                                  \
        break;
    switch (f.function) {
        ONE(ELQ_CLIP)
        ONE(ELQ_LEAKY_RELU)
        ONE(ELQ_HARD_SIGMOID)
        ONE(ELQ_HARD_SWISH)
        ONE(ELQ_SIGMOID)
        ONE(ELQ_TANH)
        ONE(ELQ_SILU)
        ONE(ELQ_ELU)
        ONE(ELQ_GELU)
        ONE(ELQ_GELU_TANH)
    }
#undef ONE
}

static int NAME(pointwise)(const struct elq_pointwise *f) {
    elq_parallel_for((f->count + NAME(STRETCH) - 1) / NAME(STRETCH), NAME(point_stretch), (void *)f);
    return 0;
}

#undef SINGLE
#undef ALL
