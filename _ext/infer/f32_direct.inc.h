/* Convolution by multiply-adds, for every shape but depthwise: a window of the input is copied into a buffer with its
 * border, the codes of one or two vectors of outputs are decoded to a panel of -1, 0 and 1, and the tile kernel of the
 * training core runs over both. A panel serves all pixels of a task, the buffer all of its panels.
 *
 * Error: ELQ_DIRECT of infer/kernels.h; a sum is one chain in the order KH KW C. Float weights are their own panels:
 *     packed[pair of vectors of outputs][k][lanes of the pair]
 * A template like infer/f32_codes.inc.h. */

/* How a call is cut into tasks: pictures x windows of rows and columns x groups x pieces of a group's outputs. */
struct NAME(direct_plan) {
    elq_shape s;
    ptrdiff_t n, xs[4];        /* pictures; elements from one picture, channel, row, column to the next */
    ptrdiff_t rows, columns;   /* of a window */
    ptrdiff_t bands, strips;   /* windows of a picture */
    ptrdiff_t pieces, vectors; /* of a group's outputs; vectors of a piece */
    ptrdiff_t buffer_h, buffer_w, runs, depth;
};

enum { NAME(PIXELS) = 256, NAME(BUFFER) = 1 << 16 /* floats */ };

static struct NAME(direct_plan) NAME(direct_plan)(const elq_shape *shape, ptrdiff_t n) {
    elq_shape s = *shape;
    ptrdiff_t xs[4] = {s.h * s.w * s.c, 1, s.w * s.c, s.c}, depth = s.kh * s.kw * (s.c / s.groups);
    if (elq_no_window(&s)) {
        if (s.stride_h == 1 && s.stride_w == 1 && s.p == s.h && s.q == s.w) { /* all pixels are one row */
            s.w = s.q = n * s.h * s.w;
            s.h = s.p = n = 1;
        }
        xs[2] *= s.stride_h, xs[3] *= s.stride_w; /* else a view without the pixels that it skips */
        s.h = s.p, s.w = s.q, s.stride_h = s.stride_w = 1;
    }
    struct NAME(direct_plan) p = {.s = s, .n = n, .xs = {xs[0], xs[1], xs[2], xs[3]}, .pieces = 1, .depth = depth};
    ptrdiff_t c = s.c / s.groups, span_h = (s.kh - 1) * s.dilation_h + 1, span_w = (s.kw - 1) * s.dilation_w + 1;
    ptrdiff_t most = NAME(BUFFER) / c / s.stride_w / span_h; /* columns that fit into the buffer, about */
    if (most > NAME(PIXELS)) most = NAME(PIXELS);
    if (most < 16) most = 16;
    p.strips = (s.q + most - 1) / most;
    p.columns = (s.q + p.strips - 1) / p.strips;
    p.buffer_w = (p.columns - 1) * s.stride_w + span_w;
    p.rows = (NAME(BUFFER) / (p.buffer_w * c) - span_h) / s.stride_h + 1;
    if (p.rows * p.columns > NAME(PIXELS)) p.rows = NAME(PIXELS) / p.columns;
    if (p.rows > s.p) p.rows = s.p;
    if (p.rows < 1) p.rows = 1;
    ptrdiff_t vectors = (s.o / s.groups + LANES - 1) / LANES, wanted = n * s.p * s.q * s.o * depth > 1 << 20 ? 4 : 2;
    for (;;) {
        p.bands = (s.p + p.rows - 1) / p.rows;
        p.strips = (s.q + p.columns - 1) / p.columns;
        if (n * p.bands * p.strips * s.groups * p.pieces >= wanted) break;
        if (vectors >= 4 * p.pieces) p.pieces *= 2;
        else if (p.rows > 1) p.rows = (p.rows + 1) / 2;
        else if (p.columns > 32) p.columns = (p.columns + 1) / 2;
        else break;
    }
    p.rows = (s.p + p.bands - 1) / p.bands;
    p.vectors = (vectors + p.pieces - 1) / p.pieces;
    p.vectors += p.vectors % 2;
    p.pieces = (vectors + p.vectors - 1) / p.vectors;
    p.buffer_h = (p.rows - 1) * s.stride_h + span_h;
    p.buffer_w = (p.columns - 1) * s.stride_w + span_w;
    p.runs = s.dilation_w == 1 ? s.kh : s.kh * s.kw;
    return p;
}

#ifndef NO_CODES
/* One block's codes, panel[k][step]. */
INLINE void NAME(direct_panel)(const int bits, float *panel, ptrdiff_t step, const uint32_t *codes, ptrdiff_t depth) {
    for (; depth > 0; codes += LANES, depth -= 32 / bits) {
        UNSIGNED w = NAME(load_words)(codes);
        ptrdiff_t count = depth < 32 / bits ? depth : 32 / bits;
        for (ptrdiff_t k = 0; k < count; k++, w >>= bits, panel += step) NAME(store)(panel, NAME(decode)(bits, w));
    }
}
#endif

