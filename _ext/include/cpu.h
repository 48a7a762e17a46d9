/* Which instruction set the kernels use: the best one of this CPU, or the one that the environment variable ELQ_ISA
 * names. Portable; nothing here executes an instruction that the baseline lacks. */
#ifndef ELQ_CPU_H
#define ELQ_CPU_H

/* Of one architecture each includes those before it. */
enum elq_isa {
    ELQ_GENERIC = 0,    /* plain C for the baseline of the target */
    ELQ_AVX2 = 1,       /* x86: AVX2 and FMA */
    ELQ_AVX512 = 2,     /* x86: AVX-512 F, BW, DQ, VL */
    ELQ_AVX512VNNI = 3, /* x86: and its byte dot product vpdpbusd */
    ELQ_NEON = 4,       /* aarch64: its baseline */
    ELQ_DOTPROD = 5,    /* aarch64: and the byte dot product SDOT */
    ELQ_ISA_COUNT = 6
};

enum { ELQ_ISA_UNKNOWN = -1, ELQ_ISA_ABSENT = -2 };

/* The words that ELQ_ISA may be, for error messages. */
#define ELQ_ISA_WORDS "generic, avx2, avx512, avx512vnni, neon, dotprod"

/* The word for isa, 0 .. ELQ_ISA_COUNT - 1. */
const char *elq_isa_name(int isa);

/* The isa of a word, ELQ_ISA_UNKNOWN for another word, ELQ_ISA_ABSENT if the CPU, its operating system or this build
 * lack it. NULL and "" mean the best one. */
int elq_isa_parse(const char *word);

/* elq_isa_parse of the environment variable ELQ_ISA: what the kernels use, or why there is none (< 0). */
int elq_isa(void);

/* Whether a kernel written for instruction set `kernel` runs where `isa` (as elq_isa gives it) is used. */
int elq_isa_includes(int isa, int kernel);

#endif
