/* The ladder of docs/kernels/ladder.md: one convolution, 3x3 from 64 to 64 channels on 56x56 pixels, ternary weights and
 * int8 activations, from the definition to a kernel that is nearly the shipped one. See ladder.py, which compiles this,
 * checks every rung against the first and times it.
 *
 * x is H W C (the first two rungs: C H W), y the int32 sums P Q O (O P Q), rows the codes as a file has them: 2 bits
 * each, O rows of K in the order KH KW C (C KH KW); a code is the signed number of its two bits, -1, 0 or 1. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { H = 56, W = 56, C = 64, O = 64, R = 3, K = R * R * C, RUN = R * C };
enum { PITCH = (W + 2) * C, BAND = (H + 2) * PITCH };
enum { LANES = 8, STEPS = K / 4, PIXELS = 4, MOST_STEPS = 64, ALIGN = 64 };

static inline int code(const uint8_t *rows, ptrdiff_t o, ptrdiff_t k) {
    return (int8_t)(uint8_t)(rows[(o * K + k) / 4] >> (k % 4 * 2) << 6) >> 6;
}

/* ---- 1: the definition */

static void definition(const int8_t *x, const void *rows, int32_t *y, uint8_t *band) {
    (void)band;
    for (int o = 0; o < O; o++)
        for (int p = 0; p < H; p++)
            for (int q = 0; q < W; q++) {
                int32_t sum = 0;
                for (int c = 0; c < C; c++)
                    for (int i = 0; i < R; i++)
                        for (int j = 0; j < R; j++) {
                            const int row = p + i - 1, column = q + j - 1;
                            if (row < 0 || row >= H || column < 0 || column >= W) continue;
                            sum += code(rows, o, (c * R + i) * R + j) * x[(c * H + row) * W + column];
                        }
                y[(o * H + p) * W + q] = sum;
            }
}

/* ---- 2: the same loops; every code was unpacked once, to an int8 */

static void to_bytes(const uint8_t *rows, void *weights) {
    for (int o = 0; o < O; o++)
        for (int k = 0; k < K; k++) ((int8_t *)weights)[o * K + k] = (int8_t)code(rows, o, k);
}

static void unpacked_once(const int8_t *x, const void *weights, int32_t *y, uint8_t *band) {
    (void)band;
    const int8_t *w = weights;
    for (int o = 0; o < O; o++)
        for (int p = 0; p < H; p++)
            for (int q = 0; q < W; q++) {
                int32_t sum = 0;
                for (int c = 0; c < C; c++)
                    for (int i = 0; i < R; i++)
                        for (int j = 0; j < R; j++) {
                            const int row = p + i - 1, column = q + j - 1;
                            if (row < 0 || row >= H || column < 0 || column >= W) continue;
                            sum += w[o * K + (c * R + i) * R + j] * x[(c * H + row) * W + column];
                        }
                y[(o * H + p) * W + q] = sum;
            }
}

/* ---- 3 and 4: channels innermost, so that neighbours in the loop are neighbours in memory and a kernel row is one run;
 * the border is copied once, not tested. The compiler makes vectors of the inner loop: SSE2's, then AVX2's. */

static uint8_t *bordered(const int8_t *x, uint8_t *band, uint8_t flip) {
    memset(band, flip, BAND);
    for (int h = 0; h < H; h++)
        for (int k = 0; k < W * C; k++) band[(h + 1) * PITCH + C + k] = (uint8_t)x[h * W * C + k] ^ flip;
    return band;
}

static inline __attribute__((always_inline)) void dot_products(const int8_t *x, const int8_t *w, int32_t *y,
                                                               uint8_t *band) {
    const int8_t *b = (const int8_t *)bordered(x, band, 0);
    for (int p = 0; p < H; p++)
        for (int q = 0; q < W; q++)
            for (int o = 0; o < O; o++) {
                int32_t sum = 0;
                for (int i = 0; i < R; i++) {
                    const int8_t *run = b + (p + i) * PITCH + q * C, *weights = w + o * K + i * RUN;
                    for (int k = 0; k < RUN; k++) sum += weights[k] * run[k];
                }
                y[(p * W + q) * O + o] = sum;
            }
}

