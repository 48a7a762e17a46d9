/* cpu.h: detection by the compiler's own tables (cpuid and xgetbv) or the kernel's auxiliary vector, so that the
 * operating system's support counts. */
#include "cpu.h"

#include <stdlib.h>
#include <string.h>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
enum { HWCAP_DOTPROD = 1 << 20 }; /* HWCAP_ASIMDDP of <asm/hwcap.h> */
#endif

static const char *const NAMES[ELQ_ISA_COUNT] = {"generic", "avx2", "avx512", "avx512vnni", "neon", "dotprod"};

const char *elq_isa_name(int isa) { return NAMES[isa]; }

static int best(void) {
#if ELQ_X86 && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return ELQ_GENERIC;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return ELQ_AVX2;
    return __builtin_cpu_supports("avx512vnni") ? ELQ_AVX512VNNI : ELQ_AVX512;
#elif defined(__aarch64__) && defined(__linux__)
    return getauxval(AT_HWCAP) & HWCAP_DOTPROD ? ELQ_DOTPROD : ELQ_NEON;
#elif defined(__aarch64__)
    return ELQ_NEON;
#else
    return ELQ_GENERIC;
#endif
}

int elq_isa_includes(int isa, int kernel) {
    return kernel == ELQ_GENERIC || (kernel <= isa && (kernel >= ELQ_NEON) == (isa >= ELQ_NEON));
}

int elq_isa_parse(const char *word) {
    if (!word || !*word) return best();
    for (int isa = 0; isa < ELQ_ISA_COUNT; isa++)
        if (!strcmp(word, NAMES[isa])) return elq_isa_includes(best(), isa) ? isa : ELQ_ISA_ABSENT;
    return ELQ_ISA_UNKNOWN;
}

int elq_isa(void) { return elq_isa_parse(getenv("ELQ_ISA")); }
