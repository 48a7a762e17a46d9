/* Fully connected layers with int8 activations and binary codes on AVX2, behind infer/i8_conv.inc.h: partial sums are
 * looked up, 32 outputs an instruction, as infer/f32_lookup.inc.h does it of floats.
 *
 *     packed[block of 32 outputs][byte][output]    a byte of the file's row: the codes of two groups of 4 inputs
 *     table [group][2][16]                         of v = 512 + sum of code * x over the group, 0 <= v <= 1024:
 *                                                  v % 32 for each of the 16 codes, and v / 32
 *
 * Bytes hold the sums of 6 groups (6 * 32 < 2^8), 16 bits those of 256 times as many (256 * 192 < 2^16), and the rest is
 * added in 32. Per 128 multiply-adds that is 2 shuffles, 2 additions, 1.5 instructions for the index and 1.3 for wider
 * sums; vpmaddubsw and its addition alone take 8. */
enum { TABLE_BATCH = 3, TABLE_BYTES = 64, TABLE_MOST = 256 * TABLE_BATCH }; /* of two groups, in bytes of a row */

struct i8_lookup {
    ptrdiff_t bytes, blocks, pieces, each; /* of a row; blocks of a piece of the outputs */
};

static struct i8_lookup i8_lookup_of(const elq_shape *g) {
    struct i8_lookup plan = {.bytes = elq_ceil_div(g->c, 8), .blocks = elq_ceil_div(g->o, 32)};
    plan.each = elq_ceil_div(plan.blocks, plan.blocks >= 16 ? 4 : plan.blocks >= 4 ? 2 : 1);
    plan.pieces = elq_ceil_div(plan.blocks, plan.each);
    return plan;
}

static int i8_lookup_runs(const elq_shape *g) { return g->kh == 1 && g->kw == 1 && g->groups == 1; }
/* More pixels share decoded weights. */
static int i8_lookup_pays(const elq_shape *g) { return g->o >= 32 && g->c >= 64 && g->p * g->q < 4; }

static size_t i8_lookup_bytes(const elq_shape *g) {
    const struct i8_lookup plan = i8_lookup_of(g);
    return (size_t)(plan.blocks * plan.bytes * 32);
}

static void i8_lookup_pack(const elq_shape *g, const void *rows, void *packed) {
    const struct i8_lookup plan = i8_lookup_of(g);
    memset(packed, 0, i8_lookup_bytes(g));
    for (ptrdiff_t o = 0; o < g->o; o++)
        for (ptrdiff_t k = 0; k < plan.bytes; k++)
            ((uint8_t *)packed)[(o / 32 * plan.bytes + k) * 32 + o % 32] = ((const uint8_t *)rows)[o * plan.bytes + k];
}

static size_t i8_lookup_scratch(const elq_shape *g) {
    return (size_t)(BLOCK_BYTES + (TABLE_BYTES + 8) * i8_lookup_of(g).bytes);
}

static ptrdiff_t i8_lookup_tasks(const elq_shape *g, ptrdiff_t n) { return n * g->p * g->q * i8_lookup_of(g).pieces; }

/* The tables of the groups of x, 4 bytes each. */
static void i8_lookup_tables(const int8_t *x, ptrdiff_t groups, uint8_t *table) {
    __m256i sign[4];
    for (int i = 0; i < 4; i++) {
        int16_t of[16];
        for (int e = 0; e < 16; e++) of[e] = e >> i & 1 ? -1 : 1;
        sign[i] = _mm256_loadu_si256((const __m256i *)of);
    }
    for (ptrdiff_t k = 0; k < groups; k++, x += 4, table += 32) {
        __m256i v = _mm256_set1_epi16(512);
        for (int i = 0; i < 4; i++) v = _mm256_add_epi16(v, _mm256_sign_epi16(_mm256_set1_epi16(x[i]), sign[i]));
        const __m256i low = _mm256_and_si256(v, _mm256_set1_epi16(31)), high = _mm256_srli_epi16(v, 5);
        const __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi16(low, high), _MM_SHUFFLE(3, 1, 2, 0));
        _mm256_storeu_si256((__m256i *)table, both);
    }
}

/* The sums of 32 outputs. */
static void i8_lookup_sums(const uint8_t *packed, const uint8_t *table, ptrdiff_t bytes, int32_t *sums) {
    const __m256i nibble = _mm256_set1_epi8(15), byte = _mm256_set1_epi16(255);
    const __m256i offset = _mm256_set1_epi32((int32_t)(-1024 * bytes)); /* two groups a byte */
    __m256i even0 = offset, even1 = offset, odd0 = offset, odd1 = offset;
#define LOOKED_UP(table, index)                                                                                        \
    _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(table))), index)
