"""What infer.pyx needs of the C headers of this folder."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int8_t, int32_t, uint8_t

from common.shared cimport elq_features


cdef extern from "infer/kernels.h":
    enum: ELQ_ALIGN
    cdef enum elq_activations:
        ELQ_F32, ELQ_I8, ELQ_I8_SUMS, ELQ_F32_ORDERED
    int elq_of_floats(elq_activations activations) nogil
    cdef enum elq_weights:
        ELQ_T2, ELQ_B1, ELQ_FULL
    cdef enum elq_error:
        ELQ_DIRECT, ELQ_WINOGRAD
    ctypedef struct elq_shape:
        ptrdiff_t h, w, c, p, q, o, kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups
    ctypedef struct elq_tail_f32:
        const float *scale
        const float *bias
        float low, high
    ctypedef struct elq_tail_i8:
        const int32_t *b
        const int32_t *q
        const uint8_t *s
        const int8_t *lo
        const int8_t *hi
        int left "l"
        int32_t q_v, q_r
        int s_add, lo_add, hi_add
    ctypedef struct elq_conv:
        elq_shape shape
        ptrdiff_t n
        const void *x
        const void *residual
        void *y
        const void *weights
        const void *tail
    ctypedef struct elq_kernel:
        const char *name
        int isa
        elq_activations activations
        elq_weights weights
        int (*runs)(const elq_shape *shape) nogil
        size_t (*weight_bytes)(const elq_shape *shape) nogil
        void (*pack)(const elq_shape *shape, const void *rows, void *packed) nogil
        size_t (*scratch_bytes)(const elq_shape *shape) nogil
        ptrdiff_t (*tasks)(const elq_shape *shape, ptrdiff_t n) nogil
        void (*run)(const elq_conv *conv, ptrdiff_t task, void *scratch) noexcept nogil
        elq_error error
    const elq_kernel *elq_infer_select(elq_features features, elq_activations activations, elq_weights weights,
                                       const elq_shape *shape) nogil
    int elq_infer_isa(elq_features features) nogil
    const elq_kernel *elq_infer_kernel(int index) nogil


cdef extern from "infer/program.h":
    enum elq_where:
        ELQ_NOWHERE, ELQ_ARENA, ELQ_INPUT, ELQ_OUTPUT
    ctypedef struct elq_place:
        elq_where where
        ptrdiff_t offset
    ctypedef struct elq_instruction
    ctypedef void elq_rows(const elq_instruction *s, const void *x, const void *residual, void *y, ptrdiff_t first,
                           ptrdiff_t last) noexcept nogil
    ctypedef struct elq_instruction:
        const elq_kernel *kernel
        elq_rows *rows
        elq_shape shape
        elq_place x, residual, y
        const void *weights
        elq_tail_f32 f32
        elq_tail_i8 i8
        const float *numbers
        const int32_t *which
        const void *table
        ptrdiff_t first_channel, units
        int raw
    ctypedef struct elq_program:
        const elq_instruction *instructions
        ptrdiff_t count, input_bytes, output_bytes, arena_bytes
        size_t scratch_bytes
    ctypedef struct elq_schedule:
        ptrdiff_t n, chunk
        int alone, workers
        size_t bytes
    elq_schedule elq_program_schedule(const elq_program *program, ptrdiff_t n, ptrdiff_t budget, int profile) nogil
    int elq_program_run(const elq_program *program, const elq_schedule *schedule, const void *x, void *y, void *memory,
                        double *seconds, int (*interrupted)() noexcept nogil) except -1 nogil
    ptrdiff_t elq_cache_bytes()

cdef extern from "infer/limit.h":
    ctypedef struct elq_limit:
        const char *name
        ptrdiff_t macs
        void (*run)(ptrdiff_t repetitions) noexcept nogil
    const elq_limit *elq_infer_limit(elq_features features, elq_activations activations)

cdef extern from "infer/rows.h":
    ctypedef struct elq_rows_entry:
        const char *name
        int isa
        elq_rows *rows
    const elq_rows_entry *elq_rows_find(elq_features features, const char *name)
    const elq_rows_entry *elq_rows_number(int index)
