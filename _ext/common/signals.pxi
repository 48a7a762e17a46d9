"""Whether a signal came while C computed. Part of train.pyx and infer.pyx."""


cdef extern from "Python.h":
    int PyErr_CheckSignals()  # -1, and what the handler raised stays set


cdef int signalled() noexcept nogil:
    """Whether a signal's handler raised something, which stays set. Threads but the main one see none."""
    with gil:
        return PyErr_CheckSignals()
