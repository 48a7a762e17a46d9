/* The operations of infer/rows.h that only move values, and relu. The file that includes this one has defined the type
 * `element` and NAME(op), which gives a function its name. */

/* The caller's N C H W as N H W C; a row of y is a row of a picture. */
static void transpose_row(const elq_shape *g, const element *x, element *y) {
    for (ptrdiff_t c = 0; c < g->c; c++)
        for (ptrdiff_t j = 0; j < g->w; j++) y[j * g->c + c] = x[c * g->h * g->w + j];
}

void NAME(input)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                 ptrdiff_t last) {
    const elq_shape *g = &s->shape;
    (void)residual;
    for (ptrdiff_t r = first; r < last; r++) {
        const ptrdiff_t n = r / g->h, i = r % g->h;
        transpose_row(g, (const element *)x + (n * g->c * g->h + i) * g->w, (element *)y + r * g->w * g->c);
    }
}

void NAME(input_u8)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                    ptrdiff_t last) {
    const elq_shape *g = &s->shape;
    const element *table = s->table;
    (void)residual;
    for (ptrdiff_t r = first; r < last; r++) {
        const ptrdiff_t n = r / g->h, i = r % g->h;
        const ptrdiff_t channels = g->c, width = g->w; /* bytes that are stored could be anybody's: keep them here */
        for (ptrdiff_t c = 0; c < channels; c++) {
            const uint8_t *from = (const uint8_t *)x + ((n * channels + c) * g->h + i) * width;
            const element *of = table + 256 * c;
            element *to = (element *)y + r * width * channels + c;
            for (ptrdiff_t j = 0; j < width; j++) to[j * channels] = of[from[j]];
        }
    }
}

void NAME(subsample)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                     ptrdiff_t last) {
    const elq_shape *g = &s->shape;
    (void)residual;
    for (ptrdiff_t r = first; r < last; r++) {
        const element *from = (const element *)x + (r / g->p * g->h + r % g->p * g->stride_h) * g->w * g->c;
        element *to = (element *)y + r * g->q * g->c;
        for (ptrdiff_t q = 0; q < g->q; q++)
            memcpy(to + q * g->c, from + q * g->stride_w * g->c, (size_t)g->c * sizeof *to);
    }
}

void NAME(pad)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
               ptrdiff_t last) {
    const elq_shape *g = &s->shape;
    (void)residual;
    for (ptrdiff_t r = first; r < last; r++) {
        const ptrdiff_t row = r % g->p - g->pad_h;
        element *to = (element *)y + r * g->q * g->o;
        const element *from = (const element *)x + (r / g->p * g->h + row) * g->w * g->c;
        const size_t before = (size_t)(g->pad_w * g->o), inside = (size_t)(g->w * g->c), all = (size_t)(g->q * g->o);
        if (row < 0 || row >= g->h || g->c < g->o) memset(to, 0, all * sizeof *to);
        if (row < 0 || row >= g->h) continue;
        if (g->c == g->o) {
            memset(to, 0, before * sizeof *to);
            memcpy(to + before, from, inside * sizeof *to);
            memset(to + before + inside, 0, (all - before - inside) * sizeof *to);
            continue;
        }
        to += before + s->first_channel;
        for (ptrdiff_t j = 0; j < g->w; j++) memcpy(to + j * g->o, from + j * g->c, (size_t)g->c * sizeof *to);
    }
}

void NAME(flatten)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                   ptrdiff_t last) {
    const elq_shape *g = &s->shape;
    const ptrdiff_t pixels = g->h * g->w, count = pixels * g->c;
    (void)residual;
    for (ptrdiff_t n = first; n < last; n++)
        for (ptrdiff_t c = 0; c < g->c; c++)
            for (ptrdiff_t i = 0; i < pixels; i++)
                ((element *)y)[n * count + c * pixels + i] = ((const element *)x)[n * count + i * g->c + c];
}

void NAME(relu)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                ptrdiff_t last) {
    const ptrdiff_t row = s->shape.q * s->shape.o;
    const element *from = x;
    element *to = y;
    (void)residual;
    for (ptrdiff_t i = first * row; i < last * row; i++) to[i] = from[i] < 0 ? 0 : from[i];
}

void NAME(slice)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                 ptrdiff_t last) {
    const ptrdiff_t c = s->shape.c, o = s->shape.o, row = s->shape.q;
    (void)residual;
    for (ptrdiff_t i = first * row; i < last * row; i++)
        memcpy((element *)y + i * o, (const element *)x + i * c + s->first_channel, (size_t)o * sizeof(element));
}

void NAME(shuffle)(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                   ptrdiff_t last) {
    const ptrdiff_t channels = s->shape.c, groups = s->shape.kh, each = channels / groups, row = s->shape.q;
    (void)residual;
    for (ptrdiff_t i = first * row; i < last * row; i++) {
        const element *from = (const element *)x + i * channels;
        element *to = (element *)y + i * channels;
        for (ptrdiff_t k = 0; k < groups; k++)
            for (ptrdiff_t j = 0; j < each; j++) to[j * groups + k] = from[k * each + j];
    }
}
