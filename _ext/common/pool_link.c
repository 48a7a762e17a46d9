/* The functions of common/pool.h in an extension module that has no pool of its own: those of the one that has it. */
#include "common/pool.h"

#include <assert.h>

static const elq_pool *pool;

void elq_pool_link(const elq_pool *shared) {
    assert(shared);
    pool = shared;
}

int elq_num_threads(void) { return pool->num_threads(); }

void elq_parallel_for(ptrdiff_t count, elq_task task, void *context) { pool->parallel_for(count, task, context); }

void elq_parallel_loops(ptrdiff_t loops, const ptrdiff_t *counts, elq_loop_task task, void *context, int64_t *ends) {
    pool->parallel_loops(loops, counts, task, context, ends);
}

int64_t elq_nanoseconds(void) { return pool->nanoseconds(); }

void elq_watch(int (*ask)(void)) { pool->watch(ask); }

int elq_unwatch(void) { return pool->unwatch(); }

int elq_given_up(void) { return pool->given_up(); }
