# cython: language_level=3, boundscheck=False, wraparound=False, binding=True
"""Glue of the inference kernels: checks arrays and geometry, then calls C without the GIL."""

import numpy as np

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint8_t


cdef extern from "cpu.h":
    const char *ELQ_ISA_WORDS
    const char *elq_isa_name(int isa)
    int elq_isa()

cdef extern from "pool.h":
    ctypedef void (*elq_task)(void *context, ptrdiff_t index, int worker) noexcept nogil
    int elq_num_threads() nogil
    void elq_parallel_for(ptrdiff_t count, elq_task task, void *context) nogil

cdef extern from "infer_conv.h":
    enum: ELQ_BLOCK, ELQ_SCRATCH
    ctypedef struct elq_conv:
        const float *x
        float *y
        const void *weights
        const float *scale
        const float *bias
        float *scratch
        ptrdiff_t n, h, w, c, p, q, o, kh, kw
        ptrdiff_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups
    ptrdiff_t elq_conv_tasks(const elq_conv *conv) nogil
    void elq_conv_f32_t2__generic(void *conv, ptrdiff_t index, int worker) noexcept nogil
    void elq_conv_f32_b1__generic(void *conv, ptrdiff_t index, int worker) noexcept nogil
    void elq_conv_f32_f32__generic(void *conv, ptrdiff_t index, int worker) noexcept nogil


BLOCK = ELQ_BLOCK
KERNELS = {bits: f"elq_conv_f32_{weights}__generic" for bits, weights in ((2, "t2"), (1, "b1"), (32, "f32"))}


def isa() -> str:
    """The instruction set that ELQ_ISA or the CPU chooses; ImportError for a word that it cannot be."""
    cdef int found = elq_isa()
    if found < 0:
        raise ImportError(f"ELQ_ISA is not one of {ELQ_ISA_WORDS.decode()}, or this CPU lacks it")
    return elq_isa_name(found).decode()


def threads() -> int:
    """Threads of the pool; ImportError if ELQ_NUM_THREADS is not a number that it can be."""
    cdef int found = elq_num_threads()
    if found < 0:
        raise ImportError("ELQ_NUM_THREADS is not a number from 1 to 64")
    return found


def conv_f32(const float[:, :, :, ::1] x, const uint8_t[::1] weights, int bits, const float[::1] scale,
             const float[::1] bias, kernel, stride, padding, dilation, ptrdiff_t groups, shape):
    """y (N, P, Q, O) of x (N, H, W, C): infer_conv.h. `weights` are the blocks, `bits` (1, 2, 32) a weight.

    kernel, stride, padding, dilation are (rows, columns), shape is (P, Q, O).
    """
    cdef elq_conv g
    cdef elq_task task
    g.n, g.h, g.w, g.c = x.shape[0], x.shape[1], x.shape[2], x.shape[3]
    g.p, g.q, g.o = shape
    g.kh, g.kw = kernel
    g.stride_h, g.stride_w = stride
    g.pad_h, g.pad_w = padding
    g.dilation_h, g.dilation_w = dilation
    g.groups = groups
    if min(g.h, g.w, g.c, g.p, g.q, g.o, g.kh, g.kw, *stride, *dilation, groups) < 1 or min(padding) < 0:
        raise ValueError("conv_f32: a length, stride, dilation or padding is too small")
    if g.c % groups or g.o % groups or scale.shape[0] != g.o or bias.shape[0] != g.o:
        raise ValueError(f"conv_f32: {g.c} and {g.o} channels in {groups} groups, {scale.shape[0]} scales")
    cdef ptrdiff_t blocks = groups * ((g.o // groups + BLOCK - 1) // BLOCK)
    if bits not in KERNELS or weights.shape[0] != blocks * g.kh * g.kw * (g.c // groups) * BLOCK * bits // 8:
        raise ValueError(f"conv_f32: {weights.shape[0]} bytes of {bits}-bit weights do not fit the shape")
    y = np.empty((g.n, g.p, g.q, g.o), np.float32)
    if g.n == 0:
        return y
    scratch = np.empty(ELQ_SCRATCH * threads(), np.float32)
    cdef float[:, :, :, ::1] y_view = y
    cdef float[::1] scratch_view = scratch
    g.x, g.y, g.weights = &x[0, 0, 0, 0], &y_view[0, 0, 0, 0], &weights[0]
    g.scale, g.bias, g.scratch = &scale[0], &bias[0], &scratch_view[0]
    if bits == 2:
        task = elq_conv_f32_t2__generic
    elif bits == 1:
        task = elq_conv_f32_b1__generic
    else:
        task = elq_conv_f32_f32__generic
    with nogil:
        elq_parallel_for(elq_conv_tasks(&g), task, &g)
    return y
