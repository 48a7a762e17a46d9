"""What all modules need of the C headers of this folder."""

from libc.stddef cimport ptrdiff_t


cdef extern from "common/cpu.h" nogil:
    ctypedef unsigned elq_features
    int ELQ_ISA_COUNT
    elq_features elq_cpu_features()
    elq_features elq_isa_needs(int isa)
    int elq_isa_runs(elq_features features, int isa)
    const char *elq_isa_name(int isa)
    int elq_isa_find(const char *word)

cdef extern from "common/cores.h" nogil:
    int elq_quota_cores(const char *root)

cdef extern from "common/pool.h" nogil:
    enum: ELQ_MAX_THREADS
    ctypedef void (*elq_task)(void *context, ptrdiff_t index, int worker) noexcept nogil
    int elq_num_threads()
    void elq_parallel_for(ptrdiff_t count, elq_task task, void *context)
    ctypedef struct elq_pool:
        pass
    const elq_pool elq_the_pool
    void elq_pool_link(const elq_pool *shared)
    void elq_watch(int (*ask)() noexcept nogil) nogil
    int elq_unwatch() nogil
