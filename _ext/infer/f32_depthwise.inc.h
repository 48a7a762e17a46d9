/* Depthwise convolution, one input and one output channel a group: channels are the lanes. The codes are packed as if
 * they were those of one group with one channel; float weights [tap][channels in whole vectors].
 * Error: ELQ_DIRECT of infer/kernels.h. A template like infer/f32_codes.inc.h. */

/* How a call is cut into tasks: pictures x bands of rows. */
struct NAME(depthwise_plan) {
    ptrdiff_t rows, bands, buffer_h, buffer_w, channels, taps;
};

static struct NAME(depthwise_plan) NAME(depthwise_plan)(const elq_shape *s) {
    struct NAME(depthwise_plan) p = {.buffer_w = (s->q - 1) * s->stride_w + (s->kw - 1) * s->dilation_w + 1,
                                     .channels = WHOLE(s->c),
                                     .taps = s->kh * s->kw};
    p.rows = NAME(BUFFER) / (p.buffer_w * p.channels * s->stride_h) + 1;
    if (p.rows > (s->p + 1) / 2) p.rows = (s->p + 1) / 2; /* at least two tasks */
    p.bands = (s->p + p.rows - 1) / p.rows;
    p.buffer_h = (p.rows - 1) * s->stride_h + (s->kh - 1) * s->dilation_h + 1;
    return p;
}

static elq_shape NAME(depthwise_as_dense)(const elq_shape *s) {
    elq_shape dense = *s;
    dense.c = dense.groups = 1;
    return dense;
}

INLINE size_t NAME(depthwise_bytes)(const int bits, const elq_shape *s) {
    elq_shape dense = NAME(depthwise_as_dense)(s);
    return NAME(code_bytes)(bits, &dense);
}

INLINE void NAME(depthwise_pack)(const int bits, const elq_shape *s, const void *rows, void *packed) {
    elq_shape dense = NAME(depthwise_as_dense)(s);
    ptrdiff_t taps = s->kh * s->kw, channels = WHOLE(s->c);
    if (bits < 32) NAME(pack_codes)(bits, &dense, rows, packed);
    else
        for (ptrdiff_t k = 0; k < taps; k++)
            for (ptrdiff_t c = 0; c < channels; c++)
                ((float *)packed)[k * channels + c] = c < s->c ? ((const float *)rows)[c * taps + k] : 0;
}

static int NAME(depthwise_runs)(const elq_shape *s) { return s->groups == s->c && s->o == s->c; }

static int NAME(depthwise_pays)(const elq_shape *s) { return s->c > LEAST; }

static ptrdiff_t NAME(depthwise_tasks)(const elq_shape *s, ptrdiff_t n) { return n * NAME(depthwise_plan)(s).bands; }

static size_t NAME(depthwise_scratch)(const elq_shape *s) {
    struct NAME(depthwise_plan) p = NAME(depthwise_plan)(s);
    return (size_t)p.channels * (size_t)(p.taps + s->q + p.buffer_h * p.buffer_w) * sizeof(float) +
           (size_t)p.taps * sizeof(ptrdiff_t);
}

/* Sums of T neighbours, T chains at once, and one vector of channels: x and y `step` and `channels` floats a pixel. */
INLINE void NAME(depthwise_tile)(const int T, const float *x, ptrdiff_t step, const ptrdiff_t *offset, ptrdiff_t taps,
                                 ptrdiff_t channels, const float *w, float *y) {
#define EACH_OF_EIGHT(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)
#define DECLARE(t) VEC a##t = {0};
#define MULTIPLY(t)                                                                                                    \
    if (T > t) a##t += NAME(load)(from + t * step) * w0;
#define STORE(t)                                                                                                       \
    if (T > t) NAME(store)(y + t * channels, a##t);
    EACH_OF_EIGHT(DECLARE)
    for (ptrdiff_t k = 0; k < taps; k++) {
        const float *from = x + offset[k];
        VEC w0 = NAME(load)(w + k * channels);
        EACH_OF_EIGHT(MULTIPLY)
    }
    EACH_OF_EIGHT(STORE)
#undef EACH_OF_EIGHT
#undef DECLARE
#undef MULTIPLY
#undef STORE
}

static void NAME(depthwise_row)(const float *x, ptrdiff_t step, const ptrdiff_t *offset, ptrdiff_t taps,
                                ptrdiff_t channels, const float *w, float *y, ptrdiff_t pixels) {
    for (; pixels >= 8; pixels -= 8, x += 8 * step, y += 8 * channels)
        for (ptrdiff_t c = 0; c < channels; c += LANES)
            NAME(depthwise_tile)(8, x + c, step, offset, taps, channels, w + c, y + c);
    for (; pixels > 0; pixels--, x += step, y += channels)
        for (ptrdiff_t c = 0; c < channels; c += LANES)
            NAME(depthwise_tile)(1, x + c, step, offset, taps, channels, w + c, y + c);
}

INLINE void NAME(depthwise_run)(const int bits, const elq_conv *conv, ptrdiff_t task, void *scratch) {
    const elq_shape *s = &conv->shape;
    struct NAME(depthwise_plan) plan = NAME(depthwise_plan)(s), *p = &plan;
    ptrdiff_t n = task / p->bands, p0 = task % p->bands * p->rows, rows = s->p - p0 < p->rows ? s->p - p0 : p->rows;
    ptrdiff_t xs[4] = {s->h * s->w * s->c, 1, s->w * s->c, s->c}, *offset = scratch;
    for (ptrdiff_t k = 0; k < p->taps; k++)
        offset[k] = (k / s->kw * s->dilation_h * p->buffer_w + k % s->kw * s->dilation_w) * p->channels;
    assert(task >= 0 && n < conv->n && (uintptr_t)scratch % ELQ_ALIGN == 0);
    float *w = (float *)(offset + p->taps), *sums = w + p->taps * p->channels, *buffer = sums + s->q * p->channels;
    if (bits == 32) w = (float *)conv->weights;
    else
        for (ptrdiff_t c = 0; c < p->channels; c += LANES)
            NAME(direct_panel)(bits, w + c, p->channels,
                               (const uint32_t *)conv->weights + (p->taps * bits + 31) / 32 * c, p->taps);
    NAME(gather)(buffer, p->channels, (const float *)conv->x + n * xs[0], xs, s->c, s->h, s->w,
                 p0 * s->stride_h - s->pad_h, p->buffer_h - (p->rows - rows) * s->stride_h, -s->pad_w, p->buffer_w);
    for (ptrdiff_t r = 0; r < rows; r++) {
        NAME(depthwise_row)(buffer + r * s->stride_h * p->buffer_w * p->channels, s->stride_w * p->channels, offset,
                            p->taps, p->channels, w, sums, s->q);
        NAME(finish_row)(conv, (n * s->p + p0 + r) * s->q * s->o, 0, s->o, (int)(p->channels / LANES), sums, s->q);
    }
}
