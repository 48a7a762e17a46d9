/* Which instruction set the kernels use: the best one of this CPU, or the one that the environment variable ELQ_ISA
 * names. Portable; nothing here executes an instruction that the baseline lacks. */
#ifndef ELQ_CPU_H
#define ELQ_CPU_H

enum elq_isa {
    ELQ_GENERIC = 0, /* plain C for the baseline of the target */
    ELQ_AVX2 = 1,    /* AVX2 and FMA */
    ELQ_AVX512 = 2,  /* AVX-512 F, BW, DQ, VL */
    ELQ_ISA_COUNT = 3
};

enum { ELQ_ISA_UNKNOWN = -1, ELQ_ISA_ABSENT = -2 };

/* The words that ELQ_ISA may be, for error messages. */
#define ELQ_ISA_WORDS "generic, avx2, avx512"

/* "generic", "avx2" or "avx512"; isa is 0 .. ELQ_ISA_COUNT - 1. */
const char *elq_isa_name(int isa);

/* The isa of a word, ELQ_ISA_UNKNOWN for another word, ELQ_ISA_ABSENT if the CPU, its operating system or this build
 * lack it. NULL and "" mean the best one. */
int elq_isa_parse(const char *word);

/* elq_isa_parse of the environment variable ELQ_ISA: what the kernels use, or why there is none (< 0). */
int elq_isa(void);

/* 1 if the CPU has the byte dot product vpdpbusd of AVX-512 VNNI besides ELQ_AVX512. */
int elq_cpu_has_vnni(void);

#endif
