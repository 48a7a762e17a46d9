"""Arrays on the glue of the training kernels: the memory of results, and how arrays lie. Part of train.pyx."""


cdef class _Block:
    """The memory of a result: goes back to train/memory.c with the last array on it."""
    cdef void *data

    def __dealloc__(self):
        elq_memory_give(self.data)


cdef _empty(tuple shape, dtype):
    """np.empty, on memory that is used again if there is much of it."""
    cdef Py_ssize_t dims[4]
    cdef Py_ssize_t k, size = dtype.itemsize
    for k in range(len(shape)):
        dims[k] = shape[k]
        size *= dims[k]
    if size < 1 << 16:
        return np.empty(shape, dtype)
    cdef _Block block = _Block()
    block.data = elq_memory_take(size)
    if block.data is NULL:
        raise MemoryError(f"no memory for a result of shape {shape}")
    array = cnp.PyArray_SimpleNewFromData(len(shape), <cnp.npy_intp *>dims, dtype.num, block.data)
    cnp.set_array_base(array, block)
    return array


cdef bint _is_result(x):
    """Whether x lies where `_empty` made room: it is nobody's input."""
    base = x.base
    return isinstance(base.base if isinstance(base, np.ndarray) else base, _Block)


cdef cnp.ndarray _aligned(cnp.ndarray x):
    """x, or a copy if its elements do not lie at whole multiples of their size."""
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(x)
    cdef int k
    for k in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_STRIDE(x, k) % size:
            return x.copy()
    return x if cnp.PyArray_ISALIGNED(x) else x.copy()


cdef void *_data(cnp.ndarray x):
    return cnp.PyArray_DATA(x)


cdef elq_array _view(cnp.ndarray x):
    cdef elq_array a
    cdef int k
    a.data = cnp.PyArray_DATA(x)
    for k in range(4):
        a.s[k] = x.strides[k] // x.itemsize
    return a
