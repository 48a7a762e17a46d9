"""What train.pyx needs of the C headers of this folder."""

from common.shared cimport elq_features

ctypedef void *pointer


cdef extern from "train/memory.h" nogil:
    void *elq_memory_take(Py_ssize_t bytes)
    void elq_memory_give(void *block)

cdef extern from "train/kernels.h" nogil:
    struct elq_conv:
        Py_ssize_t n, groups, c, o, h, w, p, q, kh, kw
        Py_ssize_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w
    struct elq_array:
        void *data
        Py_ssize_t s[4]
    struct elq_norm:
        Py_ssize_t pixels, c
        int relu
        double eps
        const void *x
        const void *residual
        const void *gamma
        const void *beta
        void *y
        void *mean
        void *var
        const void *dy
        void *dx
        void *dresidual
        void *dgamma
        void *dbeta
    struct elq_max_pool:
        Py_ssize_t n, c, h, w, p, q, kh, kw, stride_h, stride_w, top, left
        const void *x
        const void *dy
        void *y
        void *dx
        unsigned char *place
    enum: ELQ_FUNCTIONS
    struct elq_pointwise:
        int function
        Py_ssize_t count
        double a, b
        const void *x
        const void *dy
        void *y
    struct elq_linear:
        Py_ssize_t n, c, o
        const void *x
        const void *w
        const void *bias
        const void *dy
        void *y
        void *dx
        void *dw
    struct elq_sgd:
        Py_ssize_t count
        int is_double, nesterov
        double lr, momentum, weight_decay
        const void *w
        const void *dw
        const void *velocity
        const unsigned char *free
        void *new_w
        void *new_velocity
    void elq_sgd_step(const elq_sgd *)
    enum: ELQ_STRETCH
    struct elq_objective:
        Py_ssize_t count
        int is_double, squared
        double one, two, a2
        const void *first
        const void *second
        const void *w
        const void *w_hat
        const unsigned char *frozen
        void *dw
        double *errors
    void elq_objective_gradient(const elq_objective *)
    struct elq_train_kernels:
        int (*conv)(const elq_conv *, elq_array, elq_array, const void *, elq_array) noexcept nogil
        int (*conv_dx)(const elq_conv *, elq_array, elq_array, elq_array) noexcept nogil
        int (*conv_dw)(const elq_conv *, elq_array, elq_array, elq_array) noexcept nogil
        int (*linear)(const elq_linear *) noexcept nogil
        int (*linear_dx)(const elq_linear *) noexcept nogil
        int (*linear_dw)(const elq_linear *) noexcept nogil
        int (*norm)(const elq_norm *) noexcept nogil
        int (*norm_backward)(const elq_norm *) noexcept nogil
        int (*scale_shift)(const elq_norm *) noexcept nogil
        int (*max_pool)(const elq_max_pool *) noexcept nogil
        int (*max_pool_backward)(const elq_max_pool *) noexcept nogil
        int (*relu)(Py_ssize_t, const void *, const void *, void *) noexcept nogil
        int (*pointwise)(const elq_pointwise *) noexcept nogil
        int (*sums)(Py_ssize_t, Py_ssize_t, const void *, void *) noexcept nogil
    void elq_nearest_level(int is_double, int ternary, Py_ssize_t rows, Py_ssize_t columns, const void *w,
                           const void *alpha, void *w_hat)
    int elq_train_isa(elq_features features)
    Py_ssize_t elq_conv_lanes(Py_ssize_t groups, Py_ssize_t o)
    const elq_train_kernels *elq_train_select(int isa, int is_double, Py_ssize_t outputs)