#define LOW(v) _mm256_cvtepu16_epi32(_mm256_castsi256_si128(v))
#define HIGH(v) _mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1))
#define ADDED(sum, half, low, high) _mm256_add_epi32(sum, _mm256_add_epi32(half(low), _mm256_slli_epi32(half(high), 5)))
    while (bytes > 0) {
        __m256i low_even = HALVES_ZERO(), low_odd = low_even, high_even = low_even, high_odd = low_even;
        for (ptrdiff_t some = elq_least(bytes, TABLE_MOST); some > 0; some -= TABLE_BATCH) {
            __m256i low = HALVES_ZERO(), high = low;
#define BYTE_OF_EACH(k)                                                                                                \
    if (some > k) {                                                                                                    \
        const __m256i codes = bytes_load((const int8_t *)packed + 32 * k), first = _mm256_and_si256(codes, nibble);    \
        const __m256i second = _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble);                                  \
        low = _mm256_add_epi8(low, LOOKED_UP(table + TABLE_BYTES * k, first));                                         \
        high = _mm256_add_epi8(high, LOOKED_UP(table + TABLE_BYTES * k + 16, first));                                  \
        low = _mm256_add_epi8(low, LOOKED_UP(table + TABLE_BYTES * k + 32, second));                                   \
        high = _mm256_add_epi8(high, LOOKED_UP(table + TABLE_BYTES * k + 48, second));                                 \
    }
            BYTE_OF_EACH(0);
            BYTE_OF_EACH(1);
            BYTE_OF_EACH(2);
#undef BYTE_OF_EACH
            packed += 32 * TABLE_BATCH, table += TABLE_BYTES * TABLE_BATCH;
            low_even = _mm256_add_epi16(low_even, _mm256_and_si256(low, byte));
            low_odd = _mm256_add_epi16(low_odd, _mm256_srli_epi16(low, 8));
            high_even = _mm256_add_epi16(high_even, _mm256_and_si256(high, byte));
            high_odd = _mm256_add_epi16(high_odd, _mm256_srli_epi16(high, 8));
        }
        even0 = ADDED(even0, LOW, low_even, high_even), even1 = ADDED(even1, HIGH, low_even, high_even);
        odd0 = ADDED(odd0, LOW, low_odd, high_odd), odd1 = ADDED(odd1, HIGH, low_odd, high_odd);
        bytes -= TABLE_MOST;
    }
#undef LOOKED_UP
#undef LOW
#undef HIGH
#undef ADDED
    const __m256i a = _mm256_unpacklo_epi32(even0, odd0), b = _mm256_unpackhi_epi32(even0, odd0);
    const __m256i c = _mm256_unpacklo_epi32(even1, odd1), d = _mm256_unpackhi_epi32(even1, odd1);
    vec_store(sums, _mm256_permute2x128_si256(a, b, 0x20)), vec_store(sums + 8, _mm256_permute2x128_si256(a, b, 0x31));
    vec_store(sums + 16, _mm256_permute2x128_si256(c, d, 0x20));
    vec_store(sums + 24, _mm256_permute2x128_si256(c, d, 0x31));
}

INLINE void i8_lookup_run(const elq_conv *conv, ptrdiff_t task, void *scratch, const int sums_only) {
    const elq_shape *g = &conv->shape;
    const elq_i8_plan plan = elq_i8_plan_of(g, LANES);
    const struct i8_lookup way = i8_lookup_of(g);
    const ptrdiff_t piece = task % way.pieces, pixel = task / way.pieces;
    struct block *block = scratch;
    uint8_t *table = (uint8_t *)scratch + BLOCK_BYTES, *band = table + TABLE_BYTES * way.bytes;
    assert(task >= 0 && pixel < conv->n * g->p * g->q && (uintptr_t)scratch % ELQ_ALIGN == 0);

    elq_i8_gather_pixels(g, &plan, conv->x, pixel, 1, 0, band);
    memset(band + g->c, 0, (size_t)(8 * way.bytes - g->c));
    i8_lookup_tables((const int8_t *)band, 2 * way.bytes, table);
    block->sums_only = sums_only;
    const ptrdiff_t end = elq_least(g->o, (piece + 1) * way.each * 32);
    for (ptrdiff_t first = piece * way.each * 32; first < end; first += 32) {
        int32_t sums[4 * LANES];
        i8_lookup_sums((const uint8_t *)conv->weights + first * way.bytes, table, way.bytes, sums);
        for (ptrdiff_t o = first; o < elq_least(end, first + 32); o += 2 * LANES) {
            block->outputs = elq_least(2 * LANES, end - o);
            prepare(conv->tail, 2, o, block);
            for (ptrdiff_t i = 0; i < 2 * LANES; i += LANES)
                vec_store(block->sums + i, vec_add(vec_load(sums + o - first + i), vec_load(block->start + i)));
            finish_any(conv, 2, block, 1, pixel * g->o + o);
        }
    }
}

static void i8_lookup_results(const elq_conv *conv, ptrdiff_t task, void *scratch) {
    i8_lookup_run(conv, task, scratch, 0);
}
static void i8_lookup_raw(const elq_conv *conv, ptrdiff_t task, void *scratch) {
    i8_lookup_run(conv, task, scratch, 1);
}

#define I8_LOOKUP                                                                                                      \
    .runs = i8_lookup_runs, .pays = i8_lookup_pays, .weight_bytes = i8_lookup_bytes, .pack = i8_lookup_pack,           \
    .scratch_bytes = i8_lookup_scratch, .tasks = i8_lookup_tasks

const elq_kernel elq_conv_i8_b1_lookup__avx2 = {.name = "elq_conv_i8_b1_lookup__avx2",
                                                .isa = ELQ_AVX2,
                                                .activations = ELQ_I8,
                                                .weights = ELQ_B1,
                                                .run = i8_lookup_results,
                                                I8_LOOKUP};
const elq_kernel elq_conv_i8i32_b1_lookup__avx2 = {.name = "elq_conv_i8i32_b1_lookup__avx2",
                                                   .isa = ELQ_AVX2,
                                                   .activations = ELQ_I8_SUMS,
                                                   .weights = ELQ_B1,
                                                   .run = i8_lookup_raw,
                                                   I8_LOOKUP};
