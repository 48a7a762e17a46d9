/* The instructions of a program that have no kernel (infer/rows.h) beside plain loops, then a whole program in every way to
 * schedule it, without Python: for sanitizers and for emulated CPUs (tests/c/run.sh). */
#include "buffers.h"
#include "common/cpu.h"
#include "infer/program.h"
#include "infer/rows.h"
#include "common/pool.h"

#include <math.h>
#include <stdio.h>

static int failures, checks;

enum { PICTURES = 3 };

/* ----------------------------------------------------------------------------------------------------- rows */

typedef struct {
    const char *name;
    elq_instruction s;
    int is_float;
    char *x, *r, *y;
} test;

static double get(const test *t, const void *p, ptrdiff_t i) {
    return t->is_float ? ((const float *)p)[i] : ((const int8_t *)p)[i];
}

static int clamp(double v, int lo, int hi) { return (int)fmin(fmax(v, lo), hi); }

/* floor((a 2^l q + 2^(s - 1)) / 2^s), in integers. */
static double requantized(const test *t, int64_t sum, ptrdiff_t o) {
    const elq_tail_i8 *i = &t->s.i8;
    const int64_t a = sum + i->b[o];
    if (t->s.raw) return (double)a;
    return clamp((double)((a * ((int64_t)1 << i->l) * i->q[o] + ((int64_t)1 << (i->s[o] - 1))) >> i->s[o]), i->lo[o],
                 i->hi[o]);
}

/* Element (n, p, q, o) of y by its definition; floats rounded as the order of operations says. */
static double wanted(const test *t, ptrdiff_t n, ptrdiff_t p, ptrdiff_t q, ptrdiff_t o) {
    const elq_shape *g = &t->s.shape;
#define X(i, j, c) get(t, t->x, ((n * g->h + (i)) * g->w + (j)) * g->c + (c))
    if (!strcmp(t->name, "input")) return get(t, t->x, ((n * g->c + o) * g->h + p) * g->w + q);
    if (!strcmp(t->name, "input_u8"))
        return get(t, t->s.table, 256 * o + ((const uint8_t *)t->x)[((n * g->c + o) * g->h + p) * g->w + q]);
    if (!strcmp(t->name, "relu")) return fmax(X(p, q, o), 0);
    if (!strcmp(t->name, "add")) {
        const double r = get(t, t->r, ((n * g->h + p) * g->w + q) * g->c + o);
        if (t->is_float) return fmax((float)(X(p, q, o) + r), t->s.f32.low);
        const elq_tail_i8 *i = &t->s.i8;
        const int64_t v = (int64_t)X(p, q, o) * i->q_v + (int64_t)r * i->q_r + ((int64_t)1 << (i->s_add - 1));
        return clamp((double)(v >> i->s_add), i->lo_add, i->hi_add);
    }
    if (!strcmp(t->name, "scale_shift")) {
        if (t->is_float) return fmax(t->s.f32.scale[o] * X(p, q, o) + t->s.f32.bias[o], t->s.f32.low);
        return requantized(t, (int64_t)X(p, q, o) * ((const int8_t *)t->s.weights)[o], o);
    }
    if (!strcmp(t->name, "max_pool") || !strcmp(t->name, "avg_pool")) {
        double most = -INFINITY, sum = 0;
        for (ptrdiff_t i = 0; i < g->kh; i++)
            for (ptrdiff_t j = 0; j < g->kw; j++) {
                const double v = X(p * g->stride_h + i, q * g->stride_w + j, o);
                most = fmax(most, v), sum += v;
            }
        if (t->name[0] == 'm') return most;
        return t->is_float ? fmax(sum / (double)(g->kh * g->kw), t->s.f32.low) : requantized(t, (int64_t)sum, 0);
    }
    if (!strcmp(t->name, "subsample")) return X(p * g->stride_h, q * g->stride_w, o);
    if (!strcmp(t->name, "pad")) {
        const ptrdiff_t i = p - g->pad_h, j = q - g->pad_w, c = o - t->s.first_channel;
        return i < 0 || i >= g->h || j < 0 || j >= g->w || c < 0 || c >= g->c ? 0 : X(i, j, c);
    }
    return X(o / g->w % g->h, o % g->w, o / g->w / g->h); /* flatten */
#undef X
}

static void *random_floats(ptrdiff_t count) {
    float *p = take((size_t)count * 4, 4);
    for (ptrdiff_t i = 0; i < count; i++) p[i] = real();
    return p;
}

static void *random_bytes(ptrdiff_t count, int least, int most) {
    int8_t *p = take((size_t)count, 1);
    for (ptrdiff_t i = 0; i < count; i++) p[i] = (int8_t)between(least, most);
    return p;
}

