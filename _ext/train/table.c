/* The one table of training kernels: which struct of them runs for which instruction set and type. */
#include "common/cpu.h"
#include "train/kernels.h"

#include <assert.h>

typedef const struct elq_train_kernels kernels;

extern kernels elq_train_f32__generic, elq_train_f64__generic; /* train/generic/generic.c */
extern kernels elq_train_f32__avx2, elq_train_f64__avx2;       /* train/x86/avx2.c */
extern kernels elq_train_f32__avx512, elq_train_f64__avx512;   /* train/x86/avx512.c */
extern kernels elq_train_f32__neon, elq_train_f64__neon;       /* train/arm/neon.c */

static kernels *const TABLE[ELQ_ISA_COUNT][2] = {
    [ELQ_GENERIC] = {&elq_train_f32__generic, &elq_train_f64__generic},
#if ELQ_X86
    [ELQ_AVX2] = {&elq_train_f32__avx2, &elq_train_f64__avx2},
    [ELQ_AVX512] = {&elq_train_f32__avx512, &elq_train_f64__avx512},
#elif defined(__aarch64__)
    [ELQ_NEON] = {&elq_train_f32__neon, &elq_train_f64__neon},
#endif
};

int elq_train_isa(elq_features features) {
    int best = ELQ_GENERIC;
    for (int isa = 0; isa < ELQ_ISA_COUNT; isa++)
        if (TABLE[isa][0] && elq_isa_runs(features, isa)) best = isa;
    return best;
}

const struct elq_train_kernels *elq_train_select(int isa, int is_double, ptrdiff_t outputs) {
    if (isa == ELQ_AVX512 && outputs <= (is_double ? 4 : 8)) isa = ELQ_AVX2;
    assert(isa >= 0 && isa < ELQ_ISA_COUNT && TABLE[isa][is_double]);
    return TABLE[isa][is_double];
}