static void channels_innermost(const int8_t *x, const void *w, int32_t *y, uint8_t *band) {
    dot_products(x, w, y, band);
}

#ifdef __x86_64__
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))
#define INLINE static inline AVX2 __attribute__((always_inline))

static AVX2 void channels_innermost_avx2(const int8_t *x, const void *w, int32_t *y, uint8_t *band) {
    dot_products(x, w, y, band);
}

/* ---- 5: a vector of outputs shares four bytes of x; vpmaddubsw multiplies 32 bytes, one operand unsigned, so the band
 * has x + 128 and 128 * sum of w is taken off. Panel: [8 outputs][step][output][4 k]. */

typedef struct {
    int8_t panel[O * K];
    int32_t excess[O]; /* 128 * sum of w */
} panels;

static void to_panels(const uint8_t *rows, void *weights) {
    panels *to = weights;
    memset(to->excess, 0, sizeof to->excess);
    for (int o = 0; o < O; o++)
        for (int k = 0; k < K; k++) {
            const int w = code(rows, o, k);
            to->panel[((o / LANES * STEPS + k / 4) * LANES + o % LANES) * 4 + k % 4] = (int8_t)w;
            to->excess[o] += 128 * w;
        }
}

INLINE __m256i four_bytes(const uint8_t *from) {
    int32_t four;
    memcpy(&four, from, 4);
    return _mm256_set1_epi32(four);
}

INLINE __m256i load(const void *from) { return _mm256_loadu_si256(from); }
INLINE __m256i wide(__m256i sums) { return _mm256_madd_epi16(sums, _mm256_set1_epi16(1)); }

INLINE void store(int32_t *y, __m256i sums, const int32_t *excess) {
    _mm256_storeu_si256((__m256i *)y, _mm256_sub_epi32(sums, load(excess)));
}

static AVX2 void outputs_as_vectors(const int8_t *x, const void *weights, int32_t *y, uint8_t *band) {
    const panels *w = weights;
    bordered(x, band, 0x80);
    for (int p = 0; p < H; p++)
        for (int q = 0; q < W; q++)
            for (int o = 0; o < O; o += LANES) {
                const int8_t *panel = w->panel + o * K;
                __m256i sums = _mm256_setzero_si256();
                for (int i = 0; i < R; i++) {
                    const uint8_t *run = band + (p + i) * PITCH + q * C;
                    for (int k = 0; k < RUN; k += 4, panel += 4 * LANES)
                        sums = _mm256_add_epi32(sums, wide(_mm256_maddubs_epi16(four_bytes(run + k), load(panel))));
                }
                store(y + (p * W + q) * O + o, sums, w->excess + o);
            }
}

/* ---- 6: four pixels times two vectors of outputs stay in registers: a load of weights serves four products, one of x two */

#define TILE(step)                                                                                                     \
    do {                                                                                                               \
        const __m256i w0 = load(first), w1 = load(second);                                                             \
        const __m256i x0 = four_bytes(run), x1 = four_bytes(run + C), x2 = four_bytes(run + 2 * C),                    \
                      x3 = four_bytes(run + 3 * C);                                                                    \
        a0 = step(a0, x0, w0), b0 = step(b0, x0, w1), a1 = step(a1, x1, w0), b1 = step(b1, x1, w1);                    \
        a2 = step(a2, x2, w0), b2 = step(b2, x2, w1), a3 = step(a3, x3, w0), b3 = step(b3, x3, w1);                    \
        run += 4, first += 4 * LANES, second += 4 * LANES;                                                             \
    } while (0)
