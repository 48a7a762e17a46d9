/* One bounded pool of threads. It is made at its first use, with ELQ_NUM_THREADS threads in all (default: elq_cores() of
 * common/cores.h, which the processes of one MPI program on a machine share out, at most 16) counting the caller, and its
 * threads sleep between calls. In a nested call and while another Python thread is inside, the caller does everything
 * alone: correct, not parallel. A fork()ed child starts without threads and makes its own. */
#ifndef ELQ_POOL_H
#define ELQ_POOL_H

#include <stddef.h>
#include <stdint.h>

enum { ELQ_MAX_THREADS = 64, ELQ_MAX_LOOPS = 1 << 15 };

/* One piece of work. `worker` (0 .. elq_num_threads() - 1) is that of no other piece at the same time of this call: an
 * index of scratch memory. Results must not depend on it, nor on the order of the pieces. */
typedef void (*elq_task)(void *context, ptrdiff_t index, int worker);

/* One piece of a loop. */
typedef void (*elq_loop_task)(void *context, ptrdiff_t loop, ptrdiff_t index, int worker);

/* Number of threads, 1 .. ELQ_MAX_THREADS; -1 if ELQ_NUM_THREADS is set to anything else. Read once. */
int elq_num_threads(void);

/* task(context, i, worker) for i = 0 .. count - 1, each exactly once; returns when all are done. */
void elq_parallel_for(ptrdiff_t count, elq_task task, void *context);

/* task(context, l, i, worker) for l = 0 .. loops - 1 and i = 0 .. counts[l] - 1 (>= 1), each exactly once; all of a loop
 * are done before one of the next begins. Between loops threads wait without sleeping, for about a millisecond: a loop
 * may be as short as a few microseconds. No thread is waited for that has no piece. loops <= ELQ_MAX_LOOPS.
 * ends: NULL, or the nanoseconds of a monotonic clock at the end of each loop. */
void elq_parallel_loops(ptrdiff_t loops, const ptrdiff_t *counts, elq_loop_task task, void *context, int64_t *ends);

/* From now on this thread calls `ask` every tenth of a second between the pieces of its elq_parallel_for, and leaves the
 * pieces that remain undone once it says so (not 0). elq_unwatch ends it; 1 if a call was left. */
void elq_watch(int (*ask)(void));
int elq_unwatch(void);

/* Whether the call was left: a long piece asks now and then, and returns if so. */
int elq_given_up(void);

/* Nanoseconds of that clock now. */
int64_t elq_nanoseconds(void);

/* There is one pool in a process. It lives in the extension module elq_ref._common (common/pool.c); the others link
 * common/pool_link.c, whose functions of the same names call these, and give it elq_the_pool once, when they load. */
typedef struct {
    int (*num_threads)(void);
    void (*parallel_for)(ptrdiff_t count, elq_task task, void *context);
    void (*parallel_loops)(ptrdiff_t loops, const ptrdiff_t *counts, elq_loop_task task, void *context, int64_t *ends);
    int64_t (*nanoseconds)(void);
    void (*watch)(int (*ask)(void));
    int (*unwatch)(void);
    int (*given_up)(void);
} elq_pool;

extern const elq_pool elq_the_pool;
void elq_pool_link(const elq_pool *shared);

#endif
