/* The inference kernels alone: see infer_kernels.py, which compiles this beside them. Arguments: a word that a kernel's
 * name must contain, one that the layer's must ("" for all), pictures, milliseconds each. Prints lines of six columns:
 * layer, kernel, microseconds a picture, GMAC/s, share of the limit in registers (of the byte dot product for int8
 * activations, of float multiply-adds for float ones), tasks. */
#include "common/cpu.h"
#include "infer/kernels.h"
#include "infer/limit.h"
#include "common/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    const char *name;
    int h, w, c, o, k, stride, pad, groups;
} layer;

static const layer LAYERS[] = {
    {"resnet20 first", 32, 32, 3, 16, 3, 1, 1, 1},
    {"resnet20 1", 32, 32, 16, 16, 3, 1, 1, 1},
    {"resnet20 1 to 2", 32, 32, 16, 32, 3, 2, 1, 1},
    {"resnet20 2", 16, 16, 32, 32, 3, 1, 1, 1},
    {"resnet20 2 to 3", 16, 16, 32, 64, 3, 2, 1, 1},
    {"resnet20 3", 8, 8, 64, 64, 3, 1, 1, 1},
    {"resnet20 fc", 1, 1, 64, 10, 1, 1, 0, 1},
    {"resnet18 first", 224, 224, 3, 64, 7, 2, 3, 1},
    {"resnet18 1", 56, 56, 64, 64, 3, 1, 1, 1},
    {"resnet18 1 to 2", 56, 56, 64, 128, 3, 2, 1, 1},
    {"resnet18 1 to 2, 1x1", 56, 56, 64, 128, 1, 2, 0, 1},
    {"resnet18 2", 28, 28, 128, 128, 3, 1, 1, 1},
    {"resnet18 2 to 3", 28, 28, 128, 256, 3, 2, 1, 1},
    {"resnet18 3", 14, 14, 256, 256, 3, 1, 1, 1},
    {"resnet18 3 to 4", 14, 14, 256, 512, 3, 2, 1, 1},
    {"resnet18 4", 7, 7, 512, 512, 3, 1, 1, 1},
    {"resnet18 fc", 1, 1, 512, 1000, 1, 1, 0, 1},
    {"1x1", 28, 28, 256, 256, 1, 1, 0, 1},
    {"8 groups", 28, 28, 128, 128, 3, 1, 1, 8},
    {"depthwise", 28, 28, 128, 128, 3, 1, 1, 128},
    {"fc 4096", 1, 1, 4096, 4096, 1, 1, 0, 1},
};

enum { MOST_THREADS = ELQ_MAX_THREADS };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *take(size_t bytes) {
    void *p = aligned_alloc(ELQ_ALIGN, (bytes + ELQ_ALIGN) / ELQ_ALIGN * ELQ_ALIGN);
    if (!p) exit(2);
    for (size_t k = 0; k < bytes; k++) ((unsigned char *)p)[k] = (unsigned char)(rand() >> 5);
    return p;
}

/* GMAC/s of one thread with every operand in a register, the best of many tries; 0 for plain C. */
static double limit(elq_features features, enum elq_activations activations) {
    const elq_limit *l = elq_infer_limit(features, activations);
    double best = 0;
    for (int round = 0; l && round < 20; round++) {
        const double begin = now();
        l->run(100000);
        const double rate = 100000.0 * (double)l->macs / (now() - begin) / 1e9;
        if (rate > best) best = rate;
    }
    return best;
}

/* ---- one kernel, one layer */

typedef struct {
    const elq_kernel *kernel;
    elq_conv conv;
    void *scratch[MOST_THREADS];
} call;

static void task(void *context, ptrdiff_t index, int worker) {
    const call *c = context;
    c->kernel->run(&c->conv, index, c->scratch[worker]);
}

