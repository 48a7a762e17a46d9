# cython: language_level=3, boundscheck=False, wraparound=False
"""Glue of the training kernels (_ext/train/kernels.h): checks, allocates results, calls, nothing more.

The functions and their meaning are those of elq_ref.kernels.numpy_ops.
"""

import numpy as np

from . import _common
cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.string cimport memset

from common.shared cimport elq_isa_name, elq_pool, elq_pool_link, elq_unwatch, elq_watch
from train.kernels cimport *

include "common/signals.pxi"
include "train/arrays.pxi"

cnp.import_array()
elq_pool_link(<const elq_pool *> PyCapsule_GetPointer(_common.pool, "elq_pool"))
cdef int _isa = -1
cdef object FLOAT32 = np.dtype(np.float32), FLOAT64 = np.dtype(np.float64)  # a comparison with a type makes one anew


def use(word: str | None = None) -> None:
    """Choose the instruction set that ELQ_ISA may name; None: what it names, or the best."""
    global _isa
    _isa = elq_train_isa(_common.features if word is None else _common.parse(word))


def isa() -> str:
    """The instruction set in use."""
    return elq_isa_name(_isa).decode()


threads = _common.threads
use()


cdef const elq_train_kernels *_kernels(tuple arrays, Py_ssize_t outputs) except NULL:
    """The kernels for the one dtype of these arrays (or None) and so many channels in lanes."""
    dtype = arrays[0].dtype
    cdef bint one = dtype == FLOAT32 or dtype == FLOAT64
    for array in arrays:
        one = one and (array is None or array.dtype == dtype)
    if not one:
        given = ", ".join([str(array.dtype) for array in arrays if array is not None])
        raise TypeError(f"wanted one dtype, float32 or float64, given {given}")
    return elq_train_select(_isa, dtype == FLOAT64, outputs)


cdef elq_conv _geometry(x_shape, w_shape, stride, padding, dilation, int groups) except *:
    cdef elq_conv g
    g.n, channels, g.h, g.w = x_shape
    outputs, g.c, g.kh, g.kw = w_shape
    g.groups = groups
    g.stride_h, g.stride_w = stride
    g.pad_h, g.pad_w = padding
    g.dilation_h, g.dilation_w = dilation
    if groups < 1 or channels != groups * g.c or outputs % groups or min(*x_shape, *w_shape) < 1:
        raise ValueError(f"convolution of x {tuple(x_shape)} with w {tuple(w_shape)} in {groups} group(s)")
    if min(*stride, *dilation) < 1 or min(padding) < 0:
        raise ValueError(f"convolution with stride {stride}, dilation {dilation}, padding {padding}")
    g.o = outputs // groups
    g.p = (g.h + 2 * g.pad_h - g.dilation_h * (g.kh - 1) - 1) // g.stride_h + 1
    g.q = (g.w + 2 * g.pad_w - g.dilation_w * (g.kw - 1) - 1) // g.stride_w + 1
    if g.h + 2 * g.pad_h <= g.dilation_h * (g.kh - 1) or g.w + 2 * g.pad_w <= g.dilation_w * (g.kw - 1):
        x_shape, w_shape = tuple(x_shape), tuple(w_shape)
        raise ValueError(f"convolution of x {x_shape}: the kernel {w_shape} is larger than the padded input")
    return g


cdef _same_shape(str name, given, wanted):
    if tuple(given) != tuple(wanted):
        raise ValueError(f"{name} has shape {tuple(given)}, wanted {tuple(wanted)}")


cdef int _done(int status) except -1 nogil:
    """After a kernel that ran under elq_watch(signalled): raises what ended it."""
    if elq_unwatch():
        return -1
    if status:
        with gil:
            raise MemoryError("no memory for the buffers of a kernel")
    return 0


def empty(tuple shape, dtype):
    """See numpy_ops.empty."""
    return _empty((int(np.prod(shape)),), np.dtype(dtype)).reshape(shape)


