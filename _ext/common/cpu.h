/* Which instruction sets this CPU has: the table common/isa.def as C. Portable; nothing here executes an instruction
 * that the baseline lacks, and nothing here reads the environment. */
#ifndef ELQ_CPU_H
#define ELQ_CPU_H

#include <stdint.h>

enum elq_isa {
#define ELQ_SET(word, NAME, architecture, needs, test, flags) ELQ_##NAME,
#include "common/isa.def"
    ELQ_ISA_COUNT
};

/* Sets of instruction sets: a bit each. A kernel runs where all bits that its own set needs are in use. */
typedef uint32_t elq_features;
#define ELQ_HAS(isa) ((elq_features)1 << (isa))

/* What this CPU and its operating system have. Of another architecture nothing; ELQ_GENERIC always. */
elq_features elq_cpu_features(void);

/* The bits of `isa` and of those that it builds on. */
elq_features elq_isa_needs(int isa);

/* Whether a kernel written for `isa` runs where `features` are in use. */
int elq_isa_runs(elq_features features, int isa);

/* The word for isa, 0 .. ELQ_ISA_COUNT - 1. */
const char *elq_isa_name(int isa);

/* The isa of a word, -1 for one that is none. */
int elq_isa_find(const char *word);

#endif
