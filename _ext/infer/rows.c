/* The table of infer/rows.h. */
#include "infer/rows.h"

#include <string.h>

#define ROW(name) {#name, elq_rows_##name},
static const struct {
    const char *name;
    elq_rows *rows;
} TABLE[] = {ELQ_ROWS_ALL(ROW)};

elq_rows *elq_rows_find(const char *name) {
    for (size_t k = 0; k < sizeof TABLE / sizeof *TABLE; k++)
        if (!strcmp(TABLE[k].name, name)) return TABLE[k].rows;
    return NULL;
}
