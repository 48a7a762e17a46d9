/* Gradient with respect to the weights of groups with few outputs each: see train/lanes.inc.h. A template included by
 * train/conv_dw.inc.h, whose units and chunks it uses; a block is one vector of outputs of several groups.
 *
 *     dw[tap][c][lanes] += buffer[pixel + tap][c][lanes] * dy[pixel][lanes]
 *
 * T sums at once stay in registers over all pixels: L neighbours, `next` apart, from each of up to three runs, `gap` apart.
 * Where x is read in place, the next block's vectors lie behind these in memory, in lines that no hardware fetches ahead. */
INLINE void NAME(dw_tile_lanes)(const int T, const int L, ptrdiff_t gap, ptrdiff_t next, const struct NAME(sweep) * a,
                                const REAL *x, const REAL *dy, REAL *sum) {
    ptrdiff_t x_step = a->x_step, dy_step = a->dy_step;
    int in_place = next > LANES;
#define BEGIN(t, g, r)                                                                                                 \
    VEC a##t = {0};                                                                                                    \
    if (T > t) a##t = NAME(load)(sum + t * LANES);
#define MULTIPLY(t, g, r)                                                                                              \
    if (T > t) a##t += NAME(load)((t / L == 0 ? from : t / L == 1 ? second : third) + t % L * next) * d0;
#define FETCH(t, g, r)                                                                                                 \
    if (T > t) __builtin_prefetch((t / L == 0 ? from : t / L == 1 ? second : third) + t % L * next + LANES);
#define END(t, g, r)                                                                                                   \
    if (T > t) NAME(store)(sum + t * LANES, a##t);
    EACH_PIXEL(BEGIN)
    for (ptrdiff_t n = 0; n < a->images; n++)
        for (ptrdiff_t p = 0; p < a->rows; p++) {
            const REAL *from = x + n * a->x_image + p * a->x_row, *d = dy + n * a->dy_image + p * a->dy_row;
            for (ptrdiff_t q = a->pixels; q > 0; q--, from += x_step, d += dy_step) {
                const REAL *second = from + gap, *third = second + gap;
                VEC d0 = NAME(load)(d);
                if (in_place) { EACH_PIXEL(FETCH) }
                EACH_PIXEL(MULTIPLY)
            }
        }
    EACH_PIXEL(END)
#undef BEGIN
#undef MULTIPLY
#undef FETCH
#undef END
}

/* Sums of a run's elements at once; long runs go in pieces of nearly equal size. */
#define EACH_LENGTH(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12)
enum { NAME(MOST) = TILE1 < 12 ? TILE1 : 12 };

/* As many of the `left` runs as fill the registers together, or one; returns how many. */
static int NAME(dw_runs_lanes)(const struct elq_run *run, int left, ptrdiff_t next, const struct NAME(sweep) * a,
                               const REAL *x, const REAL *dy, REAL *sum) {
    ptrdiff_t length = run->length / next, gap = left > 1 ? run[1].offset - run->offset : 0;
    assert(left > 0 && length > 0 && run->length % next == 0);
    int two = left > 1 && length <= NAME(MOST) && 2 * length <= TILE1 && run[1].length == run->length;
    int three =
        two && left > 2 && 3 * length <= TILE1 && run[2].length == run->length && run[2].offset - run[1].offset == gap;
#define CASE(R, n)                                                                                                     \
    case n:                                                                                                            \
        if (R * n <= TILE1) NAME(dw_tile_lanes)(R * n, n, gap, next, a, x, dy, sum);                                   \
        break;
#define NO_CASE                                                                                                        \
    default:                                                                                                           \
        assert(!"a tile of this length")
#define CASE1(n) CASE(1, n)
#define CASE2(n) CASE(2, n)
#define CASE3(n) CASE(3, n)
    if (three) switch (length) {
            EACH_LENGTH(CASE3) NO_CASE;
        }
    else if (two) switch (length) {
            EACH_LENGTH(CASE2) NO_CASE;
        }
    else
        for (ptrdiff_t tiles = (length + NAME(MOST) - 1) / NAME(MOST); tiles > 0; tiles--) {
            ptrdiff_t t = (length + tiles - 1) / tiles;
            switch (t) { EACH_LENGTH(CASE1) NO_CASE; }
            x += t * next;
            sum += t * LANES;
            length -= t;
        }
#undef CASE
#undef NO_CASE
#undef CASE1
#undef CASE2
#undef CASE3
    return three ? 3 : two ? 2 : 1;
}
#undef EACH_LENGTH

/* Add the products of a unit to the sums of all blocks; x as in `v`, `x_image` elements between images. */
static void NAME(dw_unit_lanes)(const struct NAME(dw) * e, const struct NAME(unit) * u, const struct NAME(view) * v,
                                const REAL *x, ptrdiff_t x_image, REAL *copy, REAL *to) {
    const struct elq_conv *g = e->g;
    const struct elq_taps *taps = v->in_place ? e->there : e->taps;
    struct NAME(sweep) sweep = {u->images,   u->rows, u->pixels, x_image, g->stride_h * v->row, g->stride_w * v->pixel,
                                /* dy: */ 0, 0,       0};
    for (ptrdiff_t block = 0; block < e->blocks; block++, x += v->block) {
        ptrdiff_t o = block * LANES, outputs = g->groups * g->o - o;
        const REAL *dy = NAME(dw_outputs)(e, u, &sweep, copy, o, outputs < LANES ? outputs : LANES, LANES);
        for (int k = 0, taken; k < taps->runs; k += taken) {
            const struct elq_run *run = taps->run + k;
            taken = NAME(dw_runs_lanes)(run, taps->runs - k, v->next, &sweep, x + run->offset, dy, to);
            to += taken * (run->length / v->next) * LANES;
        }
    }
}

/* One chunk of all blocks. The parts of a unit are cut by the shapes alone. In the buffer x lies as [block][image][row]
 * [column][c][lanes]; where it is, it is read as it lies in memory, four rows of all blocks after the other. */
static void NAME(dw_piece_lanes)(void *context, ptrdiff_t chunk, int worker) {
    const struct NAME(dw) *e = context;
    const struct elq_conv *g = e->g;
    const struct NAME(lanes) from = {g->c, g->o, g->groups, e->x.data, e->x.s, g->h, g->w};
    const ptrdiff_t *s = e->x.s, size = g->c * LANES, x_row = e->columns * size, x_image = e->band_h * x_row;
    REAL *buffer = e->scratch + worker * e->scratch_size, *copy = buffer + e->x_size;
    REAL *sums = e->sums + chunk * e->blocks * e->size;
    memset(sums, 0, e->blocks * e->size * sizeof(REAL));
    for (ptrdiff_t unit = chunk * e->units / e->chunks; unit < (chunk + 1) * e->units / e->chunks; unit++) {
        if (elq_given_up()) return;
        struct NAME(unit) u = NAME(dw_unit)(e, unit);
        struct elq_rectangle r[5];
        int first_inside, count = elq_cut_band(r, &first_inside, &e->inside, u.p0, u.p0 + u.rows, g->q);
        for (int k = 0; k < count; k++) {
            ptrdiff_t row0 = r[k].p0 * g->stride_h - g->pad_h, column0 = r[k].q0 * g->stride_w - g->pad_w;
            struct NAME(unit) part = {u.n0, u.images, r[k].p0, r[k].p1 - r[k].p0, r[k].q0, r[k].q1 - r[k].q0};
            if (k == 0 && first_inside && e->there) {
                struct NAME(view) v = {e->x.data, s[2], s[3], s[3], LANES, 1};
                struct NAME(unit) few = part;
                few.images = 1;
                for (few.n0 = u.n0; few.n0 < u.n0 + u.images; few.n0++)
                    for (few.p0 = r[k].p0; few.p0 < r[k].p1; few.p0 += few.rows) {
                        few.rows = r[k].p1 - few.p0 < 4 ? r[k].p1 - few.p0 : 4;
                        NAME(dw_unit_lanes)(e, &few, &v,
                                            v.x + few.n0 * s[0] + (few.p0 * g->stride_h - g->pad_h) * s[2] +
                                                column0 * s[3],
                                            0, copy, sums);
                    }
                continue;
            }
            struct NAME(view) v = {buffer, x_row, size, LANES, e->images * x_image, 0};
            for (ptrdiff_t i = 0; i < u.images; i++)
                NAME(expand)(&from, buffer + i * x_image, x_row, v.block, u.n0 + i, row0,
                             (part.rows - 1) * g->stride_h + e->taps->span_h, column0,
                             (part.pixels - 1) * g->stride_w + e->taps->span_w);
            NAME(dw_unit_lanes)(e, &part, &v, buffer, x_image, copy, sums);
        }
    }
}

/* Add up the chunks of one block and put them where they belong. */
static void NAME(dw_finish_lanes)(void *context, ptrdiff_t block, int worker) {
    const struct NAME(dw) *e = context;
    const struct elq_conv *g = e->g;
    const ptrdiff_t *s = e->dw.s;
    const REAL *sum = NAME(dw_total)(e, block);
    (void)worker;
    for (int k = 0; k < e->taps->count; k++)
        for (ptrdiff_t c = 0; c < g->c; c++, sum += LANES)
            for (ptrdiff_t l = 0, o = block * LANES; l < LANES && o < g->groups * g->o; l++, o++)
                ((REAL *)e->dw.data)[o * s[0] + c * s[1] + e->taps->i[k] * s[2] + e->taps->j[k] * s[3]] = sum[l];
}

/* Set e->inside and e->there; -1 without memory. */
static int NAME(dw_place_lanes)(struct NAME(dw) * e) {
    const struct elq_conv *g = e->g;
    const struct NAME(lanes) from = {g->c, g->o, g->groups, e->x.data, e->x.s, g->h, g->w};
    e->inside = (struct elq_rectangle){0, g->p, 0, g->q};
    elq_shrink(&e->inside.p0, &e->inside.p1, g->h, g->stride_h, g->pad_h, e->taps->span_h);
    elq_shrink(&e->inside.q0, &e->inside.q1, g->w, g->stride_w, g->pad_w, e->taps->span_w);
    elq_keep_if_worth(&e->inside, g->stride_h > 1 || g->stride_w > 1, g->p, g->q);
    if (e->inside.p0 == e->inside.p1 || !NAME(readable)(&from)) return 0;
    e->there = elq_taps_copy(e->taps);
    if (!e->there) return -1;
    elq_taps_place(e->there, e->x.s[2] / e->x.s[3], e->x.s[3]);
    return 0;
}
