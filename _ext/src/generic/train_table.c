/* The one table of training kernels: which function runs for which instruction set and type. */
#include "cpu.h"
#include "train.h"

#define DECLARE(type, isa)                                                                                             \
    int elq_conv_##type##__##isa(const struct elq_conv *, struct elq_array, struct elq_array, struct elq_array);       \
    int elq_conv_dx_##type##__##isa(const struct elq_conv *, struct elq_array, struct elq_array, struct elq_array);    \
    int elq_conv_dw_##type##__##isa(const struct elq_conv *, struct elq_array, struct elq_array, struct elq_array);    \
    int elq_norm_##type##__##isa(const struct elq_norm *);                                                             \
    int elq_norm_backward_##type##__##isa(const struct elq_norm *);                                                    \
    int elq_scale_shift_##type##__##isa(const struct elq_norm *);
#define ROW(type, isa)                                                                                                 \
    {elq_conv_##type##__##isa, elq_conv_dx_##type##__##isa,       elq_conv_dw_##type##__##isa,                         \
     elq_norm_##type##__##isa, elq_norm_backward_##type##__##isa, elq_scale_shift_##type##__##isa}

DECLARE(f32, generic)
DECLARE(f64, generic)
#if ELQ_X86
DECLARE(f32, avx2)
DECLARE(f64, avx2)
DECLARE(f32, avx512)
DECLARE(f64, avx512)
#endif

static const struct elq_train_kernels TABLE[ELQ_ISA_COUNT][2] = {
    [ELQ_GENERIC] = {ROW(f32, generic), ROW(f64, generic)},
#if ELQ_X86
    [ELQ_AVX2] = {ROW(f32, avx2), ROW(f64, avx2)},
    [ELQ_AVX512] = {ROW(f32, avx512), ROW(f64, avx512)},
#endif
};

int elq_train_isa(int isa) {
    int best = ELQ_GENERIC;
    for (int row = 0; row < ELQ_ISA_COUNT; row++)
        if (TABLE[row][0].conv && elq_isa_includes(isa, row)) best = row;
    return best;
}

const struct elq_train_kernels *elq_train_select(int isa, int is_double, ptrdiff_t outputs) {
    if (isa == ELQ_AVX512 && outputs <= (is_double ? 4 : 8)) isa = ELQ_AVX2;
    return &TABLE[isa][is_double];
}
