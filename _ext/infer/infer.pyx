# cython: language_level=3, boundscheck=False, wraparound=False, binding=True
"""Glue of the inference kernels: checks arrays and geometry, then calls C without the GIL."""

import math

import numpy as np

from . import _common

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int8_t, int32_t, uint8_t
from libc.stdlib cimport calloc, free

from common.shared cimport (
    elq_features,
    elq_isa_name,
    elq_isa_runs,
    elq_num_threads,
    elq_parallel_for,
    elq_pool,
    elq_pool_link,
    elq_unwatch,
    elq_watch,
)
from infer.kernels cimport *

include "common/signals.pxi"

cnp.import_array()
ACTIVATIONS = {"float32": ELQ_F32, "int8": ELQ_I8, "int8 sums": ELQ_I8_SUMS, "float32 ordered": ELQ_F32_ORDERED}
WEIGHTS = {"ternary": ELQ_T2, "binary": ELQ_B1, "full": ELQ_FULL}
ERRORS = {ELQ_DIRECT: "direct", ELQ_WINOGRAD: "winograd"}


elq_pool_link(<const elq_pool *> PyCapsule_GetPointer(_common.pool, "elq_pool"))
cdef elq_features _features = _common.features
threads = _common.threads


def isa() -> str:
    """The best instruction set in use."""
    return elq_isa_name(elq_infer_isa(_features)).decode()


def kernels() -> list:
    """Names of the kernels that run with the instruction set in use, the best first."""
    cdef int index = 0
    cdef const elq_kernel *kernel = elq_infer_kernel(0)
    names = []
    while kernel is not NULL:
        if elq_isa_runs(_features, kernel.isa):
            names.append(kernel.name.decode())
        index += 1
        kernel = elq_infer_kernel(index)
    return names


def rows() -> list:
    """Names of the functions of infer/rows.h that run with the instruction set in use."""
    cdef int index = 0
    cdef const elq_rows_entry *entry = elq_rows_number(0)
    names = []
    while entry is not NULL:
        if elq_isa_runs(_features, entry.isa):
            names.append(entry.name.decode())
        index += 1
        entry = elq_rows_number(index)
    return names


def rows_name(str name) -> str:
    """The best here of the functions of infer/rows.h that are called `name` or `name`__<isa>."""
    return rows_entry(name).name.decode()


cdef const elq_rows_entry *rows_entry(str name) except NULL:
    cdef const elq_rows_entry *entry = elq_rows_find(_features, name.encode())
    if entry is NULL:
        raise ValueError(f"there is no instruction {name!r}")
    return entry


def kernel_for(activations, weights, size, outputs, kernel, stride, padding, dilation, ptrdiff_t groups) -> str:
    """The kernel that a PackedLayer of these arguments would run, without its weights."""
    cdef elq_shape shape = layer_shape(size, outputs, kernel, stride, padding, dilation, groups)
    return elq_infer_select(_features, ACTIVATIONS[activations], WEIGHTS[weights], &shape).name.decode()


cdef struct limit_call:
    const elq_limit *limit
    ptrdiff_t repetitions


cdef void limit_task(void *context, ptrdiff_t index, int worker) noexcept nogil:
    cdef limit_call *c = <limit_call *> context
    c.limit.run(c.repetitions)


def limit(activations, double macs=0):
    """The instruction that bounds the kernels here, None where that is plain C; after doing `macs` multiply-adds with
    it on all threads, every operand in a register: infer/limit.h."""
    cdef limit_call c
    cdef ptrdiff_t tasks = 8 * elq_num_threads()
    c.limit = elq_infer_limit(_features, ACTIVATIONS[activations])
    if c.limit is NULL:
        return None
    c.repetitions = <ptrdiff_t> math.ceil(macs / tasks / c.limit.macs)
    with nogil:
        elq_parallel_for(tasks, limit_task, &c)
    return c.limit.name.decode()


cdef elq_shape layer_shape(size, outputs, kernel, stride, padding, dilation, ptrdiff_t groups) except *:
    """The shape of a layer; ValueError if there is none."""
    cdef elq_shape g
    g.h, g.w, g.c = size
    g.kh, g.kw = kernel
    g.stride_h, g.stride_w = stride
    top, left, bottom, right = padding if len(padding) == 4 else (*padding, *padding)
    g.pad_h, g.pad_w = top, left
    g.dilation_h, g.dilation_w = dilation
    g.groups, g.o = groups, outputs
    if min(g.h, g.w, g.c, g.o, g.kh, g.kw, *stride, *dilation, groups) < 1 or min(padding) < 0:
        raise ValueError("a length, stride, dilation or padding of a layer is too small")
    g.p = (g.h + top + bottom - g.dilation_h * (g.kh - 1) - 1) // g.stride_h + 1
    g.q = (g.w + left + right - g.dilation_w * (g.kw - 1) - 1) // g.stride_w + 1
    if min(g.p, g.q) < 1 or g.c % groups or g.o % groups:
        raise ValueError(f"{g.c} channels to {g.o} in {groups} groups, {g.p} x {g.q} pixels: not a layer")
    return g


