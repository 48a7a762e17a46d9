/* Large blocks of memory that are used again: a training step asks for the same sizes every time, and fresh pages from
 * the operating system cost a tenth of it. Blocks start on a cache line. */
#ifndef ELQ_TRAIN_MEMORY_H
#define ELQ_TRAIN_MEMORY_H

#include <stddef.h>

/* A block of at least `bytes`, not cleared; NULL without memory. */
void *elq_memory_take(ptrdiff_t bytes);

/* Give a block back (NULL is fine). It waits for the next request of its size; the blocks that have waited longest are
 * released when more than ELQ_MEMORY_KEPT bytes wait. */
void elq_memory_give(void *block);

enum { ELQ_MEMORY_KEPT = 1 << 28 };

#endif