def conv2d(x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), int groups=1, bias=None):
    """See numpy_ops.conv2d."""
    cdef elq_conv g = _geometry(x.shape, w.shape, stride, padding, dilation, groups)
    cdef const elq_train_kernels *kernels = _kernels((x, w, bias), elq_conv_lanes(g.groups, g.o))
    x, w = _aligned(x), _aligned(w)
    if bias is not None:
        _same_shape("bias", bias.shape, w.shape[:1])
        bias = np.ascontiguousarray(bias)
    cdef const void *b = NULL if bias is None else _data(bias)
    y = _empty((g.n, g.p, g.q, groups * g.o), x.dtype).transpose(0, 3, 1, 2)
    cdef elq_array ax = _view(x), aw = _view(w), ay = _view(y)
    with nogil:
        elq_watch(signalled)
        _done(kernels.conv(&g, ax, aw, b, ay))
    return y


def conv2d_dx(dy, w, x_shape, stride=(1, 1), padding=(0, 0), dilation=(1, 1), int groups=1):
    """See numpy_ops.conv2d_dx."""
    cdef elq_conv g = _geometry(x_shape, w.shape, stride, padding, dilation, groups)
    cdef const elq_train_kernels *kernels = _kernels((dy, w), elq_conv_lanes(g.groups, g.c))
    _same_shape("dy", dy.shape, (g.n, groups * g.o, g.p, g.q))
    dy, w = _aligned(dy), _aligned(w)
    dx = _empty((g.n, g.h, g.w, groups * g.c), dy.dtype).transpose(0, 3, 1, 2)
    cdef elq_array ay = _view(dy), aw = _view(w), ax = _view(dx)
    with nogil:
        elq_watch(signalled)
        _done(kernels.conv_dx(&g, ay, aw, ax))
    return dx


def conv2d_dw(dy, x, w_shape, stride=(1, 1), padding=(0, 0), dilation=(1, 1), int groups=1):
    """See numpy_ops.conv2d_dw."""
    cdef elq_conv g = _geometry(x.shape, w_shape, stride, padding, dilation, groups)
    cdef const elq_train_kernels *kernels = _kernels((dy, x), elq_conv_lanes(g.groups, g.o))
    _same_shape("dy", dy.shape, (g.n, groups * g.o, g.p, g.q))
    dy, x = _aligned(dy), _aligned(x)
    dw = _empty(tuple(w_shape), x.dtype)
    cdef elq_array ay = _view(dy), ax = _view(x), aw = _view(dw)
    with nogil:
        elq_watch(signalled)
        _done(kernels.conv_dw(&g, ay, ax, aw))
    return dw


cdef elq_linear _linear(tuple arrays, Py_ssize_t n, Py_ssize_t c, Py_ssize_t o) except *:
    cdef elq_linear a
    memset(&a, 0, sizeof(a))
    a.n, a.c, a.o = n, c, o
    if min(n, c, o) < 1 or not all(array.ndim == 2 for array in arrays):
        raise ValueError(f"linear of arrays {', '.join(str(array.shape) for array in arrays)}")
    return a


def linear(x, w, bias=None):
    """y = x w^T + bias: x (N, C), w (O, C) -> (N, O)."""
    cdef elq_linear a = _linear((x, w), x.shape[0], x.shape[1], w.shape[0])
    cdef const elq_train_kernels *kernels = _kernels((x, w, bias), a.c)
    _same_shape("w", w.shape, (a.o, a.c))
    if bias is not None:
        _same_shape("bias", bias.shape, w.shape[:1])
        bias = np.require(bias, requirements="CA")
        a.bias = _data(bias)
    x, w, y = np.require(x, requirements="CA"), np.require(w, requirements="CA"), _empty((a.n, a.o), x.dtype)
    a.x, a.w, a.y = _data(x), _data(w), _data(y)
    with nogil:
        elq_watch(signalled)
        _done(kernels.linear(&a))
    return y


