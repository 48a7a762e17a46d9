/* LOOK_UP of infer/bytes.inc.h by byte shuffles, for vectors BYTES_OF and their intrinsics OF(name): a shuffle looks
 * bytes 0 to 127 up among 16 by their low half, and gives 0 for the others. With x >= 16 j, shuffle number j of x - 16 j
 * gives table[16 j + ...] XOR table[16 (j - 1) + ...]: all of them XORed leave the entry of x. The negative x have eight
 * shuffles of their own, of x + 128. */
#ifndef ELQ_INFER_LOOK_UP_H
#define ELQ_INFER_LOOK_UP_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define EACH_OF_SEVEN(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7)

static void shuffled(const int8_t *table, const int8_t *from, int8_t *to, ptrdiff_t count) {
#define SIXTEEN(j) BROADCAST(_mm_loadu_si128((const __m128i *)(table + 16 * (j))))
#define DECLARE(j)                                                                                                     \
    const BYTES_OF n##j = EITHER(SIXTEEN(j), SIXTEEN(j - 1)), p##j = EITHER(SIXTEEN(8 + j), SIXTEEN(7 + j));
#define STEP(j)                                                                                                        \
    x = OF(subs_epi8)(x, sixteen), below = OF(subs_epi8)(below, sixteen);                                              \
    y = EITHER(y, EITHER(OF(shuffle_epi8)(p##j, x), OF(shuffle_epi8)(n##j, below)));
    const BYTES_OF sixteen = OF(set1_epi8)(16), sign = OF(set1_epi8)((char)0x80), n0 = SIXTEEN(0), p0 = SIXTEEN(8);
    EACH_OF_SEVEN(DECLARE)
    for (ptrdiff_t i = 0; i + (ptrdiff_t)sizeof(BYTES_OF) <= count; i += (ptrdiff_t)sizeof(BYTES_OF)) {
        BYTES_OF x = LOAD(from + i), below = EITHER(x, sign);
        BYTES_OF y = EITHER(OF(shuffle_epi8)(p0, x), OF(shuffle_epi8)(n0, below));
        EACH_OF_SEVEN(STEP)
        STORE(to + i, y);
    }
    const int8_t *of_zero = table + 128;
    for (ptrdiff_t i = count - count % (ptrdiff_t)sizeof(BYTES_OF); i < count; i++) to[i] = of_zero[from[i]];
#undef SIXTEEN
#undef DECLARE
#undef STEP
}

#define LOOK_UP shuffled

#endif