#define STEP_32(sums, x, w) _mm256_add_epi32(sums, wide(_mm256_maddubs_epi16(x, w)))
#define STEP_16(sums, x, w) _mm256_add_epi16(sums, _mm256_maddubs_epi16(x, w))
#define STORE_PIXEL(pixel, a, b) store(y + (pixel) * O, a, excess), store(y + (pixel) * O + LANES, b, excess + LANES)

INLINE void tile_of_32_bits(const uint8_t *band, const int8_t *first, const int32_t *excess, int32_t *y) {
    const int8_t *second = first + LANES * K;
    __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (int i = 0; i < R; i++) {
        const uint8_t *run = band + i * PITCH;
        for (int k = 0; k < RUN; k += 4) TILE(STEP_32);
    }
    STORE_PIXEL(0, a0, b0), STORE_PIXEL(1, a1, b1), STORE_PIXEL(2, a2, b2), STORE_PIXEL(3, a3, b3);
}

static AVX2 void register_tile(const int8_t *x, const void *weights, int32_t *y, uint8_t *band) {
    const panels *w = weights;
    bordered(x, band, 0x80);
    for (int o = 0; o < O; o += 2 * LANES)
        for (int p = 0; p < H; p++)
            for (int q = 0; q < W; q += PIXELS)
                tile_of_32_bits(band + p * PITCH + q * C, w->panel + o * K, w->excess + o, y + (p * W + q) * O + o);
}

/* ---- 7: with codes, 64 products of 2 * 255 at most stay below 2^15: most additions are of 16 bits. A run of a kernel row
 * has 48 steps, so every row is widened. */

_Static_assert(RUN / 4 <= MOST_STEPS && MOST_STEPS * 2 * 255 < 1 << 15, "sums of a run fit 16 bits");

#define WIDEN(to, sums) to = _mm256_add_epi32(to, wide(sums))

INLINE void tile_of_16_bits(const uint8_t *band, const int8_t *first, const int8_t *second, const int32_t *excess,
                            int32_t *y) {
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
    for (int i = 0; i < R; i++) {
        const uint8_t *run = band + i * PITCH;
        __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
        for (int k = 0; k < RUN; k += 4) TILE(STEP_16);
        WIDEN(s0, a0), WIDEN(s1, a1), WIDEN(s2, a2), WIDEN(s3, a3);
        WIDEN(t0, b0), WIDEN(t1, b1), WIDEN(t2, b2), WIDEN(t3, b3);
    }
    STORE_PIXEL(0, s0, t0), STORE_PIXEL(1, s1, t1), STORE_PIXEL(2, s2, t2), STORE_PIXEL(3, s3, t3);
}

/* Not inlined: the next rung shall run the same instructions. */
static AVX2 __attribute__((noinline)) void rows_of_tiles(const uint8_t *band, const int8_t *first,
                                                         const int32_t *excess, int32_t *y) {
    for (int p = 0; p < H; p++)
        for (int q = 0; q < W; q += PIXELS)
            tile_of_16_bits(band + p * PITCH + q * C, first, first + LANES * K, excess, y + (p * W + q) * O);
}

static AVX2 void sums_of_16_bits(const int8_t *x, const void *weights, int32_t *y, uint8_t *band) {
    const panels *w = weights;
    bordered(x, band, 0x80);
    for (int o = 0; o < O; o += 2 * LANES) rows_of_tiles(band, w->panel + o * K, w->excess + o, y + o);
}

/* ---- 8: the weights stay packed, 2 bits each; the panel of 16 outputs is decoded in every call. A byte has the codes + 1
 * of one k of four steps, so that a shift, a mask and a subtraction give 32 weights. */

typedef struct {
    uint8_t codes[O * K / 4]; /* [8 outputs][4 steps][output][4 k] */
    int32_t excess[O];
} packed_panels;

