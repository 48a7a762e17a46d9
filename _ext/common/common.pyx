# cython: language_level=3
"""What the kernels of training and inference share in a process: the instruction sets in use and one pool of threads.

The environment is read here, once, when this module is loaded; ValueError for a word that ELQ_ISA or ELQ_NUM_THREADS
cannot be.
"""

import os

from cpython.pycapsule cimport PyCapsule_New

from common.shared cimport (
    ELQ_ISA_COUNT,
    ELQ_MAX_THREADS,
    elq_cpu_features,
    elq_features,
    elq_isa_find,
    elq_isa_name,
    elq_isa_needs,
    elq_isa_runs,
    elq_num_threads,
    elq_quota_cores,
    elq_the_pool,
)

WORDS = tuple(elq_isa_name(isa).decode() for isa in range(ELQ_ISA_COUNT))  # what ELQ_ISA may be

pool = PyCapsule_New(<void *> &elq_the_pool, "elq_pool", NULL)  # for elq_pool_link of common/pool.h


def parse(str word) -> int:
    """The features in use where ELQ_ISA is `word`, "" for all that this CPU has."""
    cdef elq_features has = elq_cpu_features()
    cdef int isa = elq_isa_find(word.encode())
    if not word:
        return has
    if isa < 0:
        raise ValueError(f"ELQ_ISA is {word!r}, wanted one of {', '.join(WORDS)}")
    if not elq_isa_runs(has, isa):
        raise ValueError(f"ELQ_ISA is {word!r}, an instruction set that this CPU or this build lacks")
    return elq_isa_needs(isa)


def threads() -> int:
    """Threads of the pool, the caller included."""
    return elq_num_threads()


def quota_cores(str root="") -> int:
    """Processors that the quota of this process's control groups allows, 0 for any number; `root`: of a tree to try."""
    return elq_quota_cores(root.encode())


features = parse(os.environ.get("ELQ_ISA", ""))  # in use, a bit each: common/cpu.h
if elq_num_threads() < 1:
    raise ValueError(f"ELQ_NUM_THREADS is {os.environ.get('ELQ_NUM_THREADS')!r}, wanted 1 to {ELQ_MAX_THREADS}")
