/* What stands between layers without batch normalization: maximum over windows, ReLU, and the sums of a bias's
 * gradient. A template of REAL, VECTOR_BYTES, NAME. Arrays are pixels x channels, channels contiguous.
 *
 * A piece of work is a row of an image, or a stretch of elements: nothing is added across pieces but the sums, whose
 * pieces are cut by the shapes alone. */

typedef uint8_t NAME(places) __attribute__((vector_size(VECTOR_BYTES / sizeof(REAL)), aligned(1), may_alias));
typedef uint16_t NAME(halves) __attribute__((vector_size(2 * VECTOR_BYTES / sizeof(REAL))));
typedef uint32_t NAME(words) __attribute__((vector_size(4 * VECTOR_BYTES / sizeof(REAL))));

/* Places as wide as the elements, and back: one doubling at a time, or the compiler goes lane by lane. */
INLINE NAME(bits) NAME(load_places)(const uint8_t *p) {
    const NAME(halves) halves = __builtin_convertvector(*(const NAME(places) *)p, NAME(halves));
    return __builtin_convertvector(__builtin_convertvector(halves, NAME(words)), NAME(bits));
}
INLINE void NAME(store_places)(uint8_t *p, NAME(bits) places) {
    const NAME(words) words = __builtin_convertvector(places, NAME(words));
    *(NAME(places) *)p = __builtin_convertvector(__builtin_convertvector(words, NAME(halves)), NAME(places));
}

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
    NAME(store_places)(place, where);
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

/* What one row of dx is the sum of, in the order of the places: its windows' rows, and of a column their columns. */
struct NAME(seen) {
    int rows, columns;
    ptrdiff_t row[256], column[256];            /* where these begin in dy, from the image's and the row's start */
    NAME(integer) first_place[256], place[256]; /* the place is their sum */
};

/* dx of one vector of channels, or of one channel, from all windows that see the pixel: sum of dy where it was the place. */
INLINE VEC NAME(seen_vector)(const struct NAME(seen) * in, const REAL *dy, const uint8_t *place) {
    VEC sum = {0};
    for (int i = 0; i < in->rows; i++)
        for (int j = 0; j < in->columns; j++) {
            const ptrdiff_t at = in->row[i] + in->column[j];
            const NAME(bits) where = NAME(load_places)(place + at);
            const NAME(bits) here = where == (NAME(bits)){0} + (in->first_place[i] + in->place[j]);
            sum += (VEC)((NAME(bits))NAME(load)(dy + at) & here);
        }
    return sum;
}
INLINE REAL NAME(seen_element)(const struct NAME(seen) * in, const REAL *dy, const uint8_t *place) {
    REAL sum = 0;
    for (int i = 0; i < in->rows; i++)
        for (int j = 0; j < in->columns; j++) {
            const ptrdiff_t at = in->row[i] + in->column[j];
            sum += place[at] == in->first_place[i] + in->place[j] ? dy[at] : 0;
        }
    return sum;
}

/* One row of dx. The last vector of a pixel's channels may reach over the next pixels, as in `max_row`. */
static void NAME(max_row_backward)(void *context, ptrdiff_t row, int worker) {
    const struct elq_max_pool *a = context;
    const ptrdiff_t image = row / a->h, h = row % a->h + a->top, size = a->w * a->c, line = a->q * a->c;
    REAL *dx = (REAL *)a->dx + row * size;
    const REAL *dy = (const REAL *)a->dy + image * a->p * line;
    const uint8_t *place = a->place + image * a->p * line;
    struct NAME(seen) in;
    (void)worker;
    in.rows = 0;
    for (ptrdiff_t i = 0; i < a->kh && i <= h; i++) {
        if ((h - i) % a->stride_h || (h - i) / a->stride_h >= a->p) continue;
        in.row[in.rows] = (h - i) / a->stride_h * line;
        in.first_place[in.rows++] = (NAME(integer))(i * a->kw);
    }
    for (ptrdiff_t w = 0; w < a->w; w++) {
        ptrdiff_t column = w + a->left, last = 0, c = 0;
        in.columns = 0;
        for (ptrdiff_t j = 0; j < a->kw && j <= column; j++) {
            if ((column - j) % a->stride_w || (column - j) / a->stride_w >= a->q) continue;
            in.column[in.columns] = (column - j) / a->stride_w * a->c;
            if (in.column[in.columns] > last) last = in.column[in.columns];
            in.place[in.columns++] = (NAME(integer))j;
        }
        for (; c < a->c && c <= line - last - LANES && c <= size - w * a->c - LANES; c += LANES)
            NAME(store)(dx + w * a->c + c, NAME(seen_vector)(&in, dy + c, place + c));
        for (; c < a->c; c++) dx[w * a->c + c] = NAME(seen_element)(&in, dy + c, place + c);
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
