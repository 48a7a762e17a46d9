/* What stands between layers without batch normalization: maximum over windows, ReLU, and the sums of a bias's
 * gradient. A template of REAL, VECTOR_BYTES, NAME. Arrays are pixels x channels, channels contiguous.
 *
 * A piece of work is a row of an image, or a stretch of elements: nothing is added across pieces but the sums, whose
 * pieces are cut by the shapes alone. */

typedef uint8_t NAME(places) __attribute__((vector_size(VECTOR_BYTES / sizeof(REAL)), aligned(1), may_alias));

/* ------------------------------------------------------------------------------------------------ max pooling */

/* The rows and columns of one window that lie inside, of x from its first element on. */
struct NAME(window) {
    ptrdiff_t top, bottom, left, right, line; /* elements of x between rows */
};

/* y = maximum of a window, place = which of its elements it is, the first of equals, the last NaN: one vector of
 * channels; x is where the window's first element would be. */
INLINE void NAME(max_vector)(const struct elq_max_pool *a, const REAL *x, const struct NAME(window) * in, REAL *y,
                             uint8_t *place) {
    VEC most = NAME(load)(x + in->top * in->line + in->left * a->c);
    NAME(bits) where = (NAME(bits)){0} + (NAME(integer))(in->top * a->kw + in->left);
    for (ptrdiff_t i = in->top; i < in->bottom; i++)
        for (ptrdiff_t j = in->left; j < in->right; j++) {
            VEC v = NAME(load)(x + i * in->line + j * a->c);
            NAME(bits) take = (v > most) | (v != v), number = (NAME(bits)){0} + (NAME(integer))(i * a->kw + j);
            most = (VEC)(((NAME(bits))v & take) | ((NAME(bits))most & ~take));
            where = (number & take) | (where & ~take);
        }
    NAME(store)(y, most);
    *(NAME(places) *)place = __builtin_convertvector(where, NAME(places));
}

/* The same for one channel. */
INLINE void NAME(max_element)(const struct elq_max_pool *a, const REAL *x, const struct NAME(window) * in, REAL *y,
                              uint8_t *place) {
    *y = x[in->top * in->line + in->left * a->c];
    *place = (uint8_t)(in->top * a->kw + in->left);
    for (ptrdiff_t i = in->top; i < in->bottom; i++)
        for (ptrdiff_t j = in->left; j < in->right; j++) {
            REAL v = x[i * in->line + j * a->c];
            if (!(v > *y || v != v)) continue;
            *y = v;
            *place = (uint8_t)(i * a->kw + j);
        }
}

/* One row of y. The last vector of a pixel's channels may reach over the next pixels, which are written after it, but
 * not beyond the row, which is another thread's. */
static void NAME(max_row)(void *context, ptrdiff_t row, int worker) {
    const struct elq_max_pool *a = context;
    ptrdiff_t image = row / a->p, first = row % a->p * a->stride_h - a->top, line = a->w * a->c;
    const REAL *x = (const REAL *)a->x + (image * a->h + first) * line;
    REAL *y = (REAL *)a->y + row * a->q * a->c;
    uint8_t *place = a->place + row * a->q * a->c;
    struct NAME(window)
        in = {.top = first < 0 ? -first : 0, .bottom = a->h - first < a->kh ? a->h - first : a->kh, .line = line};
    (void)worker;
    for (ptrdiff_t q = 0; q < a->q; q++) {
        ptrdiff_t column = q * a->stride_w - a->left, from = column * a->c, to = q * a->c, c = 0;
        in.left = column < 0 ? -column : 0;
        in.right = a->w - column < a->kw ? a->w - column : a->kw;
        ptrdiff_t x_room = line - from - (in.right - 1) * a->c - LANES, y_room = a->q * a->c - to - LANES;
        for (; c < a->c && c <= x_room && c <= y_room; c += LANES)
            NAME(max_vector)(a, x + from + c, &in, y + to + c, place + to + c);
        for (; c < a->c; c++) NAME(max_element)(a, x + from + c, &in, y + to + c, place + to + c);
    }
}

/* dx[row + i][column + j] += dy where place = (i, j), in the order of the places: one row of dx, from all windows that
 * see it. The last vector of a pixel's channels adds nothing to the next pixels. */
