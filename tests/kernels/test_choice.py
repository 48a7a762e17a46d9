"""The training kernels as a whole: their bits for any number of threads, what is refused, what is said to run."""

import numpy as np
import pytest
from children import run_python
from train_kernels import _train, conv_case, needs_c

from elq_ref import kernels

pytestmark = pytest.mark.kernels


@needs_c
@pytest.mark.parametrize("word", ["", "generic"])
def test_bits_do_not_depend_on_threads(word):
    code = "import train_kernels as t; print(t.digest())"
    runs = [run_python(code, ELQ_NUM_THREADS=str(n), ELQ_ISA=word) for n in (1, 2, 3)]
    assert runs[0].returncode == 0, runs[0].stderr
    assert len({run.stdout for run in runs}) == 1


@needs_c
@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"ELQ_ISA": "sse9"}, ["ValueError", "'sse9'", "generic, avx2, avxvnni, avx512, avx512vnni, neon, dotprod,"]),
        ({"ELQ_NUM_THREADS": "many"}, ["ValueError", "'many'", "1 to 64"]),
        ({"ELQ_NUM_THREADS": "0"}, ["ValueError", "'0'", "1 to 64"]),
        ({"ELQ_NUM_THREADS": "65"}, ["ValueError", "'65'", "1 to 64"]),
    ],
)
def test_wrong_words_in_the_environment_are_named(env, words):
    run = run_python("import elq_ref.kernels", **env)
    assert run.returncode != 0
    assert all(word in run.stderr.splitlines()[-1] for word in words), run.stderr


@needs_c
def test_mixed_types_and_shapes_that_do_not_fit_are_refused():
    x, w, dy = conv_case((2, 4, 5, 5), (6, 3, 3), ((1, 1), (1, 1), (1, 1), 2), np.float32)
    with pytest.raises(TypeError, match="float32, float64"):
        _train.conv2d(x, w.astype(np.float64), groups=2)
    with pytest.raises(TypeError, match="int64"):
        _train.conv2d(x.astype(np.int64), w.astype(np.int64), groups=2)
    with pytest.raises(ValueError, match=r"\(2, 4, 5, 5\) with w \(6, 2, 3, 3\) in 1 group"):
        _train.conv2d(x, w)
    with pytest.raises(ValueError, match="larger than the padded input"):
        _train.conv2d(x, w, dilation=(3, 3), groups=2)
    with pytest.raises(ValueError, match=r"dy has shape \(2, 6, 5, 5\), wanted \(2, 6, 3, 3\)"):
        _train.conv2d_dx(dy, w, x.shape, groups=2)
    with pytest.raises(ValueError, match="residual has shape"):
        _train.scale_shift(x, *np.ones((2, 4), np.float32), dy)
    with pytest.raises(ValueError, match=r"max_pool of x \(2, 4, 5, 5\) with kernel \(6, 1\)"):
        _train.max_pool(x, (6, 1), (1, 1))
    with pytest.raises(ValueError, match=r"place has shape \(1, 4, 2, 2\), wanted \(2, 4, 2, 2\)"):
        _train.max_pool_backward(x[:, :, :2, :2], np.zeros((1, 4, 2, 2), np.uint8), x.shape, (2, 2), (2, 2))
    with pytest.raises(ValueError, match="dy has shape"):
        _train.relu_backward(x, x[:1])
    with pytest.raises(ValueError, match=r"alpha has shape \(2,\), w \(6, 2, 3, 3\)"):
        _train.nearest_level(w, np.ones(2, np.float32), True)
    with pytest.raises(TypeError, match="float32, float64"):
        _train.nearest_level(w, np.ones((1, 1, 1, 1)), True)
    with pytest.raises(ValueError, match="a sum of 3 gradients, wanted two at most"):
        _train.objective_gradient([(1.0, w)] * 3, w, w, 0.0, True)
    with pytest.raises(ValueError, match=r"an array has shape \(1, 2, 3, 3\), wanted \(6, 2, 3, 3\)"):
        _train.objective_gradient([(1.0, w[:1])], w, w, 0.0, True)
    with pytest.raises(ValueError, match="frozen has shape"):
        _train.objective_gradient([(1.0, w)], w, w, 0.0, True, np.zeros(2, bool))


def test_info_says_what_runs():
    info = kernels.info()
    assert set(info) == {"kernel", "threads", "reason"}
    if _train is None:
        assert info["kernel"] == "NumPy"
        assert "not built" in info["reason"]
    else:
        assert info["kernel"] == f"C {_train.isa()}"
        assert info["reason"] is None
        assert 1 <= info["threads"] <= 64
