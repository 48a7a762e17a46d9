"""Every inference kernel of the table that runs here, on random layers: int8 to the bit, floats within the
bound that the kernel states.

tests/c/infer_check.c holds the same kernels against plain loops on chosen shapes, under sanitizers and for other CPUs.
"""

import numpy as np
import pytest
from runtime_kernels import KERNELS, U, cases, infer, needs_infer, random_weights, sums, zero_tail

pytestmark = [
    pytest.mark.kernels,
    needs_infer,
]


@pytest.mark.parametrize("name", [k for k in KERNELS if "_f32_" in k[:13]])
def test_float_kernels_stay_within_their_bound(name):
    for rng, make, w, size, geometry in cases(name, 25):
        outputs = len(w)
        x = rng.standard_normal((int(rng.integers(1, 4)), *size)).astype(np.float32)
        scale, bias = rng.standard_normal((2, outputs)).astype(np.float32)
        layer = make((scale, bias, -np.inf))
        y = layer(x)
        exact, size_of = sums(x, w, *geometry), sums(np.abs(x), np.abs(w), *geometry)
        n = w[0].size + 8
        if layer.error == "winograd":
            n, size_of = x.shape[3] + 20, np.full(size_of.shape, 538 * np.abs(x).max((0, 1, 2)).sum())
        bound = n * U / (1 - n * U) * (np.abs(scale) * size_of + np.abs(bias))
        assert np.all(np.abs(y - (scale * exact + bias)) <= bound)
        residual = rng.standard_normal(y.shape).astype(np.float32)
        fused = make((scale, bias, 0))(x, residual)
        np.testing.assert_array_equal(fused, np.maximum(y + residual, 0))
        bounded = make((scale, bias, -0.5, 0.25))(x, residual)
        np.testing.assert_array_equal(bounded, (y + residual).clip(-0.5, 0.25))
        np.testing.assert_array_equal(layer(x[:1]), y[:1])


def legal_tail(rng, w):
    """Integers that docs/arithmetic.md allows, constant channels among them, and an addition's."""
    outputs = len(w)
    b = rng.integers(-5000, 5000, outputs)
    all_sums = 128 * np.abs(w).reshape(outputs, -1).sum(1) + np.abs(b)
    l = int(rng.integers(0, max(1, 31 - int(all_sums.max()).bit_length())))
    spread = np.log2(1 + all_sums / 127 / rng.uniform(1, 8, outputs))
    s = np.clip(31 + l + spread, 33, 62).astype(np.uint8)
    q = rng.integers(1 << 30, 1 << 31, outputs)
    lo, hi = (np.full(outputs, int(rng.choice(ends))) for ends in ([-128, -127, 0], [127, 127, 96]))
    constant = rng.random(outputs) < 0.1
    lo[constant] = hi[constant] = rng.integers(-128, 128)
    b[constant], q[constant] = rng.choice([-(2**31), 2**31 - 1]), 2**31 - 1
    add = (
        *map(int, rng.integers(0, 1 << 22, 2)),
        int(rng.integers(1, 32)),
        int(rng.choice([-128, 0])),
        int(rng.choice([127, 96])),
    )
    types = (b, np.int32), (q, np.int32), (s, np.uint8), (lo, np.int8), (hi, np.int8)
    return (*(a.astype(t) for a, t in types), l, add)


@pytest.mark.parametrize("name", [k for k in KERNELS if "_i8_" in k[:12]])
def test_int8_kernels_give_the_defined_bits(name):
    for rng, make, w, size, geometry in cases(name, 25):
        extreme = rng.random() < 0.2
        x = rng.integers(-128, -126 if extreme else 128, (int(rng.integers(1, 4)), *size)).astype(np.int8)
        b, q, s, lo, hi, l, add = tail = legal_tail(rng, w)
        a = (sums(x, w, *geometry) + b).astype(np.int32).astype(np.int64)
        with np.errstate(over="ignore"):  # of constant channels
            v = ((a << l) * q.astype(np.int64) + (np.int64(1) << (s.astype(np.int64) - 1))) >> s.astype(np.int64)
        v = np.clip(v, lo, hi)
        layer = make(tail)
        np.testing.assert_array_equal(layer(x), v)
        r = rng.integers(-128, 128, v.shape).astype(np.int8)
        q_v, q_r, s_add, lo_add, hi_add = add
        wanted = np.clip((v * q_v + r.astype(np.int64) * q_r + (1 << (s_add - 1))) >> s_add, lo_add, hi_add)
        np.testing.assert_array_equal(layer(x, r), wanted)
        np.testing.assert_array_equal(layer(x[-1:], r[-1:]), wanted[-1:])


@pytest.mark.parametrize("name", [k for k in KERNELS if "_i8i32_" in k])
def test_sums_are_exact(name):
    for rng, make, w, size, geometry in cases(name, 25):
        x = rng.integers(-128, 128, (int(rng.integers(1, 4)), *size)).astype(np.int8)
        tail = legal_tail(rng, w)
        wanted = (sums(x, w, *geometry) + tail[0]).astype(np.int32)
        layer = make(tail)
        np.testing.assert_array_equal(layer(x), wanted)
        np.testing.assert_array_equal(layer(x[-1:]), wanted[-1:])


def test_the_packed_layers_hold_the_bits_and_no_more():
    for levels, bits, dtype in (("ternary", 2, np.float64), ("binary", 1, np.float64), ("full", 32, np.float64)):
        rows, w = random_weights(np.random.default_rng(1), levels, (64, 3, 3, 128), dtype)
        tail = zero_tail("float32", 64)
        layer = infer.PackedLayer("float32", levels, rows, (8, 8, 128), (3, 3), (1, 1), (1, 1), (1, 1), 1, tail)
        assert layer.packed.nbytes * 8 == w.size * bits


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": (0, 4, 4)}, "too small"),
        ({"groups": 3}, "not a layer"),
        ({"kernel": (7, 7)}, "not a layer"),
        ({"kernel": (2, 2)}, "rows of ternary weights"),
        ({"tail": (np.zeros(3, np.float32), np.zeros(4, np.float32), 0.0)}, "3 scales and 4 biases"),
        ({"name": "elq_conv_f32_b1__generic"}, "does not run this layer"),
    ],
)
def test_what_is_no_layer_is_refused(changed, message):
    arguments = {
        "activations": "float32", "weights": "ternary", "rows": np.zeros((4, 9), np.uint8), "size": (5, 4, 4),
        "kernel": (3, 3), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1,
        "tail": zero_tail("float32", 4),
    }  # fmt: skip
    infer.PackedLayer(**arguments)(np.zeros((1, 5, 4, 4), np.float32))
    with pytest.raises(ValueError, match=message):
        infer.PackedLayer(**arguments | changed)


def test_a_call_with_other_arrays_is_refused():
    tail = zero_tail("float32", 4)
    layer = infer.PackedLayer(
        "float32", "binary", np.zeros((4, 5), np.uint8), (5, 4, 4), (3, 3), (1, 1), (0, 0), (1, 1), 1, tail
    )
    x = np.zeros((2, 5, 4, 4), np.float32)
    assert layer(x).shape == (2, 3, 2, 4)
    for wrong in (x.astype(np.float64), x[:, :4], x[..., ::2].repeat(2, -1)[:, ::-1]):
        with pytest.raises(ValueError, match=r"x is float"):
            layer(wrong)
    with pytest.raises(ValueError, match="residual is float32"):
        layer(x, x)
