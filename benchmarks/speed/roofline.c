/* What one core of this machine can do at most, for roofline.py, which compiles this with the flags of an
 * instruction set: multiply-adds with every operand in registers, and reading memory. BYTES is the vector's size. */
#include <stddef.h>
#include <time.h>

typedef float vec __attribute__((vector_size(BYTES)));
typedef float loose __attribute__((vector_size(BYTES), aligned(4), may_alias));

/* The processor time of this thread: of a busy machine, only our share counts. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

#define EACH(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)

/* Billions of multiply-adds a second: twelve sums, more than latency times throughput of any FMA unit of today. */
double fma_limit(long steps, float x) {
#define DECLARE(i) vec a##i = {0};
#define STEP(i) a##i = a##i * b + c;
#define PIN(i) __asm__ volatile("" : "+" REGISTER(a##i)); /* keeps the compiler from computing the end directly */
#define TOTAL(i) total += a##i;
    EACH(DECLARE)
    vec b = {0}, c = {0}, total = {0};
    b += x, c += x;
    double start = now();
    for (long k = 0; k < steps; k++) {
        EACH(STEP)
        EACH(PIN)
    }
    double seconds = now() - start;
    EACH(TOTAL)
    volatile float keep = total[0];
    (void)keep;
    return 12.0 * (BYTES / sizeof(float)) * steps / seconds / 1e9;
}

/* Billions of bytes a second read from `floats` elements, a multiple of 4 vectors, over and over. */
double read_limit(const float *p, long floats, long times) {
    enum { LANES = BYTES / sizeof(float) };
    vec a = {0}, b = {0}, c = {0}, d = {0};
    double start = now();
    for (long k = 0; k < times; k++) {
        for (const float *q = p; q < p + floats; q += 4 * LANES) {
            a += *(const loose *)q;
            b += *(const loose *)(q + LANES);
            c += *(const loose *)(q + 2 * LANES);
            d += *(const loose *)(q + 3 * LANES);
        }
        __asm__ volatile("" ::: "memory");
    }
    double seconds = now() - start;
    volatile float keep = (a + b + c + d)[0];
    (void)keep;
    return 4.0 * floats * times / seconds / 1e9;
}
