"""A Plan takes values of the kind of its options, and is the same after it was written and read."""

import json

import numpy as np
import pytest

from elq_ref import Plan
from elq_ref.methods import OrderPlan, plan_from_json


@pytest.mark.parametrize(
    "plan",
    [
        Plan(sigma2=[0.3, 0.0], epochs=[1, 1, 2.5], keep_float=["a.weight"]),
        Plan(sigma2=np.array([0.5, 0.25]), epochs=np.array([1, 2, 3]), a1=np.float32(0.5), per_channel=np.bool_(True)),
        OrderPlan(portions=[0.5, 1], epochs=[1, 1, 1], order_seed=np.int64(0)),
    ],
)
def test_lists_and_numpys_numbers_are_kept_as_pythons(plan):
    again = plan_from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert hash(again) == hash(plan)
    assert repr(again) == repr(plan)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 10}, r"epochs is 10, wanted a tuple, such as \(2\.0, 1\.0"),
        ({"sigma2": 0.3}, r"sigma2 is 0\.3, wanted a tuple"),
        ({"sigma2": None}, r"sigma2 is None, wanted a tuple"),
        ({"epochs": "12345"}, r"epochs is '12345', wanted a tuple"),
        ({"keep_float": "conv1.weight"}, r"keep_float is 'conv1\.weight', wanted a tuple"),
        ({"keep_float": (1,)}, r"keep_float is \(1,\)"),
        ({"sigma2": ("0.3", 0.0)}, r"sigma2 is \('0\.3', 0\.0\), wanted a value such as \(0\.4"),
        ({"a1": "1"}, r"a1 is '1', wanted a value such as 1\.0"),
        ({"tail_rate": None}, "tail_rate is None"),
        ({"per_channel": 1}, "per_channel is 1, wanted a value such as False"),
        ({"levels": ["ternary"]}, r"levels is \['ternary'\]"),
        ({"method": 3}, "method is 3"),
        ({"restart": "1"}, "restart is '1', wanted a value such as 1"),
    ],
)
def test_another_kind_is_said_in_one_line(given, said):
    with pytest.raises(ValueError, match=f"^{said}[^\n]*$"):
        Plan(**given)