static void measure(const elq_kernel *kernel, const layer *l, ptrdiff_t n, double seconds, double most) {
    elq_shape g = {l->h, l->w, l->c, 0, 0, l->o, l->k, l->k, l->stride, l->stride, l->pad, l->pad, 1, 1, l->groups};
    g.p = (g.h + 2 * g.pad_h - g.kh) / g.stride_h + 1, g.q = (g.w + 2 * g.pad_w - g.kw) / g.stride_w + 1;
    if (!kernel->runs(&g)) return;
    const int is_float = elq_of_floats(kernel->activations);
    const size_t item = is_float ? 4 : 1, depth = (size_t)(g.kh * g.kw * (g.c / g.groups));
    const size_t row = kernel->weights == ELQ_T2   ? (2 * depth + 7) / 8
                       : kernel->weights == ELQ_B1 ? (depth + 7) / 8
                                                   : depth * item;
    unsigned char *rows = take(row * (size_t)g.o);
    for (size_t k = 0; kernel->weights == ELQ_T2 && k < row * (size_t)g.o; k++)
        rows[k] &= (unsigned char)(rows[k] << 1 | 0x55); /* no reserved code */
    float *x = take((size_t)(n * g.h * g.w * g.c) * item), *reals = take((size_t)g.o * 8);
    for (ptrdiff_t k = 0; is_float && k < n * g.h * g.w * g.c; k++) x[k] = (float)(rand() % 17 - 8);
    int32_t *b = take((size_t)g.o * 4), *q = take((size_t)g.o * 4);
    uint8_t *s = take((size_t)g.o);
    int8_t *lo = take((size_t)g.o), *hi = take((size_t)g.o);
    for (ptrdiff_t o = 0; o < g.o; o++) {
        b[o] = 0, q[o] = 1 << 30, s[o] = 36, lo[o] = 0, hi[o] = 127, reals[o] = 1, reals[g.o + o] = 0;
    }
    const elq_tail_f32 f32 = {reals, reals + g.o, 0, INFINITY};
    const elq_tail_i8 i8 = {b, q, s, lo, hi, 0, 1 << 20, 1 << 20, 20, 0, 127};
    const size_t y_item = kernel->activations == ELQ_I8 ? 1 : 4;
    void *packed = take(kernel->weight_bytes(&g)), *y = take((size_t)(n * g.p * g.q * g.o) * y_item);
    kernel->pack(&g, rows, packed);
    call c = {kernel, {g, n, x, NULL, y, packed, is_float ? (const void *)&f32 : (const void *)&i8}, {0}};
    for (int k = 0; k < elq_num_threads(); k++) c.scratch[k] = take(kernel->scratch_bytes(&g));
    const ptrdiff_t tasks = kernel->tasks(&g, n);
    double best = 1e9;
    for (const double end = now() + seconds; now() < end;) {
        const double begin = now();
        elq_parallel_for(tasks, task, &c);
        const double took = now() - begin;
        if (took < best) best = took;
    }
    const double macs = (double)(g.p * g.q * g.o) * (double)depth, rate = macs * (double)n / best / 1e9;
    printf("%-22s %-30s %10.2f %8.1f %6.2f  %td tasks\n", l->name, kernel->name, best / (double)n * 1e6, rate,
           most > 0 ? rate / most : 0, tasks);
    for (int k = 0; k < elq_num_threads(); k++) free(c.scratch[k]);
    free(rows), free(x), free(reals), free(b), free(q), free(s), free(lo), free(hi), free(packed), free(y);
}

int main(int count, char **words) {
    if (count != 5) return 2;
    const elq_features features = elq_cpu_features();
    const ptrdiff_t n = atol(words[3]);
    const double limits[] = {limit(features, ELQ_F32), limit(features, ELQ_I8)}; /* of float and of int8 activations */
    printf("limits of one thread: float %.1f GMAC/s, int8 %.1f GMAC/s\n", limits[0], limits[1]);
    for (size_t k = 0; k < sizeof LAYERS / sizeof *LAYERS; k++)
        for (int i = 0; elq_infer_kernel(i); i++) {
            const elq_kernel *kernel = elq_infer_kernel(i);
            if (!strstr(kernel->name, words[1]) || !strstr(LAYERS[k].name, words[2])) continue;
            const double most = limits[!elq_of_floats(kernel->activations)] * elq_num_threads();
            if (elq_isa_runs(features, kernel->isa)) measure(kernel, &LAYERS[k], n, atof(words[4]) / 1e3, most);
        }
    return 0;
}
