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

/* What x, v beside it, gives in a function of one number; numbers as infer/rows.h has them. */
static double function_of(const test *t, double x, ptrdiff_t o) {
    const float *a = t->s.numbers;
    const double gate = 1 / (1 + exp(-x));
    if (!strcmp(t->name, "clip")) return fmin(fmax(x, a[0]), a[1]);
    if (!strcmp(t->name, "leaky_relu")) return x < 0 ? a[0] * x : x;
    if (!strcmp(t->name, "prelu")) return x < 0 ? a[o] * x : x;
    if (!strcmp(t->name, "sigmoid")) return gate;
    if (!strcmp(t->name, "tanh")) return tanh(x);
    if (!strcmp(t->name, "hard_sigmoid")) return fmin(fmax(a[0] * x + a[1], 0), 1);
    if (!strcmp(t->name, "hard_swish")) return x * fmin(fmax(x + 3, 0), 6) / 6;
    if (!strcmp(t->name, "silu")) return x * gate;
    if (!strcmp(t->name, "gelu")) return x * erfc(-x * sqrt(0.5)) / 2;
    if (!strcmp(t->name, "gelu_tanh")) return x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x))) / 2;
    return x > 0 ? x : a[0] * expm1(x); /* elu */
}

/* Whether row or column k is in window number p of a pool, of `parts`. */
static int sees(const test *t, ptrdiff_t k, ptrdiff_t p, ptrdiff_t parts, ptrdiff_t length, int rows) {
    const elq_shape *g = &t->s.shape;
    if (t->name[1] == 'd') return k * parts < (p + 1) * length && (k + 1) * parts > p * length; /* adaptive */
    const ptrdiff_t first = rows ? p * g->stride_h - g->pad_h : p * g->stride_w - g->pad_w;
    return k >= first && k < first + (rows ? g->kh : g->kw);
}