def aligned(ptrdiff_t size) -> np.ndarray:
    """`size` uninitialized bytes that start at a multiple of ELQ_ALIGN."""
    buffer = np.empty(size + ELQ_ALIGN, np.uint8)
    cdef ptrdiff_t first = <ptrdiff_t> (address(buffer) % ELQ_ALIGN)
    return buffer[(ELQ_ALIGN - first) % ELQ_ALIGN:][:size]


cdef struct call:
    elq_conv conv
    const elq_kernel *kernel
    char *scratch
    ptrdiff_t scratch_bytes


cdef void run_task(void *context, ptrdiff_t index, int worker) noexcept nogil:
    cdef call *c = <call *> context
    c.kernel.run(&c.conv, index, c.scratch + worker * c.scratch_bytes)


cdef int run_tasks(call *c, ptrdiff_t tasks) except -1 nogil:
    """All of them, unless a signal's handler raises something."""
    elq_watch(signalled)
    elq_parallel_for(tasks, run_task, c)
    return -1 if elq_unwatch() else 0


cdef size_t address(cnp.ndarray array) except? 0:
    return <size_t> cnp.PyArray_DATA(array)


cdef class PackedLayer:
    """A convolution or fully connected layer, packed for the best kernel that there is: infer/kernels.h.

    activations: "float32", "int8", "int8 sums" (int8 in, int32 out) or "float32 ordered" (for "full" weights: the same
    bits everywhere). weights: "ternary" or "binary" rows of codes, uint8 (O, bytes) as they lie in the file, or "full"
    rows of float32 or int8 (O, K). size: (H, W, C). kernel, stride, dilation: (rows, columns). padding: the same, or
    (top, left, bottom, right). tail: for float32 activations (scale, bias, low[, high]), for int8 ones (b, q, s, lo,
    hi, l, None or (q_v, q_r, s_add, lo_add, hi_add)). name: the kernel, for tests; ValueError if it does not run
    this layer.
    """

    cdef elq_shape shape
    cdef const elq_kernel *kernel
    cdef elq_tail_f32 f32
    cdef elq_tail_i8 i8
    cdef readonly object packed  # uint8: the weights as they stay in memory
    cdef object arrays

    def __init__(self, activations, weights, rows, size, kernel, stride, padding, dilation, ptrdiff_t groups, tail,
                 name=None):
        self.shape = layer_shape(size, len(rows), kernel, stride, padding, dilation, groups)
        cdef elq_shape *g = &self.shape
        self._choose(ACTIVATIONS[activations], WEIGHTS[weights], name)
        cdef ptrdiff_t length = g.kh * g.kw * (g.c // groups)
        dtype, width = {
            "ternary": (np.uint8, (2 * length + 7) // 8),
            "binary": (np.uint8, (length + 7) // 8),
            "full": (np.float32 if elq_of_floats(self.kernel.activations) else np.int8, length),
        }[weights]
        if rows.dtype != dtype or rows.shape != (g.o, width):
            raise ValueError(f"rows of {weights} weights are {rows.dtype} {rows.shape}, wanted {dtype} {(g.o, width)}")
        rows = np.ascontiguousarray(rows).view(np.uint8)
        self.packed = aligned(self.kernel.weight_bytes(g))
        cdef const uint8_t[:, ::1] source = rows
        cdef uint8_t[::1] target = self.packed
        with nogil:
            self.kernel.pack(g, &source[0, 0], &target[0])
        if elq_of_floats(self.kernel.activations):
            self._set_f32(*tail)
        else:
            self._set_i8(*tail)

    def _choose(self, activations, weights, name):
        cdef int index = 0
        cdef const elq_kernel *k
        self.kernel = NULL
        if name is None:
            self.kernel = elq_infer_select(_features, activations, weights, &self.shape)
        else:
            k = elq_infer_kernel(index)
            while k is not NULL:
                if k.name.decode() == name and k.activations == activations and k.weights == weights:
                    if elq_isa_runs(_features, k.isa) and k.runs(&self.shape):
                        self.kernel = k
                index += 1
                k = elq_infer_kernel(index)
        if self.kernel is NULL:
            raise ValueError(f"kernel {name} does not run this layer here")

    def _set_f32(self, scale, bias, float low, float high=math.inf):
        cdef const float[::1] a = scale, b = bias
        if not a.shape[0] == b.shape[0] == self.shape.o:
            raise ValueError(f"{a.shape[0]} scales and {b.shape[0]} biases for {self.shape.o} channels")
        self.arrays = scale, bias
        self.f32.scale, self.f32.bias, self.f32.low, self.f32.high = &a[0], &b[0], low, high

    def _set_i8(self, b, q, s, lo, hi, int left, add):
        cdef const int32_t[::1] b_view = b, q_view = q
        cdef const uint8_t[::1] s_view = s
        cdef const int8_t[::1] lo_view = lo, hi_view = hi
        if not len(b) == len(q) == len(s) == len(lo) == len(hi) == self.shape.o:
            raise ValueError(f"arrays of a tail are not of the length {self.shape.o}")
        if min(q) < 0 or min(s) < 33 or max(s) > 62 or not 0 <= left <= 30:
            raise ValueError("a multiplier or shift of a tail is out of its range")
        self.arrays = b, q, s, lo, hi
        self.i8.b, self.i8.q, self.i8.s = &b_view[0], &q_view[0], &s_view[0]
        self.i8.lo, self.i8.hi = &lo_view[0], &hi_view[0]
        self.i8.left = left
        self.i8.q_v, self.i8.q_r, self.i8.s_add, self.i8.lo_add, self.i8.hi_add = add or (0, 0, 1, 0, 0)
        if not 1 <= self.i8.s_add <= 31 or max(abs(self.i8.q_v), abs(self.i8.q_r)) >= 1 << 22:
            raise ValueError("a multiplier or shift of an addition is out of its range")

    @property
    def name(self) -> str:
        """The kernel that runs it."""
        return self.kernel.name.decode()

    @property
    def error(self) -> str:
        """How far the kernel's float sums may be off: "direct" or "winograd" (infer/kernels.h)."""
        return ERRORS[self.kernel.error]

    def __call__(self, x, residual=None):
        """y (N, P, Q, O) of x (N, H, W, C) and perhaps a residual like y, all float32 or all int8."""
        cdef elq_shape *g = &self.shape
        dtype = np.float32 if elq_of_floats(self.kernel.activations) else np.int8
        cdef call c
        y = np.empty((len(x), g.p, g.q, g.o), np.int32 if self.kernel.activations == ELQ_I8_SUMS else dtype)
        for name, array, wanted in ("x", x, (len(x), g.h, g.w, g.c)), ("residual", residual, y.shape):
            if array is not None and (array.dtype != dtype or array.shape != wanted or not array.flags.c_contiguous):
                raise ValueError(f"{name} is {array.dtype} {array.shape}, wanted {np.dtype(dtype)} {wanted} in order")
        c.conv.shape, c.conv.n, c.conv.weights = g[0], len(x), <const void *> address(self.packed)
        c.conv.x, c.conv.y, c.conv.residual = <const void *> address(x), <void *> address(y), NULL
        if residual is not None:
            c.conv.residual = <const void *> address(residual)
        c.conv.tail = <const void *> &self.f32 if dtype is np.float32 else <const void *> &self.i8
        c.kernel, c.scratch_bytes = self.kernel, self.kernel.scratch_bytes(g)
        c.scratch_bytes += -c.scratch_bytes % ELQ_ALIGN
        scratch = aligned(c.scratch_bytes * elq_num_threads())
        c.scratch = <char *> address(scratch)
        with nogil:
            run_tasks(&c, self.kernel.tasks(g, c.conv.n) if c.conv.n > 0 else 0)
        return y


PLACES = {"arena": ELQ_ARENA, "input": ELQ_INPUT, "output": ELQ_OUTPUT}


cdef class Program:
    """Steps that C runs in one call, over values in one arena: infer/program.h.

    instructions: objects with the attributes of runtime.instructions.Instruction. The bytes are those of one picture.
    """

    cdef elq_program program
    cdef elq_instruction *instructions
    cdef ptrdiff_t budget
    cdef object kept
    cdef list arenas  # of calls that are over, for the next ones: taken and given back under the GIL

    def __cinit__(self, instructions, ptrdiff_t arena_bytes, ptrdiff_t input_bytes, ptrdiff_t output_bytes):
        cdef ptrdiff_t k
        self.instructions = <elq_instruction *> calloc(len(instructions), sizeof(elq_instruction))
        if not self.instructions:
            raise MemoryError
        self.kept, self.arenas, self.budget = list(instructions), [], elq_cache_bytes() // 2
        self.program.instructions, self.program.count = self.instructions, len(instructions)
        self.program.arena_bytes = arena_bytes
        self.program.input_bytes, self.program.output_bytes = input_bytes, output_bytes
        for k in range(len(instructions)):
            self._set(&self.instructions[k], instructions[k])

    def __dealloc__(self):
        free(self.instructions)

    cdef int _set(self, elq_instruction *s, instruction) except -1:
        cdef PackedLayer layer
        s.x.where, s.x.offset = place(instruction.x)
        s.residual.where, s.residual.offset = place(instruction.residual)
        s.y.where, s.y.offset = place(instruction.y)
        if instruction.layer is not None:
            layer = instruction.layer
            s.kernel, s.shape, s.f32, s.i8 = layer.kernel, layer.shape, layer.f32, layer.i8
            s.weights = <const void *> address(layer.packed)
            self.program.scratch_bytes = max(self.program.scratch_bytes, layer.kernel.scratch_bytes(&layer.shape))
            return 0
        s.rows = rows_entry(instruction.rows).rows
        s.shape.h, s.shape.w, s.shape.c = instruction.size
        s.shape.p, s.shape.q, s.shape.o = instruction.shape
        s.shape.kh, s.shape.kw = instruction.kernel
        s.shape.stride_h, s.shape.stride_w = instruction.stride
        s.first_channel, s.shape.pad_h, s.shape.pad_w = instruction.before
        s.f32.low, s.f32.high, s.raw = instruction.low, instruction.high, instruction.raw
        s.units = s.shape.p * s.shape.q if "pool" in instruction.rows else s.shape.p
        if instruction.scale is not None:
            s.f32.scale = <const float *> address(instruction.scale)
            s.f32.bias = <const float *> address(instruction.bias)
        if instruction.numbers is not None:
            s.numbers = <const float *> address(instruction.numbers)
        if instruction.which is not None:
            s.which = <const int32_t *> address(instruction.which)
        if instruction.table is not None:
            s.table = <const void *> address(instruction.table)
        if instruction.weights is not None:
            s.weights = <const void *> address(instruction.weights)
        if instruction.requantize is not None:
            b, q, shift, lo, hi, left, _ = instruction.requantize
            s.i8.b, s.i8.q, s.i8.s = <int32_t *> address(b), <int32_t *> address(q), <uint8_t *> address(shift)
            s.i8.lo, s.i8.hi = <int8_t *> address(lo), <int8_t *> address(hi)
            s.i8.left = left
        if instruction.add is not None:
            s.i8.q_v, s.i8.q_r, s.i8.s_add, s.i8.lo_add, s.i8.hi_add = instruction.add
        return 0

    def memory(self, ptrdiff_t n) -> int:
        """Bytes of the arenas, scratch and bookkeeping of a call with n pictures."""
        return elq_program_schedule(&self.program, n, self.budget, 0).bytes

    def run(self, cnp.ndarray x, cnp.ndarray y, cnp.ndarray seconds=None):
        """Compute y (N, ...) of x (N, C, H, W), contiguous and of the types that the instructions read and write.

        seconds: float64, one an instruction, to which the time of each is added. A signal is answered within a fraction
        of a second: what its handler raises ends the call.
        """
        cdef ptrdiff_t n = len(x)
        cdef elq_schedule schedule = elq_program_schedule(&self.program, n, self.budget, seconds is not None)
        cdef const void *from_ = cnp.PyArray_DATA(x)
        cdef void *to = cnp.PyArray_DATA(y)
        cdef double *times = NULL
        if x.nbytes != n * self.program.input_bytes or y.nbytes != n * self.program.output_bytes or n == 0:
            raise ValueError(f"{x.nbytes} and {y.nbytes} bytes are not {n} pictures of this program")
        if seconds is not None:
            if seconds.dtype != np.float64 or len(seconds) != self.program.count:
                raise ValueError(f"wanted {self.program.count} float64 for the times of the instructions")
            times = <double *> cnp.PyArray_DATA(seconds)
        try:
            arena = self.arenas.pop()
        except IndexError:
            arena = None
        if arena is None or <size_t> len(arena) < schedule.bytes:
            arena = aligned(schedule.bytes)
        cdef void *memory = cnp.PyArray_DATA(arena)
        with nogil:
            elq_program_run(&self.program, &schedule, from_, to, memory, times, signalled)
        self.arenas.append(arena)


cdef tuple place(where):
    """(where, offset) of ("arena", offset), "input" and the like, or None."""
    if where is None:
        return ELQ_NOWHERE, 0
    return PLACES[where[0]], where[1]