static void to_packed_panels(const uint8_t *rows, void *weights) {
    packed_panels *to = weights;
    memset(to, 0, sizeof *to);
    for (int o = 0; o < O; o++)
        for (int k = 0; k < K; k++) {
            const int w = code(rows, o, k), step = k / 4;
            const int at = ((o / LANES * (STEPS / 4) + step / 4) * LANES + o % LANES) * 4 + k % 4;
            to->codes[at] |= (uint8_t)((w + 1) << (2 * (step % 4)));
            to->excess[o] += 128 * w;
        }
}

INLINE void decode_panel(const uint8_t *codes, int8_t *panel) {
    const __m256i mask = _mm256_set1_epi8(3), one = _mm256_set1_epi8(1);
    for (int k = 0; k < STEPS; k += 4, codes += 4 * LANES) {
        __m256i four = load(codes);
        for (int step = 0; step < 4; step++, panel += 4 * LANES, four = _mm256_srli_epi16(four, 2))
            _mm256_storeu_si256((__m256i *)panel, _mm256_sub_epi8(_mm256_and_si256(four, mask), one));
    }
}

static AVX2 void decoded_in_every_call(const int8_t *x, const void *weights, int32_t *y, uint8_t *band) {
    const packed_panels *w = weights;
    int8_t panel[2 * LANES * K] __attribute__((aligned(ALIGN)));
    bordered(x, band, 0x80);
    for (int o = 0; o < O; o += 2 * LANES) {
        decode_panel(w->codes + o * K / 4, panel);
        decode_panel(w->codes + (o + LANES) * K / 4, panel + LANES * K);
        rows_of_tiles(band, panel, w->excess + o, y + o);
    }
}
#endif

/* ---- the table */

static void as_they_are(const uint8_t *rows, void *weights) { memcpy(weights, rows, O * K / 4); }

typedef struct {
    const char *name;
    size_t weight_bytes;
    void (*prepare)(const uint8_t *rows, void *weights);
    void (*run)(const int8_t *x, const void *weights, int32_t *y, uint8_t *band);
} rung;

static const rung RUNGS[] = {
    {"the definition", O * K / 4, as_they_are, definition},
    {"codes unpacked once", O * K, to_bytes, unpacked_once},
    {"channels innermost", O * K, to_bytes, channels_innermost},
#ifdef __x86_64__
    {"the compiler told of AVX2", O * K, to_bytes, channels_innermost_avx2},
    {"outputs as vectors", sizeof(panels), to_panels, outputs_as_vectors},
    {"tile in registers", sizeof(panels), to_panels, register_tile},
    {"sums of 16 bits", sizeof(panels), to_panels, sums_of_16_bits},
    {"decoded in every call", sizeof(packed_panels), to_packed_panels, decoded_in_every_call},
#endif
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* How many there are on this CPU. */
int ladder_rungs(void) {
#ifdef __x86_64__
    if (!__builtin_cpu_supports("avx2")) return 3;
#endif
    return sizeof RUNGS / sizeof *RUNGS;
}

const char *ladder_name(int k) { return RUNGS[k].name; }
size_t ladder_weight_bytes(int k) { return RUNGS[k].weight_bytes; }

/* y of rung k, and the shortest time of at least two runs that take `seconds` together; below 0 without memory. */
double ladder_run(int k, const int8_t *x, const uint8_t *rows, int32_t *y, double seconds) {
    double best = -1;
    void *weights = aligned_alloc(ALIGN, (RUNGS[k].weight_bytes + ALIGN - 1) / ALIGN * ALIGN);
    uint8_t *band = aligned_alloc(ALIGN, (BAND + ALIGN - 1) / ALIGN * ALIGN);
    if (weights && band) {
        RUNGS[k].prepare(rows, weights);
        const double end = now() + seconds;
        for (int runs = 0; runs < 2 || now() < end; runs++) {
            const double begin = now();
            RUNGS[k].run(x, weights, y, band);
            const double took = now() - begin;
            if (best < 0 || took < best) best = took;
        }
    }
    free(weights), free(band);
    return best;
}