/* Element (n, p, q, o) of y by its definition; floats rounded as the order of operations says. */
static double wanted(const test *t, ptrdiff_t n, ptrdiff_t p, ptrdiff_t q, ptrdiff_t o) {
    const elq_shape *g = &t->s.shape;
    const ptrdiff_t pixel = p * g->q + q, from = t->s.first_channel;
#define X(row, column, channel) get(t, t->x, ((n * g->h + (row)) * g->w + (column)) * g->c + (channel))
#define BOUNDED(v) fmin(fmax(v, t->s.f32.low), t->s.f32.high)
    if (!strcmp(t->name, "input")) return get(t, t->x, ((n * g->c + o) * g->h + p) * g->w + q);
    if (!strcmp(t->name, "input_u8"))
        return get(t, t->s.table, 256 * o + ((const uint8_t *)t->x)[((n * g->c + o) * g->h + p) * g->w + q]);
    if (!strcmp(t->name, "relu")) return fmax(X(p, q, o), 0);
    if (!strncmp(t->name, "add", 3) || !strncmp(t->name, "mul", 3)) {
        const double x = X(p, q, o), r = get(t, t->r, (t->name[3] ? n : (n * g->h + p) * g->w + q) * g->c + o);
        if (t->is_float) return BOUNDED((float)(t->name[0] == 'a' ? x + r : x * r));
        if (t->name[0] == 'm') return requantized(t, (int64_t)(x * r), 0);
        const elq_tail_i8 *i = &t->s.i8;
        const int64_t v = (int64_t)x * i->q_v + (int64_t)r * i->q_r + ((int64_t)1 << (i->s_add - 1));
        return clamp((double)(v >> i->s_add), i->lo_add, i->hi_add);
    }
    if (!strcmp(t->name, "scale_shift")) {
        if (t->is_float) return BOUNDED(t->s.f32.scale[o] * X(p, q, o) + t->s.f32.bias[o]);
        return requantized(t, (int64_t)X(p, q, o) * ((const int8_t *)t->s.weights)[o], o);
    }
    if (strstr(t->name, "pool")) {
        double most = -INFINITY, sum = 0;
        for (ptrdiff_t i = 0; i < g->h; i++)
            for (ptrdiff_t j = 0; j < g->w; j++) {
                if (!sees(t, i, p, g->p, g->h, 1) || !sees(t, j, q, g->q, g->w, 0)) continue;
                most = fmax(most, X(i, j, o)), sum += X(i, j, o);
            }
        if (t->name[0] == 'm') return most;
        if (!t->is_float) return requantized(t, (int64_t)sum, t->s.which ? t->s.which[pixel] : 0);
        return BOUNDED(t->s.numbers ? sum * t->s.numbers[pixel] : sum / (double)(g->kh * g->kw));
    }
    if (!strcmp(t->name, "lrn")) {
        double sum = 0;
        for (ptrdiff_t k = o - g->kw / 2; k < o - g->kw / 2 + g->kw; k++)
            if (k >= 0 && k < g->c) sum += X(p, q, k) * X(p, q, k);
        return X(p, q, o) * pow(t->s.numbers[2] + t->s.numbers[0] * sum, -t->s.numbers[1]);
    }
    if (!strcmp(t->name, "subsample")) return X(p * g->stride_h, q * g->stride_w, o);
    if (!strcmp(t->name, "pad")) {
        const ptrdiff_t i = p - g->pad_h, j = q - g->pad_w, c = o - from;
        return i < 0 || i >= g->h || j < 0 || j >= g->w || c < 0 || c >= g->c ? 0 : X(i, j, c);
    }
    if (!strcmp(t->name, "slice")) return X(p, q, o + from);
    if (!strcmp(t->name, "shuffle")) return X(p, q, o % g->kh * (g->c / g->kh) + o / g->kh);
    if (!strcmp(t->name, "concat")) {
        const ptrdiff_t c = o - from;
        if (c < 0 || c >= g->c) return t->is_float ? NAN : (int8_t)MARK; /* another part's */
        return t->s.table ? get(t, t->s.table, 128 + (ptrdiff_t)X(p, q, c)) : X(p, q, c);
    }
    if (!strncmp(t->name, "table", 5))
        return get(t, t->s.table, (t->name[5] ? 256 * o : 0) + 128 + (ptrdiff_t)X(p, q, o));
    if (strcmp(t->name, "flatten")) return function_of(t, X(p, q, o), o);
    return X(o / g->w % g->h, o % g->w, o / g->w / g->h);
#undef X
#undef BOUNDED
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

/* Which of the numbers of q and s each pixel of an average takes, or the share of each; NULL where all take one. */
static void draw_averages(test *t) {
    const ptrdiff_t pixels = t->s.shape.p * t->s.shape.q;
    if (t->name[0] == 'm' || (t->name[1] == 'v' && between(0, 1))) return;
    int32_t *which = take((size_t)pixels * 4, 4);
    float *numbers = take((size_t)pixels * 4, 4);
    for (ptrdiff_t i = 0; i < pixels; i++)
        which[i] = between(0, (int)t->s.shape.o - 1), numbers[i] = 1 / (float)between(1, 9);
    t->s.which = which, t->s.numbers = numbers;
}

/* How far a float may be from `right`: infer/functions.inc.h, and roundings that are counted. */
static double bound_of(const test *t, double right) {
    const double u = ldexp(1, -24);
    if (!t->is_float) return 0;
    if (strstr(t->name, "avg_pool")) return (double)(t->s.shape.h * t->s.shape.w + 2) * (1 + fabs(right)) * u;
    if (!strcmp(t->name, "lrn")) return 16 * u;
    if (!strcmp(t->name, "scale_shift")) return 4 * u;
    if (t->s.numbers || strstr(t->name, "s") || strstr(t->name, "tanh") || strstr(t->name, "elu")) return 8 * u;
    return 0;
}

static void check_rows(const elq_rows_entry *entry, int raw) {
    char name[64];
    snprintf(name, sizeof name, "%s", entry->name);
    if (strstr(name, "__")) *strstr(name, "__") = 0;
    test t = {.name = name, .is_float = !strcmp(strrchr(name, '_'), "_f32")};
    *strrchr(name, '_') = 0;
    const int is_float = t.is_float;
    raw &= !is_float && (!strcmp(name, "scale_shift") || strstr(name, "avg_pool") || strstr(name, "mul"));
    elq_shape *g = &t.s.shape;
    g->h = between(1, 9), g->w = between(1, 9), g->c = between(1, 40) * between(1, 9);
    g->p = g->h, g->q = g->w, g->o = g->c, g->kh = g->kw = g->stride_h = g->stride_w = 1;
    if (strstr(name, "adaptive")) {
        g->p = between(1, 10), g->q = between(1, 10);
    } else if (strstr(name, "pool")) {
        const int below = between(0, 2), right = between(0, 2);
        do {
            g->kh = between(1, 5), g->kw = between(1, 5), g->stride_h = between(1, 3), g->stride_w = between(1, 3);
            g->pad_h = between(0, (int)g->kh - 1), g->pad_w = between(0, (int)g->kw - 1);
            g->p = (g->h + g->pad_h + below - g->kh) / g->stride_h + 1;
            g->q = (g->w + g->pad_w + right - g->kw) / g->stride_w + 1;
        } while (g->h + g->pad_h + below < g->kh || g->w + g->pad_w + right < g->kw ||
                 (g->p - 1) * g->stride_h - g->pad_h >= g->h || (g->q - 1) * g->stride_w - g->pad_w >= g->w);
    } else if (!strcmp(name, "subsample")) {
        g->stride_h = g->stride_w = between(1, 4);
        g->p = (g->h + g->stride_h - 1) / g->stride_h, g->q = (g->w + g->stride_w - 1) / g->stride_w;
    } else if (!strcmp(name, "pad")) {
        t.s.first_channel = between(0, 5), g->pad_h = between(0, 3), g->pad_w = between(0, 3);
        g->p += g->pad_h + between(0, 2), g->q += g->pad_w + between(0, 2), g->o += t.s.first_channel + between(0, 5);
    } else if (!strcmp(name, "flatten")) {
        g->p = g->q = 1, g->o = g->h * g->w * g->c;
    } else if (!strcmp(name, "slice")) {
        t.s.first_channel = between(0, (int)g->c - 1), g->o = between(1, (int)(g->c - t.s.first_channel));
    } else if (!strcmp(name, "concat")) {
        t.s.first_channel = between(0, 5), g->o += t.s.first_channel + between(0, 5);
    } else if (!strcmp(name, "shuffle")) {
        g->kh = between(1, 5), g->c = g->o = g->kh * between(1, 40);
    } else if (!strcmp(name, "lrn")) {
        g->kw = between(1, 6);
    }
    const ptrdiff_t in = PICTURES * g->h * g->w * g->c, out = PICTURES * g->p * g->q * g->o;
    const ptrdiff_t beside = strstr(name, "_channels") ? PICTURES * g->c : in;
    const size_t width = is_float || raw ? 4 : 1;
    const int u8 = !strcmp(name, "input_u8");
    t.x = is_float && !u8 ? random_floats(in) : random_bytes(in, -128, 127);
    t.r = is_float ? random_floats(beside) : random_bytes(beside, -128, 127);
    if (strcmp(name, "concat") || (!is_float && between(0, 1)))
        t.s.table = is_float ? random_floats(256 * g->c) : random_bytes(256 * g->c, -128, 127);
    const float low = between(0, 1) ? -0.25f : -INFINITY, high = between(0, 1) ? 0.5f : INFINITY;
    t.s.f32 = (elq_tail_f32){random_floats(g->o), random_floats(g->o), low, high};
    t.s.weights = random_bytes(g->o, -64, 64);
    t.s.raw = raw;
    if (strstr(name, "pool")) {
        draw_averages(&t);
    } else if (is_float && strstr(entry->name, "__") && !strstr(name, "mul") && strcmp(name, "concat")) {
        float *numbers = random_floats(g->o + 1);
        if (!strcmp(name, "clip")) numbers[0] = -0.5f, numbers[1] = 0.25f;
        t.s.numbers = numbers;
    } else if (!strcmp(name, "lrn")) {
        float *numbers = random_floats(3);
        numbers[0] = 0.25f, numbers[1] = between(0, 1) ? 0.75f : 0.6f, numbers[2] = 1.5f;
        t.s.numbers = numbers;
    }
    int32_t *b = take((size_t)g->o * 4, 4), *q = take((size_t)g->o * 4, 4);
    uint8_t *s = take((size_t)g->o, 3);
    const int lo = between(0, 1) ? 0 : -128, hi = between(0, 1) ? 96 : 127;
    for (ptrdiff_t o = 0; o < g->o; o++) {
        b[o] = strstr(name, "mul") ? 0 : between(-3000, 3000);
        q[o] = (1 << 30) + (int32_t)(random_bits() % (1u << 30));
        s[o] = (uint8_t)(strstr(name, "mul") ? between(33, 62) : between(33, 44));
    }
    t.s.i8 = (elq_tail_i8){b,
                           q,
                           s,
                           random_bytes(g->o, lo, lo),
                           random_bytes(g->o, hi, hi),
                           strstr(name, "mul") ? between(0, 16) : between(0, 8),
                           between(0, (1 << 22) - 1),
                           between(0, (1 << 22) - 1),
                           between(1, 31),
                           lo,
                           hi};
    t.y = take((size_t)out * width, width);

    const ptrdiff_t all = PICTURES * g->p * (strstr(name, "pool") ? g->q : 1), middle = between(0, (int)all);
    entry->rows(&t.s, t.x, t.r, t.y, middle, all);
    entry->rows(&t.s, t.x, t.r, t.y, 0, middle);
    for (ptrdiff_t i = 0; i < out; i++) {
        const double right = wanted(&t, i / g->o / g->q / g->p, i / g->o / g->q % g->p, i / g->o % g->q, i % g->o);
        const double got = raw ? ((int32_t *)(void *)t.y)[i] : get(&t, t.y, i);
        if (fabs(got - right) <= bound_of(&t, right) || (got != got && right != right)) continue;
        printf("%s: element %td is %.9g, wanted %.9g\n", entry->name, i, got, right);
        failures++;
        break;
    }
    if (!release_all()) printf("%s: a canary is gone\n", entry->name), failures++;
    checks++;
}

/* -------------------------------------------------------------------------------------------------- program */

enum { C = 24, H = 11, W = 9, CLASSES = 10, MOST = 23, OUT = CLASSES * 4 };

static elq_rows *row_of(const char *name) { return elq_rows_find(elq_cpu_features(), name)->rows; }

/* input, conv, conv that adds the input in place, average, linear: what a picture gives must not depend on the call. */
static void check_program(int is_float) {
    const char *act = is_float ? "f32" : "i8";
    const ptrdiff_t big = (H * W * C * (is_float ? 4 : 1) + ELQ_ALIGN - 1) / ELQ_ALIGN * ELQ_ALIGN;
    const elq_place input = {ELQ_INPUT, 0}, output = {ELQ_OUTPUT, 0}, low = {ELQ_ARENA, 0}, high = {ELQ_ARENA, big};
    const elq_shape picture = {H, W, C, H, W, C, 1, 1, 1, 1, 0, 0, 1, 1, 1};
    elq_instruction instructions[] = {
        {.rows = row_of(is_float ? "input_u8_f32" : "input_u8_i8"), .shape = picture, .x = input, .y = low, .units = H},
        {.shape = {H, W, C, H, W, C, 3, 3, 1, 1, 1, 1, 1, 1, 1}, .x = low, .y = high},
        {.shape = {H, W, C, H, W, C, 3, 3, 1, 1, 1, 1, 1, 1, 1}, .x = high, .residual = low, .y = low},
        {.rows = row_of(is_float ? "avg_pool_f32" : "avg_pool_i8"),
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
        s->f32 = (elq_tail_f32){random_floats(o), random_floats(o), k == 2 ? 0 : -INFINITY, INFINITY};
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
    for (int k = 0; elq_rows_number(k); k++) {
        const elq_rows_entry *entry = elq_rows_number(k);
        if (!elq_isa_runs(elq_cpu_features(), entry->isa)) {
            printf("elq_rows_%s skipped: this CPU lacks %s\n", entry->name, elq_isa_name(entry->isa));
            continue;
        }
        for (int i = 0; i < 20; i++) check_rows(entry, i % 2);
    }
    if (elq_rows_find(elq_cpu_features(), "silu") || !elq_rows_find(elq_isa_needs(ELQ_GENERIC), "silu_f32")) failures++;
    for (int is_float = 0; is_float < 2; is_float++) check_program(is_float);
    printf("%d checks, %d failures\n", checks, failures);
    return failures > 0;
}
