/* One bounded parallel-for. The pool is made at its first use, with ELQ_NUM_THREADS threads in all (default: the cores
 * that this process may use, at most 16) counting the caller, and its threads sleep between calls. Without pthreads, in
 * a nested call and while another Python thread is inside, the loop runs in the caller alone: correct, not parallel.
 * A fork()ed child starts without threads and makes its own. */
#ifndef ELQ_POOL_H
#define ELQ_POOL_H

#include <stddef.h>

enum { ELQ_MAX_THREADS = 64 };

/* One piece of work. `worker` (0 .. elq_num_threads() - 1) is that of no other piece at the same time of this call: an
 * index of scratch memory. Results must not depend on it, nor on the order of the pieces. */
typedef void (*elq_task)(void *context, ptrdiff_t index, int worker);

/* Number of threads, 1 .. ELQ_MAX_THREADS; -1 if ELQ_NUM_THREADS is set to anything else. Read once. */
int elq_num_threads(void);

/* task(context, i, worker) for i = 0 .. count - 1, each exactly once; returns when all are done. */
void elq_parallel_for(ptrdiff_t count, elq_task task, void *context);

#endif