static void check_rows(const char *name, int is_float, int raw) {
    test t = {.name = name, .is_float = is_float};
    elq_shape *g = &t.s.shape;
    char full[64];
    snprintf(full, sizeof full, "%s_%s", name, is_float ? "f32" : "i8");
    elq_rows *rows = elq_rows_find(full);
    if (!rows) exit(2);
    g->h = between(1, 9), g->w = between(1, 9), g->c = between(1, 40) * between(1, 9);
    g->p = g->h, g->q = g->w, g->o = g->c, g->kh = g->kw = g->stride_h = g->stride_w = 1;
    if (strstr(name, "pool")) {
        g->kh = between(1, (int)g->h), g->kw = between(1, (int)g->w), g->stride_h = between(1, 3),
        g->stride_w = between(1, 3);
        g->p = (g->h - g->kh) / g->stride_h + 1, g->q = (g->w - g->kw) / g->stride_w + 1;
    } else if (!strcmp(name, "subsample")) {
        g->stride_h = g->stride_w = between(1, 4);
        g->p = (g->h + g->stride_h - 1) / g->stride_h, g->q = (g->w + g->stride_w - 1) / g->stride_w;
    } else if (!strcmp(name, "pad")) {
        t.s.first_channel = between(0, 5), g->pad_h = between(0, 3), g->pad_w = between(0, 3);
        g->p += g->pad_h + between(0, 2), g->q += g->pad_w + between(0, 2), g->o += t.s.first_channel + between(0, 5);
    } else if (!strcmp(name, "flatten")) {
        g->p = g->q = 1, g->o = g->h * g->w * g->c;
    }
    const ptrdiff_t in = PICTURES * g->h * g->w * g->c, out = PICTURES * g->p * g->q * g->o;
    const size_t width = is_float || raw ? 4 : 1;
    const int u8 = !strcmp(name, "input_u8");
    t.x = is_float && !u8 ? random_floats(in) : random_bytes(in, -128, 127);
    t.r = is_float ? random_floats(in) : random_bytes(in, -128, 127);
    t.s.table = is_float ? random_floats(256 * g->c) : random_bytes(256 * g->c, -128, 127);
    t.s.f32 = (elq_tail_f32){random_floats(g->o), random_floats(g->o), between(0, 1) ? 0 : -INFINITY};
    t.s.weights = random_bytes(g->o, -64, 64);
    t.s.raw = raw;
    int32_t *b = take((size_t)g->o * 4, 4), *q = take((size_t)g->o * 4, 4);
    uint8_t *s = take((size_t)g->o, 3);
    const int lo = between(0, 1) ? 0 : -128;
    for (ptrdiff_t o = 0; o < g->o; o++) {
        b[o] = between(-3000, 3000), q[o] = (1 << 30) + (int32_t)(random_bits() % (1u << 30));
        s[o] = (uint8_t)between(33, 44);
    }
    t.s.i8 = (elq_tail_i8){b,
                           q,
                           s,
                           random_bytes(g->o, lo, lo),
                           random_bytes(g->o, 127, 127),
                           between(0, 8),
                           between(0, (1 << 22) - 1),
                           between(0, (1 << 22) - 1),
                           between(1, 31),
                           lo,
                           127};
    t.y = take((size_t)out * width, width);

    const ptrdiff_t all = PICTURES * g->p * (strstr(name, "pool") ? g->q : 1), middle = between(0, (int)all);
    rows(&t.s, t.x, t.r, t.y, middle, all);
    rows(&t.s, t.x, t.r, t.y, 0, middle);
    for (ptrdiff_t i = 0; i < out; i++) {
        const double right = wanted(&t, i / g->o / g->q / g->p, i / g->o / g->q % g->p, i / g->o % g->q, i % g->o);
        const double got = raw ? ((int32_t *)(void *)t.y)[i] : get(&t, t.y, i);
        double bound = 0; /* a sum of kh * kw numbers below 1, its product; a product and a sum */
        if (is_float && !strcmp(name, "avg_pool")) bound = ldexp((double)(g->kh * g->kw + 2), -24);
        if (is_float && !strcmp(name, "scale_shift")) bound = ldexp(4, -24);
        if (fabs(got - right) <= bound) continue;
        printf("%s: element %td is %.9g, wanted %.9g\n", full, i, got, right);
        failures++;
        break;
    }
    if (!release_all()) printf("%s: a canary is gone\n", full), failures++;
    checks++;
}

/* -------------------------------------------------------------------------------------------------- program */

enum { C = 24, H = 11, W = 9, CLASSES = 10, MOST = 23, OUT = CLASSES * 4 };

