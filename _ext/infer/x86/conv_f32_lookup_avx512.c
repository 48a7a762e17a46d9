/* Look-up of partial sums for AVX-512: one vector is a table. */
#define VECTOR_BYTES 64
#define ISA avx512
#define ELQ_ISA ELQ_AVX512
#define MAXIMUM(low, v) ((VEC)_mm512_max_ps((__m512)(low), (__m512)(v)))
#define LOOK_UP(word, table) ((VEC)_mm512_permutexvar_ps((__m512i)(word), _mm512_loadu_ps(table)))
/* A product that is an addition: half of them go to the multipliers, which idle otherwise. */
#define ADD_TOO(sum, v) ((VEC)_mm512_fmadd_ps((__m512)(v), (__m512)one, (__m512)(sum)))
#define FITS_T2 fits_t2
#define FITS_B1 fits_b1

#include <immintrin.h>

#include "infer/kernels.h"

/* Whether the tables pay: each is used by all outputs and the taps that see the pixel. Winograd is ahead where it can
 * run on more than a few tiles. */
static int fits_b1(const elq_shape *s) {
    ptrdiff_t taps = s->kh * s->kw, seen = taps == 1 ? 1 : s->stride_h * s->stride_w;
    int winograd = s->kh == 3 && s->kw == 3 && seen == 1 && s->dilation_h == 1 && s->dilation_w == 1 && s->c % 16 == 0;
    return s->groups == 1 && s->o > 8 && s->c > 2 && (s->c > 8 || s->o > 32) && s->o * taps >= 64 * seen &&
           !(winograd && s->p * s->q >= 64);
}

/* Pairs of ternary codes gain where a table serves many outputs, or where one or a few pixels use what is decoded. */
static int fits_t2(const elq_shape *s) {
    return s->groups == 1 && s->o > 8 && s->c > 2 && (s->p * s->q < 4 || (s->kh * s->kw == 1 && s->o >= 128));
}

#include "infer/f32_lookup.inc.h"