static void NAME(max_row_backward)(void *context, ptrdiff_t row, int worker) {
    const struct elq_max_pool *a = context;
    ptrdiff_t image = row / a->h, h = row % a->h + a->top, size = a->w * a->c;
    REAL *dx = (REAL *)a->dx + row * size;
    NAME(bits) tail = {0};
    for (ptrdiff_t l = 0; l < a->c % LANES; l++) tail[l] = -1;
    (void)worker;
    memset(dx, 0, size * sizeof(REAL));
    for (ptrdiff_t i = 0; i < a->kh && i <= h; i++) {
        ptrdiff_t p = (h - i) / a->stride_h;
        if ((h - i) % a->stride_h || p >= a->p) continue;
        const REAL *dy = (const REAL *)a->dy + (image * a->p + p) * a->q * a->c;
        const uint8_t *place = a->place + (image * a->p + p) * a->q * a->c;
        for (ptrdiff_t j = 0; j < a->kw; j++) {
            ptrdiff_t k = i * a->kw + j;
            for (ptrdiff_t q = 0; q < a->q; q++) {
                ptrdiff_t column = q * a->stride_w - a->left + j, from = q * a->c, to = column * a->c, c = 0;
                if (column < 0 || column >= a->w) continue;
                ptrdiff_t room = a->q * a->c - from - LANES, dx_room = size - to - LANES;
                for (; c < a->c && c <= room && c <= dx_room; c += LANES) {
                    NAME(places) at = *(const NAME(places) *)(place + from + c);
                    NAME(bits) here = __builtin_convertvector(at, NAME(bits)) == (NAME(bits)){0} + (NAME(integer))k;
                    if (c + LANES > a->c) here &= tail;
                    VEC add = (VEC)((NAME(bits))NAME(load)(dy + from + c) & here);
                    NAME(store)(dx + to + c, NAME(load)(dx + to + c) + add);
                }
                for (; c < a->c; c++) dx[to + c] += place[from + c] == k ? dy[from + c] : 0;
            }
        }
    }
}

static int NAME(max_pool)(const struct elq_max_pool *a) {
    assert(a->kh * a->kw <= 256 && a->top < a->kh && (a->p - 1) * a->stride_h - a->top < a->h && a->left < a->kw &&
           (a->q - 1) * a->stride_w - a->left < a->w);
    elq_parallel_for(a->n * a->p, NAME(max_row), (void *)a);
    return 0;
}

static int NAME(max_pool_backward)(const struct elq_max_pool *a) {
    elq_parallel_for(a->n * a->h, NAME(max_row_backward), (void *)a);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- ReLU */

struct NAME(relu) {
    ptrdiff_t count;
    const REAL *x, *dy; /* dy: backward, and x is y */
    REAL *y;
};

enum { NAME(STRETCH) = 1 << 14 };

static void NAME(relu_stretch)(void *context, ptrdiff_t index, int worker) {
    const struct NAME(relu) *a = context;
    ptrdiff_t k = index * NAME(STRETCH), end = k + NAME(STRETCH) < a->count ? k + NAME(STRETCH) : a->count;
    (void)worker;
    for (; k < end; k += LANES) {
        VEC x = NAME(load_some)(a->x + k, end - k);
        VEC from = a->dy ? NAME(load_some)(a->dy + k, end - k) : x;
        NAME(bits) keep = a->dy ? x > 0 : ~(x < 0); /* forward, NaN stays */
        NAME(store_some)(a->y + k, (VEC)((NAME(bits))from & keep), end - k);
    }
}

static int NAME(relu)(ptrdiff_t count, const void *x, const void *dy, void *y) {
    struct NAME(relu) a = {count, x, dy, y};
    elq_parallel_for((count + NAME(STRETCH) - 1) / NAME(STRETCH), NAME(relu_stretch), &a);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- sums */

struct NAME(sums) {
    ptrdiff_t pixels, c;
    const REAL *x;
    double *sums; /* [chunk][c] */
};

enum { NAME(SUM_CHUNKS) = 16 };

static void NAME(sum_chunk)(void *context, ptrdiff_t chunk, int worker) {
    const struct NAME(sums) *a = context;
    double *restrict sums = a->sums + chunk * a->c;
    (void)worker;
    memset(sums, 0, a->c * sizeof(double));
    ptrdiff_t end = (chunk + 1) * a->pixels / NAME(SUM_CHUNKS);
    for (ptrdiff_t p = chunk * a->pixels / NAME(SUM_CHUNKS); p < end; p++) {
        const REAL *restrict x = a->x + p * a->c;
        for (ptrdiff_t c = 0; c < a->c; c++) sums[c] += x[c];
    }
}

/* sums[c] = sum of x over the pixels, in double. */
static int NAME(sums)(ptrdiff_t pixels, ptrdiff_t c, const void *x, void *sums) {
    struct NAME(sums) a = {pixels, c, x, elq_memory_take(NAME(SUM_CHUNKS) * c * sizeof(double))};
    if (!a.sums) return -1;
    elq_parallel_for(NAME(SUM_CHUNKS), NAME(sum_chunk), &a);
    for (ptrdiff_t k = 0; k < c; k++) {
        double total = a.sums[k];
        for (ptrdiff_t chunk = 1; chunk < NAME(SUM_CHUNKS); chunk++) total += a.sums[chunk * c + k];
        ((REAL *)sums)[k] = total;
    }
    elq_memory_give(a.sums);
    return 0;
}
