/* Memory of results and buffers that is used again: a training step asks for the same sizes every time, and fresh pages
 * from the operating system cost a tenth of it. Blocks are cut from large regions and grow together again when they are
 * given back, so that what one size left serves every other size. */
#ifndef ELQ_TRAIN_MEMORY_H
#define ELQ_TRAIN_MEMORY_H

#include <stddef.h>

/* A block of at least `bytes`, not cleared, starting on a cache line; NULL without memory. */
void *elq_memory_take(ptrdiff_t bytes);

/* Give a block back (NULL is fine). Regions without a block in use are released when more than ELQ_MEMORY_KEPT bytes of
 * all regions are not in use, as far as all are half as much again as what was in use at a time: a step will ask for it
 * again. What was long ago counts less and less. */
void elq_memory_give(void *block);

enum { ELQ_MEMORY_KEPT = 1 << 30 };

#endif
