/* The table of infer/rows.h, the best first. */
#include "infer/rows.h"

#include <string.h>

#if ELQ_X86
#define FASTER(X) ELQ_ROWS_FOR(X, avx512) ELQ_ROWS_FOR(X, avx2)
#elif defined(__aarch64__)
#define FASTER(X) ELQ_ROWS_FOR(X, neon)
#else
#define FASTER(X)
#endif

#define DECLARE_FOR(name, set) elq_rows elq_rows_##name##__##set;
FASTER(DECLARE_FOR)
ELQ_ROWS_FOR(DECLARE_FOR, generic)

#define ELQ_avx512 ELQ_AVX512
#define ELQ_avx2 ELQ_AVX2
#define ELQ_neon ELQ_NEON
#define ELQ_generic ELQ_GENERIC
#define ROW_FOR(name, set) {#name "__" #set, ELQ_##set, elq_rows_##name##__##set},
#define ROW(name) {#name, ELQ_GENERIC, elq_rows_##name},
static const elq_rows_entry TABLE[] = {FASTER(ROW_FOR) ELQ_ROWS_FOR(ROW_FOR, generic) ELQ_ROWS_ALL(ROW)};

const elq_rows_entry *elq_rows_number(int index) {
    return index >= 0 && index < (int)(sizeof TABLE / sizeof *TABLE) ? &TABLE[index] : NULL;
}

const elq_rows_entry *elq_rows_find(elq_features features, const char *name) {
    const size_t length = strlen(name);
    for (size_t k = 0; k < sizeof TABLE / sizeof *TABLE; k++) {
        const char *end = TABLE[k].name + length;
        if (strncmp(TABLE[k].name, name, length) || (*end && strncmp(end, "__", 2))) continue;
        if (elq_isa_runs(features, TABLE[k].isa)) return &TABLE[k];
    }
    return NULL;
}