/* input, conv, conv that adds the input in place, average, linear: what a picture gives must not depend on the call. */
static void check_program(int is_float) {
    const char *act = is_float ? "f32" : "i8";
    const ptrdiff_t big = (H * W * C * (is_float ? 4 : 1) + ELQ_ALIGN - 1) / ELQ_ALIGN * ELQ_ALIGN;
    const elq_place input = {ELQ_INPUT, 0}, output = {ELQ_OUTPUT, 0}, low = {ELQ_ARENA, 0}, high = {ELQ_ARENA, big};
    const elq_shape picture = {H, W, C, H, W, C, 1, 1, 1, 1, 0, 0, 1, 1, 1};
    elq_instruction instructions[] = {
        {.rows = elq_rows_find(is_float ? "input_u8_f32" : "input_u8_i8"),
         .shape = picture,
         .x = input,
         .y = low,
         .units = H},
        {.shape = {H, W, C, H, W, C, 3, 3, 1, 1, 1, 1, 1, 1, 1}, .x = low, .y = high},
        {.shape = {H, W, C, H, W, C, 3, 3, 1, 1, 1, 1, 1, 1, 1}, .x = high, .residual = low, .y = low},
        {.rows = elq_rows_find(is_float ? "avg_pool_f32" : "avg_pool_i8"),
         .shape = {H, W, C, 1, 1, C, H, W, 1, 1, 0, 0, 1, 1, 1},
         .x = low,
         .y = high,
         .units = 1},
        {.shape = {1, 1, C, 1, 1, CLASSES, 1, 1, 1, 1, 0, 0, 1, 1, 1}, .x = high, .y = output},
    };
    enum { COUNT = sizeof instructions / sizeof *instructions };
    elq_program program = {instructions, COUNT, H * W * C, OUT, 2 * big, 0};
    for (int k = 0; k < COUNT; k++) {
        elq_instruction *s = &instructions[k];
        const ptrdiff_t o = s->shape.o, row = (s->shape.kh * s->shape.kw * C + 3) / 4;
        int32_t *b = take((size_t)o * 4, 4), *q = take((size_t)o * 4, 4);
        uint8_t *shift = take((size_t)o, 3), *codes = take((size_t)(o * row), 1);
        for (ptrdiff_t i = 0; i < o; i++) b[i] = between(-500, 500), q[i] = INT32_MAX - between(0, 1000), shift[i] = 36;
        s->f32 = (elq_tail_f32){random_floats(o), random_floats(o), k == 2 ? 0 : -INFINITY};
        s->i8 = (elq_tail_i8){b,  q, shift, random_bytes(o, -128, -128), random_bytes(o, 127, 127), 0, 1 << 20, 1 << 20,
                              20, 0, 127};
        if (k == 0) s->table = is_float ? random_floats(256 * C) : random_bytes(256 * C, -128, 127);
        if (s->rows) continue;
        for (ptrdiff_t i = 0; i < o * row; i++) {
            codes[i] = (uint8_t)(random_bits() & 0x55); /* a field is 0 or 1, and -1 where the bit above is set too */
            codes[i] |= (uint8_t)((codes[i] << 1) & random_bits());
        }
        const enum elq_activations kind = is_float ? ELQ_F32 : k == COUNT - 1 ? ELQ_I8_SUMS : ELQ_I8;
        s->kernel = elq_infer_select(elq_cpu_features(), kind, ELQ_T2, &s->shape);
        void *packed = take(s->kernel->weight_bytes(&s->shape), 0);
        s->kernel->pack(&s->shape, codes, packed);
        s->weights = packed;
        const size_t scratch = s->kernel->scratch_bytes(&s->shape);
        program.scratch_bytes = scratch > program.scratch_bytes ? scratch : program.scratch_bytes;
    }
    const char *x = random_bytes(MOST * program.input_bytes, -128, 127);
    char *alone = take(MOST * OUT, 0);
    const int kept = buffer_count;
    for (int k = 0; k < MOST; k++) {
        const elq_schedule schedule = elq_program_schedule(&program, 1, 1 << 20, 0);
        void *memory = take(schedule.bytes, 0);
        elq_program_run(&program, &schedule, x + k * program.input_bytes, alone + k * OUT, memory, NULL, NULL);
        release_after(kept);
    }
    for (int n = 1; n <= MOST; n++)
        for (int way = 0; way < 4; way++, checks++) { /* caches of any size, and the profile's schedule */
            double seconds[COUNT] = {0};
            const ptrdiff_t budget = program.arena_bytes * (const int[]){1, 3, 100, 5}[way];
            const elq_schedule schedule = elq_program_schedule(&program, n, budget, way == 3);
            void *memory = take(schedule.bytes, 0), *y = take((size_t)n * OUT, 4);
            elq_program_run(&program, &schedule, x, y, memory, way == 3 ? seconds : NULL, NULL);
            if (memcmp(y, alone, (size_t)n * OUT) || !release_after(kept)) {
                printf("%s: %d pictures in chunks of %td, alone %d: other bits, or a canary is gone\n", act, n,
                       schedule.chunk, schedule.alone);
                failures++;
            }
        }
    if (!release_all()) printf("%s: a canary of the program is gone\n", act), failures++;
}

int main(void) {
    static const char *const NAMES[] = {"input",    "input_u8", "relu",      "add", "scale_shift",
                                        "max_pool", "avg_pool", "subsample", "pad", "flatten"};
    for (size_t k = 0; k < sizeof NAMES / sizeof *NAMES; k++)
        for (int i = 0; i < 30; i++) {
            const int is_float = i % 2, sums = !strcmp(NAMES[k], "scale_shift") || !strcmp(NAMES[k], "avg_pool");
            check_rows(NAMES[k], is_float, sums && !is_float && i % 4 == 0);
        }
    for (int is_float = 0; is_float < 2; is_float++) check_program(is_float);
    printf("%d checks, %d failures\n", checks, failures);
    return failures > 0;
}
