/* cpu.h: detection by the compiler's own tables (cpuid and xgetbv), so that the operating system's support counts. */
#include "cpu.h"

#include <stdlib.h>
#include <string.h>

static const char *const NAMES[ELQ_ISA_COUNT] = {"generic", "avx2", "avx512"};

const char *elq_isa_name(int isa) { return NAMES[isa]; }

static int best(void) {
#if ELQ_X86 && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return ELQ_GENERIC;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return ELQ_AVX512;
    return ELQ_AVX2;
#else
    return ELQ_GENERIC;
#endif
}

int elq_isa_parse(const char *word) {
    if (!word || !*word) return best();
    for (int isa = 0; isa < ELQ_ISA_COUNT; isa++)
        if (!strcmp(word, NAMES[isa])) return isa <= best() ? isa : ELQ_ISA_ABSENT;
    return ELQ_ISA_UNKNOWN;
}

int elq_isa(void) { return elq_isa_parse(getenv("ELQ_ISA")); }

int elq_cpu_has_vnni(void) {
#if ELQ_X86 && (defined(__GNUC__) || defined(__clang__))
    return best() == ELQ_AVX512 && __builtin_cpu_supports("avx512vnni");
#else
    return 0;
#endif
}
