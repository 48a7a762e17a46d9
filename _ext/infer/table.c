/* The one table of inference kernels, the best first: a kernel is chosen if the instruction set in use includes its own
 * and it `runs` the shape and `pays` for it. A new kernel is one more K(...). */
#include "common/cpu.h"
#include "infer/kernels.h"

#if ELQ_X86
#define X86_FLOAT(K)                                                                                                   \
    /* infer/x86/avx512.c */                                                                                           \
    K(elq_conv_f32_t2_lookup__avx512)                                                                                  \
    K(elq_conv_f32_b1_lookup__avx512)                                                                                  \
    K(elq_conv_f32_t2_winograd__avx512)                                                                                \
    K(elq_conv_f32_b1_winograd__avx512)                                                                                \
    K(elq_conv_f32_t2_depthwise__avx512)                                                                               \
    K(elq_conv_f32_b1_depthwise__avx512)                                                                               \
    K(elq_conv_f32_f32_depthwise__avx512)                                                                              \
    K(elq_conv_f32_t2__avx512)                                                                                         \
    K(elq_conv_f32_b1__avx512)                                                                                         \
    K(elq_conv_f32_f32__avx512)                                                                                        \
    /* infer/x86/ordered_avx512.c */                                                                                   \
    K(elq_conv_ordered_f32__avx512)                                                                                    \
    /* infer/x86/avx2.c */                                                                                             \
    K(elq_conv_f32_t2_lookup__avx2)                                                                                    \
    K(elq_conv_f32_b1_lookup__avx2)                                                                                    \
    K(elq_conv_f32_t2_winograd__avx2)                                                                                  \
    K(elq_conv_f32_b1_winograd__avx2)                                                                                  \
    K(elq_conv_f32_t2_depthwise__avx2)                                                                                 \
    K(elq_conv_f32_b1_depthwise__avx2)                                                                                 \
    K(elq_conv_f32_f32_depthwise__avx2)                                                                                \
    K(elq_conv_f32_t2__avx2)                                                                                           \
    K(elq_conv_f32_b1__avx2)                                                                                           \
    K(elq_conv_f32_f32__avx2)                                                                                          \
    /* infer/x86/ordered_avx2.c */                                                                                     \
    K(elq_conv_ordered_f32__avx2)
#define X86_INT8(K)                                                                                                    \
    /* infer/x86/avx512vnni.c */                                                                                       \
    K(elq_conv_i8_t2__avx512vnni)                                                                                      \
    K(elq_conv_i8_b1__avx512vnni)                                                                                      \
    K(elq_conv_i8_i8__avx512vnni)                                                                                      \
    K(elq_conv_i8i32_t2__avx512vnni)                                                                                   \
    K(elq_conv_i8i32_b1__avx512vnni)                                                                                   \
    K(elq_conv_i8i32_i8__avx512vnni)                                                                                   \
    /* infer/x86/avx512.c */                                                                                           \
    K(elq_conv_i8_t2_depthwise__avx512)                                                                                \
    K(elq_conv_i8_b1_depthwise__avx512)                                                                                \
    K(elq_conv_i8_i8_depthwise__avx512)                                                                                \
    K(elq_conv_i8_t2__avx512)                                                                                          \
    K(elq_conv_i8_b1__avx512)                                                                                          \
    K(elq_conv_i8_i8__avx512)                                                                                          \
    K(elq_conv_i8i32_t2__avx512)                                                                                       \
    K(elq_conv_i8i32_b1__avx512)                                                                                       \
    K(elq_conv_i8i32_i8__avx512)                                                                                       \
    /* infer/x86/avx2.c */                                                                                             \
    K(elq_conv_i8_t2_depthwise__avx2)                                                                                  \
    K(elq_conv_i8_b1_depthwise__avx2)                                                                                  \
    K(elq_conv_i8_i8_depthwise__avx2)                                                                                  \
    K(elq_conv_i8_b1_lookup__avx2)                                                                                     \
    K(elq_conv_i8i32_b1_lookup__avx2)                                                                                  \
    K(elq_conv_i8_t2__avx2)                                                                                            \
    K(elq_conv_i8_b1__avx2)                                                                                            \
    K(elq_conv_i8_i8__avx2)                                                                                            \
    K(elq_conv_i8i32_t2__avx2)                                                                                         \
    K(elq_conv_i8i32_b1__avx2)                                                                                         \
    K(elq_conv_i8i32_i8__avx2)