def linear_dx(dy, w):
    """dx = dy w: dy (N, O), w (O, C) -> (N, C)."""
    cdef elq_linear a = _linear((dy, w), dy.shape[0], w.shape[1], w.shape[0])
    cdef const elq_train_kernels *kernels = _kernels((dy, w), a.c)
    _same_shape("dy", dy.shape, (a.n, a.o))
    dy, w, dx = np.require(dy, requirements="CA"), np.require(w, requirements="CA"), _empty((a.n, a.c), w.dtype)
    a.dy, a.w, a.dx = _data(dy), _data(w), _data(dx)
    with nogil:
        elq_watch(signalled)
        _done(kernels.linear_dx(&a))
    return dx


def linear_dw(dy, x):
    """dw = dy^T x: dy (N, O), x (N, C) -> (O, C)."""
    cdef elq_linear a = _linear((dy, x), x.shape[0], x.shape[1], dy.shape[1])
    cdef const elq_train_kernels *kernels = _kernels((dy, x), a.c)
    _same_shape("dy", dy.shape, (a.n, a.o))
    dy, x, dw = np.require(dy, requirements="CA"), np.require(x, requirements="CA"), _empty((a.o, a.c), x.dtype)
    a.dy, a.x, a.dw = _data(dy), _data(x), _data(dw)
    with nogil:
        elq_watch(signalled)
        _done(kernels.linear_dw(&a))
    return dw


