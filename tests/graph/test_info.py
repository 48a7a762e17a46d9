"""NetworkInfo: checked when it is made, whatever it is made of."""

import numpy as np
import pytest
from small_data import numbered

from elq_ref.datasets import Normalization
from elq_ref.graph import NetworkInfo

GREY = Normalization((0.5,), (0.25,))


def test_plain_values_and_back():
    values = {
        "model": "lenet5",
        "input_shape": [1, 28, 28],
        "classes": ["a", "b"],
        "normalization": {"mean": [0.5], "std": [0.25]},
    }
    info = NetworkInfo((1, 28, 28), ("a", "b"), GREY, "lenet5")
    assert info.to_json() == values
    assert list(info.to_json()) == list(values)  # the order that files have
    assert NetworkInfo(**NetworkInfo.stated({**values, "notes": 3})) == info
    assert NetworkInfo.stated({"input_shape": [1, 2, 3], "kind": "network"}) == {"input_shape": (1, 2, 3)}
    del values["model"]
    assert NetworkInfo((1, 28, 28), ("a", "b"), GREY).to_json() == values


def test_a_data_set_says_all_but_the_model():
    data = numbered(7)
    assert NetworkInfo.of(data) == NetworkInfo((1, 4, 5), tuple("0123456"), data.normalization)
    info = NetworkInfo.of(data)
    assert NetworkInfo.of(info) is info
    with pytest.raises(TypeError, match="given a ndarray, wanted a data set or a NetworkInfo"):
        NetworkInfo.of(np.zeros(3))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input_shape": (28, 28)}, r"input_shape is \(28, 28\), wanted three integers > 0: \(C, H, W\)"),
        ({"input_shape": (1, 28, 0)}, "wanted three integers > 0"),
        ({"input_shape": (1, 28, True)}, "wanted three integers > 0"),
        ({"input_shape": "chw"}, "input_shape is chw"),
        ({"classes": ()}, "wanted at least one text"),
        ({"classes": "abc"}, "classes are abc"),
        ({"classes": (1, 2)}, r"classes are \(1, 2\)"),
        ({"model": 5}, "model is 5, wanted a name"),
        ({"input_shape": (3, 28, 28)}, r"the normalization has 1 channel\(s\), the pictures have 3"),
    ],
)
def test_what_cannot_be_is_refused(change, said):
    fields = {"input_shape": (1, 28, 28), "classes": ("a", "b"), "normalization": GREY}
    NetworkInfo(**fields)
    with pytest.raises(ValueError, match=said):
        NetworkInfo(**{**fields, **change})
