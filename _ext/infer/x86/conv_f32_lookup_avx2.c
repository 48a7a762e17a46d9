/* Look-up of partial sums for AVX2: two vectors are a table, and the word's bit 3 chooses between them. */
#define VECTOR_BYTES 32
#define ISA avx2
#define ELQ_ISA ELQ_AVX2
#define MAXIMUM(low, v) ((VEC)_mm256_max_ps((__m256)(low), (__m256)(v)))
#define HALF(word, table) _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), (__m256i)(word))
#define LOOK_UP(word, table)                                                                                           \
    ((VEC)_mm256_blendv_ps(HALF(word, table), HALF(word, (table) + 8), (__m256)((word) << 28)))
#define ADD_TOO(sum, v) ((sum) + (v))
#define FITS_T2 fits
#define FITS_B1 fits

#include <immintrin.h>

#include "infer/kernels.h"

/* Codes that one or a few pixels use are better looked up than decoded. */
static int fits(const elq_shape *s) { return s->groups == 1 && s->o > 3 && s->c > 2 && s->p * s->q < 4; }

#include "infer/f32_lookup.inc.h"