cdef _flat(x):
    """The array as (pixels, C), contiguous: a view if it is channels-last already."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)).reshape(-1, x.shape[1])


cdef _shaped(flat, shape):
    """(pixels, C) back under the logical shape."""
    return np.moveaxis(flat.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


cdef tuple _channels(str op, x, tuple vectors):
    """Values per channel, contiguous."""
    for v in vectors:
        _same_shape(f"{op}: a value per channel", v.shape, x.shape[1:2])
    return tuple(np.ascontiguousarray(v) for v in vectors)


cdef elq_norm _norm(x, bint relu, double eps):
    cdef elq_norm a
    memset(&a, 0, sizeof(a))
    a.pixels, a.c, a.relu, a.eps = x.shape[0], x.shape[1], relu, eps
    return a


def batch_norm(x, gamma, beta, double eps, residual=None, bint relu=False):
    """See numpy_ops.batch_norm."""
    cdef const elq_train_kernels *kernels = _kernels((x, gamma, beta, residual), x.shape[1])
    gamma, beta = _channels("batch_norm", x, (gamma, beta))
    shape, x = x.shape, _flat(x)
    y, mean, var = _empty(x.shape, x.dtype), np.empty_like(gamma), np.empty_like(gamma)
    cdef elq_norm a = _norm(x, relu, eps)
    a.x, a.gamma, a.beta = _data(x), _data(gamma), _data(beta)
    a.y, a.mean, a.var = _data(y), _data(mean), _data(var)
    if residual is not None:
        _same_shape("residual", residual.shape, shape)
        residual = _flat(residual)
        a.residual = _data(residual)
    with nogil:
        elq_watch(signalled)
        _done(kernels.norm(&a))
    return _shaped(y, shape), mean, var


def batch_norm_backward(dy, y, x, gamma, mean, var, double eps, bint residual=False, bint relu=False):
    """See numpy_ops.batch_norm_backward."""
    cdef const elq_train_kernels *kernels = _kernels((dy, y, x, gamma, mean, var), x.shape[1])
    _same_shape("dy", dy.shape, x.shape)
    _same_shape("y", y.shape, x.shape)
    gamma, mean, var = _channels("batch_norm_backward", x, (gamma, mean, var))
    shape, dy, y, x = x.shape, _flat(dy), _flat(y), _flat(x)
    dx, dgamma, dbeta = _empty(x.shape, x.dtype), np.empty_like(gamma), np.empty_like(gamma)
    dresidual = _empty(x.shape, x.dtype) if residual else None
    cdef elq_norm a = _norm(x, relu, eps)
    a.dy, a.y, a.x = _data(dy), _data(y), _data(x)
    a.gamma, a.mean, a.var = _data(gamma), _data(mean), _data(var)
    a.dx, a.dgamma, a.dbeta = _data(dx), _data(dgamma), _data(dbeta)
    a.dresidual = _data(dresidual) if residual else NULL
    with nogil:
        elq_watch(signalled)
        _done(kernels.norm_backward(&a))
    return _shaped(dx, shape), dgamma, dbeta, _shaped(dresidual, shape) if residual else None


def scale_shift(x, scale, shift, residual=None, bint relu=False):
    """See numpy_ops.scale_shift."""
    cdef const elq_train_kernels *kernels = _kernels((x, scale, shift, residual), x.shape[1])
    scale, shift = _channels("scale_shift", x, (scale, shift))
    shape, x = x.shape, _flat(x)
    y = _empty(x.shape, x.dtype)
    cdef elq_norm a = _norm(x, relu, 0)
    a.x, a.gamma, a.beta, a.y = _data(x), _data(scale), _data(shift), _data(y)
    if residual is not None:
        _same_shape("residual", residual.shape, shape)
        residual = _flat(residual)
        a.residual = _data(residual)
    with nogil:
        elq_watch(signalled)
        kernels.scale_shift(&a)
        _done(0)
    return _shaped(y, shape)


def channel_sums(x):
    """See numpy_ops.channel_sums."""
    cdef const elq_train_kernels *kernels = _kernels((x,), x.shape[1])
    x = _flat(x)
    sums = np.empty(x.shape[1], x.dtype)
    cdef Py_ssize_t pixels = x.shape[0], c = x.shape[1]
    cdef pointer given = _data(x), wanted = _data(sums)
    with nogil:
        elq_watch(signalled)
        _done(kernels.sums(pixels, c, given, wanted))
    return sums


cdef bint _channels_last(x):
    """Whether N C H W lies in memory as N H W C, without gaps."""
    return x.ndim == 4 and x.transpose(0, 2, 3, 1).flags.c_contiguous


cdef _dense(x, bint last):
    """The elements in one piece of memory, in the order N H W C if `last`, else in their own: a view or a copy."""
    x = x.transpose(0, 2, 3, 1) if last else x
    if x.flags.c_contiguous and x.flags.aligned:
        return x
    copy = _empty((x.size,), x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


cdef _relu(x, dy, bint last):
    """relu, or relu_backward where dy is given; x and dy as `_dense` returned them."""
    cdef const elq_train_kernels *kernels = _kernels((x, dy), x.size)
    y = _empty((x.size,), x.dtype)
    cdef Py_ssize_t count = x.size
    cdef pointer given = _data(x), gradient = NULL if dy is None else _data(dy), wanted = _data(y)
    with nogil:
        elq_watch(signalled)
        kernels.relu(count, given, gradient, wanted)
        _done(0)
    y = y.reshape(x.shape)
    return y.transpose(0, 3, 1, 2) if last else y


def relu(x):
    """See numpy_ops.relu."""
    last = _channels_last(x)
    return _relu(_dense(x, last), None, last)


def relu_backward(dy, y):
    """See numpy_ops.relu_backward."""
    _same_shape("dy", dy.shape, y.shape)
    last = _channels_last(y)
    return _relu(_dense(y, last), _dense(dy, last), last)


FUNCTIONS = ("clip", "leaky_relu", "hard_sigmoid", "hard_swish", "sigmoid", "tanh", "silu", "elu", "gelu", "gelu_tanh")
assert len(FUNCTIONS) == ELQ_FUNCTIONS  # in the order of enum elq_function


cdef _pointwise(str name, x, dy, bint last, tuple parameters):
    """pointwise, or pointwise_backward where dy is given; x and dy as `_dense` returned them."""
    cdef const elq_train_kernels *kernels = _kernels((x, dy), x.size)
    y = _empty((x.size,), x.dtype)
    cdef elq_pointwise f
    memset(&f, 0, sizeof(f))
    f.function, f.count, f.x, f.y = FUNCTIONS.index(name), x.size, _data(x), _data(y)
    f.dy = NULL if dy is None else _data(dy)
    f.a, f.b = (parameters + (0, 0))[:2]
    with nogil:
        elq_watch(signalled)
        kernels.pointwise(&f)
        _done(0)
    y = y.reshape(x.shape)
    return y.transpose(0, 3, 1, 2) if last else y


def pointwise(str name, x, *parameters):
    """See numpy_pointwise.pointwise."""
    last = _channels_last(x)
    return _pointwise(name, _dense(x, last), None, last, parameters)


def pointwise_backward(str name, dy, x, *parameters):
    """See numpy_pointwise.pointwise_backward."""
    _same_shape("dy", dy.shape, x.shape)
    last = _channels_last(x)
    return _pointwise(name, _dense(x, last), _dense(dy, last), last, parameters)


cdef elq_max_pool _pool(tuple x_shape, kernel, stride, padding) except *:
    cdef elq_max_pool a
    cdef Py_ssize_t bottom, right
    memset(&a, 0, sizeof(a))
    a.n, a.c, a.h, a.w = x_shape
    a.kh, a.kw = kernel
    a.stride_h, a.stride_w = stride
    a.top, a.left, bottom, right = padding
    if min(*kernel, *stride) < 1 or min(padding) < 0:
        raise ValueError(f"max_pool with kernel {kernel}, stride {stride}, padding {padding}")
    a.p = (a.h + a.top + bottom - a.kh) // a.stride_h + 1
    a.q = (a.w + a.left + right - a.kw) // a.stride_w + 1
    seen = a.top < a.kh and a.left < a.kw and (a.p - 1) * a.stride_h < a.h + a.top
    if min(a.p, a.q) < 1 or not seen or (a.q - 1) * a.stride_w >= a.w + a.left:
        raise ValueError(f"max_pool of x {x_shape} with kernel {kernel}, stride {stride}, padding {padding}")
    return a


def max_pool(x, kernel, stride, padding=(0, 0, 0, 0)):
    """See numpy_pool.max_pool; windows of at most 256 elements."""
    cdef elq_max_pool a = _pool(x.shape, kernel, stride, padding)
    if a.kh * a.kw > 256:
        raise ValueError(f"max_pool: a window of {kernel} has more than 256 elements")
    cdef const elq_train_kernels *kernels = _kernels((x,), a.c)
    x = _dense(x, True)
    y = _empty((a.n, a.p, a.q, a.c), x.dtype)
    place = _empty((a.n, a.p, a.q, a.c), np.dtype(np.uint8))
    a.x, a.y, a.place = _data(x), _data(y), <unsigned char *>_data(place)
    with nogil:
        elq_watch(signalled)
        kernels.max_pool(&a)
        _done(0)
    return y.transpose(0, 3, 1, 2), place.transpose(0, 3, 1, 2)


def max_pool_backward(dy, place, x_shape, kernel, stride, padding=(0, 0, 0, 0)):
    """See numpy_pool.max_pool_backward."""
    cdef elq_max_pool a = _pool(x_shape, kernel, stride, padding)
    cdef const elq_train_kernels *kernels = _kernels((dy,), a.c)
    _same_shape("dy", dy.shape, (a.n, a.c, a.p, a.q))
    _same_shape("place", place.shape, dy.shape)
    if place.dtype != np.uint8:
        raise TypeError(f"place is {place.dtype}, wanted uint8")
    dy, place = _dense(dy, True), _dense(place, True)
    dx = _empty((a.n, a.h, a.w, a.c), dy.dtype)
    a.dy, a.dx, a.place = _data(dy), _data(dx), <unsigned char *>_data(place)
    with nogil:
        elq_watch(signalled)
        kernels.max_pool_backward(&a)
        _done(0)
    return dx.transpose(0, 3, 1, 2)


def nearest_level(w, alpha, bint ternary):
    """See numpy_ops.nearest_level."""
    _kernels((w, alpha), 1)
    if alpha.ndim != w.ndim or alpha.size != alpha.shape[0] or alpha.shape[0] not in (1, w.shape[0]):
        raise ValueError(f"nearest_level: alpha has shape {alpha.shape}, w {w.shape} wants one value, or one a row")
    w, alpha = np.require(w, requirements="CA"), np.require(alpha, requirements="CA")
    w_hat = _empty((w.size,), w.dtype).reshape(w.shape)
    cdef Py_ssize_t rows = alpha.size, columns = w.size // rows
    cdef pointer given = _data(w), scales = _data(alpha), wanted = _data(w_hat)
    cdef bint is_double = w.dtype == np.float64
    with nogil:
        elq_watch(signalled)
        elq_nearest_level(is_double, ternary, rows, columns, given, scales, wanted)
        _done(0)
    return w_hat


def sgd(w, dw, velocity, double lr, double momentum, double weight_decay, bint nesterov, free=None, bint over=False):
    """See numpy_ops.sgd."""
    cdef elq_sgd a
    memset(&a, 0, sizeof(a))
    _kernels((w, dw, velocity), 1)
    _same_shape("dw", dw.shape, w.shape)
    _same_shape("velocity", velocity.shape, w.shape)
    w, dw, velocity = (np.require(array, requirements="CA") for array in (w, dw, velocity))
    if free is not None:
        _same_shape("free", free.shape, w.shape)
        free = np.ascontiguousarray(free, np.bool_)
        a.free = <const unsigned char *>_data(free)
    new = dw if over and _is_result(dw) else _empty((w.size,), w.dtype).reshape(w.shape)
    v = velocity if over else _empty((w.size,), w.dtype).reshape(w.shape)
    a.count, a.is_double, a.nesterov = w.size, w.dtype == FLOAT64, nesterov
    a.lr, a.momentum, a.weight_decay = lr, momentum, weight_decay
    a.w, a.dw, a.velocity, a.new_w, a.new_velocity = _data(w), _data(dw), _data(velocity), _data(new), _data(v)
    with nogil:
        elq_watch(signalled)
        elq_sgd_step(&a)
        _done(0)
    return new, v


def objective_gradient(mix, w, w_hat, double a2, bint squared, frozen=None):
    """See numpy_ops.objective_gradient."""
    cdef elq_objective a
    memset(&a, 0, sizeof(a))
    arrays = [array for _, array in mix]
    _kernels((w, w_hat, *arrays), 1)
    if len(arrays) > 2:
        raise ValueError(f"objective_gradient: a sum of {len(arrays)} gradients, wanted two at most")
    for array in (w_hat, *arrays):
        _same_shape("objective_gradient: an array", array.shape, w.shape)
    w, w_hat = np.require(w, requirements="CA"), np.require(w_hat, requirements="CA")
    arrays = [np.require(array, requirements="CA") for array in arrays]
    if frozen is not None:
        _same_shape("frozen", frozen.shape, w.shape)
        frozen = np.ascontiguousarray(frozen, np.bool_)
        a.frozen = <const unsigned char *>_data(frozen)
    dw = _empty((w.size,), w.dtype).reshape(w.shape)
    errors = np.zeros(-(-w.size // ELQ_STRETCH))
    if arrays:
        a.one, a.first = mix[0][0], _data(arrays[0])
    if len(arrays) == 2:
        a.two, a.second = mix[1][0], _data(arrays[1])
    a.count, a.is_double, a.squared, a.a2 = w.size, w.dtype == FLOAT64, squared, a2
    a.w, a.w_hat, a.dw, a.errors = _data(w), _data(w_hat), _data(dw), <double *>_data(errors)
    with nogil:
        elq_watch(signalled)
        elq_objective_gradient(&a)
        _done(0)
    return dw, float(errors.sum())
