/* The one table of training kernels: which function runs for which instruction set and type. */
#include "common/cpu.h"
#include "train/kernels.h"

#define CONV (const struct elq_conv *, struct elq_array, struct elq_array, struct elq_array)
#define CONV_BIAS (const struct elq_conv *, struct elq_array, struct elq_array, const void *, struct elq_array)
#define NORM (const struct elq_norm *)
#define POOL (const struct elq_max_pool *)

/* Every kernel, in the order of struct elq_train_kernels: its name and its arguments. */
#define EACH_KERNEL(M, type, isa)                                                                                      \
    M(elq_conv_##type##__##isa, CONV_BIAS)                                                                             \
    M(elq_conv_dx_##type##__##isa, CONV)                                                                               \
    M(elq_conv_dw_##type##__##isa, CONV)                                                                               \
    M(elq_norm_##type##__##isa, NORM)                                                                                  \
    M(elq_norm_backward_##type##__##isa, NORM)                                                                         \
    M(elq_scale_shift_##type##__##isa, NORM)                                                                           \
    M(elq_max_pool_##type##__##isa, POOL)                                                                              \
    M(elq_max_pool_backward_##type##__##isa, POOL)                                                                     \
    M(elq_relu_##type##__##isa, (ptrdiff_t, const void *, const void *, void *))                                       \
    M(elq_sums_##type##__##isa, (ptrdiff_t, ptrdiff_t, const void *, void *))

#define PROTOTYPE(name, arguments) int name arguments;
#define ENTRY(name, arguments) name,
#define DECLARE(isa) EACH_KERNEL(PROTOTYPE, f32, isa) EACH_KERNEL(PROTOTYPE, f64, isa)
#define ROWS(isa) {{EACH_KERNEL(ENTRY, f32, isa)}, {EACH_KERNEL(ENTRY, f64, isa)}}

DECLARE(generic)
#if ELQ_X86
DECLARE(avx2)
DECLARE(avx512)
#endif
#if defined(__aarch64__)
DECLARE(neon)
#endif

static const struct elq_train_kernels TABLE[ELQ_ISA_COUNT][2] = {
    [ELQ_GENERIC] = ROWS(generic),
#if ELQ_X86
    [ELQ_AVX2] = ROWS(avx2),
    [ELQ_AVX512] = ROWS(avx512),
#endif
#if defined(__aarch64__)
    [ELQ_NEON] = ROWS(neon),
#endif
};

int elq_train_isa(elq_features features) {
    int best = ELQ_GENERIC;
    for (int row = 0; row < ELQ_ISA_COUNT; row++)
        if (TABLE[row][0].conv && elq_isa_runs(features, row)) best = row;
    return best;
}

const struct elq_train_kernels *elq_train_select(int isa, int is_double, ptrdiff_t outputs) {
    if (isa == ELQ_AVX512 && outputs <= (is_double ? 4 : 8)) isa = ELQ_AVX2;
    return &TABLE[isa][is_double];
}
