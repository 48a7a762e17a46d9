/* infer/functions.inc.h and infer/bytes.inc.h for every CPU: vectors of 16 bytes, SSE2 or what the target makes of them. */
#define VECTOR_BYTES 16
#define NAME(x) generic_##x
#define MAXIMUM(low, v) WHERE((v) < (low), low, v)
#define MINIMUM(high, v) WHERE((v) > (high), high, v)
#define ROWS(op) elq_rows_##op##_f32__generic
#include "infer/functions.inc.h"

#undef ROWS
#define ROWS(op) elq_rows_##op##_i8__generic
#include "infer/bytes.inc.h"
