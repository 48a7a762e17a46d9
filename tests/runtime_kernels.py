"""What the tests of the inference kernels share."""

import numpy as np
import pytest

from elq_ref.runtime import native

infer = native._infer
needs_infer = pytest.mark.skipif(infer is None, reason="the extension _infer is not built")
KERNELS = [] if infer is None else infer.kernels()
U = 2.0**-24


def sums(x, w, stride, padding, dilation, groups):
    """sum (N, P, Q, O) of w (O, KH, KW, C / groups) times x (N, H, W, C), tap by tap in the dtype of w."""
    (ph, pw), (sh, sw), (dh, dw) = padding, stride, dilation
    outputs, kh, kw, channels = w.shape
    x = np.pad(x.astype(w.dtype), ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    rows, columns = (x.shape[1] - dh * (kh - 1) - 1) // sh + 1, (x.shape[2] - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((len(x), rows, columns, outputs), w.dtype)
    for o in range(outputs):
        first = o // (outputs // groups) * channels
        for i in range(kh):
            for j in range(kw):
                seen = x[:, i * dh :: sh, j * dw :: sw, first : first + channels][:, :rows, :columns]
                y[..., o] += (seen * w[o, i, j]).sum(-1)
    return y
