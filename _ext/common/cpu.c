/* common/cpu.h: detection by the compiler's own tables (cpuid and xgetbv) or the kernel's auxiliary vector, so that the
 * operating system's support counts. */
#include "common/cpu.h"

#include <string.h>

/* The words of common/isa.def for a test; of another architecture than this one they are never read. */
#define ON_any(test) (test)
#define ON_x86(test) 0
#define ON_arm(test) 0

#if ELQ_X86
#include <cpuid.h>
#undef ON_x86
#define ON_x86(test) (test)
#define CPU(word) __builtin_cpu_supports(#word)
#define CPUID_7_1_EAX(bit) (cpuid_7_1_eax() >> (bit) & 1)

/* Of the features that need no state beside AVX's, which compilers have no word for before gcc 11. */
static unsigned cpuid_7_1_eax(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) ? eax : 0;
}
#elif defined(__aarch64__)
#undef ON_arm
#define ON_arm(test) (test)
#ifdef __linux__
#include <sys/auxv.h>
#define HWCAP(bit) (getauxval(AT_HWCAP) >> (bit) & 1)
#define HWCAP2(bit) (getauxval(AT_HWCAP2) >> (bit) & 1)
#else
#define HWCAP(bit) 0
#define HWCAP2(bit) 0
#endif
#endif

#define HAS(NAME) ELQ_HAS(ELQ_##NAME)

elq_features elq_cpu_features(void) {
    elq_features found = 0;
#define ELQ_SET(word, NAME, architecture, needs, test, flags)                                                          \
    if (!((needs) & ~found) && ON_##architecture(test)) found |= HAS(NAME);
#include "common/isa.def"
    return found;
}

elq_features elq_isa_needs(int isa) {
    static const elq_features NEEDS[ELQ_ISA_COUNT] = {
#define ELQ_SET(word, NAME, architecture, needs, test, flags) HAS(GENERIC) | (needs) | HAS(NAME),
#include "common/isa.def"
    };
    return NEEDS[isa];
}

int elq_isa_runs(elq_features features, int isa) { return !(elq_isa_needs(isa) & ~features); }

const char *elq_isa_name(int isa) {
    static const char *const NAMES[ELQ_ISA_COUNT] = {
#define ELQ_SET(word, NAME, architecture, needs, test, flags) #word,
#include "common/isa.def"
    };
    return NAMES[isa];
}

int elq_isa_find(const char *word) {
    for (int isa = 0; isa < ELQ_ISA_COUNT; isa++)
        if (!strcmp(word, elq_isa_name(isa))) return isa;
    return -1;
}