INLINE size_t NAME(direct_bytes)(const int bits, const elq_shape *s) {
    return NAME(code_bytes)(bits, s); /* FULL: bits is 32, so words are floats */
}

INLINE void NAME(direct_pack)(const int bits, const elq_shape *s, const void *rows, void *packed) {
    ptrdiff_t outputs = s->o / s->groups, depth = s->kh * s->kw * (s->c / s->groups);
#ifdef NO_CODES
    (void)bits;
#else
    if (bits < 32) {
        NAME(pack_codes)(bits, s, rows, packed);
        return;
    }
#endif
    float *to = packed;
    for (ptrdiff_t g = 0; g < s->groups; g++)
        for (ptrdiff_t o = 0; o < outputs;) {
            ptrdiff_t lanes = outputs - o > LANES ? 2 * LANES : LANES;
            const float *from = (const float *)rows + (g * outputs + o) * depth;
            for (ptrdiff_t k = 0; k < depth; k++)
                for (ptrdiff_t l = 0; l < lanes; l++) *to++ = o + l < outputs ? from[l * depth + k] : 0;
            o += lanes;
        }
}

/* Groups of few outputs leave most lanes empty: narrower vectors or none do better. */
static int NAME(direct_pays)(const elq_shape *s) { return s->o / s->groups > LEAST; }

static ptrdiff_t NAME(direct_tasks)(const elq_shape *s, ptrdiff_t n) {
    struct NAME(direct_plan) p = NAME(direct_plan)(s, n);
    return p.n * p.bands * p.strips * s->groups * p.pieces;
}

static size_t NAME(direct_scratch)(const elq_shape *s) {
    struct NAME(direct_plan) p = NAME(direct_plan)(s, NAME(PIXELS)); /* no window is larger for another n */
    return (size_t)(2 * LANES * (p.depth + p.columns) + p.buffer_h * p.buffer_w * (s->c / s->groups)) * sizeof(float) +
           (size_t)p.runs * sizeof(struct NAME(run));
}

INLINE void NAME(direct_run)(const int bits, const elq_conv *conv, ptrdiff_t task, void *scratch) {
    struct NAME(direct_plan) plan = NAME(direct_plan)(&conv->shape, conv->n), *p = &plan;
    const elq_shape *s = &p->s;
    ptrdiff_t piece = task % p->pieces, group = task / p->pieces % s->groups, window = task / p->pieces / s->groups;
    ptrdiff_t q0 = window % p->strips * p->columns, p0 = window / p->strips % p->bands * p->rows;
    ptrdiff_t n = window / p->strips / p->bands, c = s->c / s->groups, outputs = s->o / s->groups;
    ptrdiff_t columns = s->q - q0 < p->columns ? s->q - q0 : p->columns;
    ptrdiff_t rows = s->p - p0 < p->rows ? s->p - p0 : p->rows;
    assert(task >= 0 && n < p->n && (uintptr_t)scratch % ELQ_ALIGN == 0);

    struct NAME(run) *run = scratch;
    for (ptrdiff_t k = 0; k < p->runs; k++) {
        ptrdiff_t i = s->dilation_w == 1 ? k : k / s->kw, j = s->dilation_w == 1 ? 0 : k % s->kw;
        run[k].offset = (i * s->dilation_h * p->buffer_w + j * s->dilation_w) * c;
        run[k].length = s->dilation_w == 1 ? s->kw * c : c;
    }
    float *panel = (float *)(run + p->runs), *sums = panel + 2 * LANES * p->depth;
    float *buffer = sums + 2 * LANES * p->columns;
    NAME(gather)(buffer, c, (const float *)conv->x + n * p->xs[0] + group * c, p->xs, c, s->h, s->w,
                 p0 * s->stride_h - s->pad_h, p->buffer_h - (p->rows - rows) * s->stride_h, q0 * s->stride_w - s->pad_w,
                 p->buffer_w);

    ptrdiff_t words = NAME(row_words)(bits, &conv->shape), all = NAME(group_blocks)(s), first = piece * p->vectors;
    ptrdiff_t end = first + p->vectors < all ? first + p->vectors : all;
    for (ptrdiff_t block = first; block < end; block += 2) {
        int vectors = end - block > 1 ? 2 : 1;
        const uint32_t *codes = (const uint32_t *)conv->weights + (group * all + block) * words * LANES;
#ifdef NO_CODES
        panel = (float *)codes;
#else
        if (bits == 32) panel = (float *)codes;
        else
            for (int k = 0; k < vectors; k++)
                NAME(direct_panel)(bits, panel + k * LANES, vectors * LANES, codes + k * words * LANES, p->depth);
#endif
        for (ptrdiff_t r = 0; r < rows; r++) {
            NAME(row)(vectors, buffer + r * s->stride_h * p->buffer_w * c, s->stride_w * c, run, p->runs, panel, sums,
                      columns, 0);
            NAME(finish_row)(conv, ((n * s->p + p0 + r) * s->q + q0) * s->o, group * outputs + block * LANES,
                             (group + 1) * outputs, vectors, sums, columns);
        }
    }
}