#else
#define X86_FLOAT(K)
#define X86_INT8(K)
#endif

#if defined(__aarch64__)
#define ARM_FLOAT(K)                                                                                                   \
    /* infer/arm/neon.c */                                                                                             \
    K(elq_conv_f32_t2_winograd__neon)                                                                                  \
    K(elq_conv_f32_b1_winograd__neon)                                                                                  \
    K(elq_conv_f32_t2_depthwise__neon)                                                                                 \
    K(elq_conv_f32_b1_depthwise__neon)                                                                                 \
    K(elq_conv_f32_f32_depthwise__neon)                                                                                \
    K(elq_conv_f32_t2__neon)                                                                                           \
    K(elq_conv_f32_b1__neon)                                                                                           \
    K(elq_conv_f32_f32__neon)
#define ARM_INT8(K)                                                                                                    \
    /* infer/arm/dotprod.c */                                                                                          \
    K(elq_conv_i8_t2__dotprod)                                                                                         \
    K(elq_conv_i8_b1__dotprod)                                                                                         \
    K(elq_conv_i8_i8__dotprod)                                                                                         \
    K(elq_conv_i8i32_t2__dotprod)                                                                                      \
    K(elq_conv_i8i32_b1__dotprod)                                                                                      \
    K(elq_conv_i8i32_i8__dotprod)                                                                                      \
    /* infer/arm/neon.c */                                                                                             \
    K(elq_conv_i8_t2_depthwise__neon)                                                                                  \
    K(elq_conv_i8_b1_depthwise__neon)                                                                                  \
    K(elq_conv_i8_i8_depthwise__neon)                                                                                  \
    K(elq_conv_i8_t2__neon)                                                                                            \
    K(elq_conv_i8_b1__neon)                                                                                            \
    K(elq_conv_i8_i8__neon)                                                                                            \
    K(elq_conv_i8i32_t2__neon)                                                                                         \
    K(elq_conv_i8i32_b1__neon)                                                                                         \
    K(elq_conv_i8i32_i8__neon)
#else
#define ARM_FLOAT(K)
#define ARM_INT8(K)
#endif

#define GENERIC(K)                                                                                                     \
    /* infer/generic/conv_f32.c */                                                                                     \
    K(elq_conv_f32_t2__generic)                                                                                        \
    K(elq_conv_f32_b1__generic)                                                                                        \
    K(elq_conv_f32_f32__generic)                                                                                       \
    /* infer/generic/ordered.c */                                                                                      \
    K(elq_conv_ordered_f32__generic)                                                                                   \
    /* infer/generic/conv_i8.c */                                                                                      \
    K(elq_conv_i8_t2__generic)                                                                                         \
    K(elq_conv_i8_b1__generic)                                                                                         \
    K(elq_conv_i8_i8__generic)                                                                                         \
    K(elq_conv_i8i32_t2__generic)                                                                                      \
    K(elq_conv_i8i32_b1__generic)                                                                                      \
    K(elq_conv_i8i32_i8__generic)

#define ALL(K) X86_FLOAT(K) X86_INT8(K) ARM_FLOAT(K) ARM_INT8(K) GENERIC(K)

#define DECLARE(name) extern const elq_kernel name;
ALL(DECLARE)

#define ADDRESS(name) &name,
static const elq_kernel *const TABLE[] = {ALL(ADDRESS) NULL};

const elq_kernel *elq_infer_kernel(int index) {
    return index >= 0 && index < (int)(sizeof TABLE / sizeof *TABLE) ? TABLE[index] : NULL;
}

const elq_kernel *elq_infer_select(elq_features features, enum elq_activations activations, enum elq_weights weights,
                                   const elq_shape *shape) {
    for (const elq_kernel *const *k = TABLE; *k; k++)
        if ((*k)->activations == activations && (*k)->weights == weights && elq_isa_runs(features, (*k)->isa) &&
            (*k)->runs(shape) && (*k)->pays(shape))
            return *k;
    assert(!"generic C runs every shape");
    return NULL;
}

int elq_infer_isa(elq_features features) {
    int best = ELQ_GENERIC;
    for (const elq_kernel *const *k = TABLE; *k; k++)
        if ((*k)->isa > best && elq_isa_runs(features, (*k)->isa)) best = (*k)->isa;
    return best;
}
