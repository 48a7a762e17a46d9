"""A run is saved and resumed to the same bits; what does not fit, or is damaged, is refused in one line."""

import hashlib
import json
import platform
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import PLAN, batches, ordered, small_net

from elq_ref import SGD, State, checkpoint, quantize
from elq_ref.errors import FormatError
from elq_ref.methods import plan_for
from elq_ref.models import digits_cnn
from elq_ref.training.state import sealed


@pytest.mark.parametrize("order", [None, "magnitude", "stable", "random"])
def test_resuming_anywhere_gives_the_same_bits(tmp_path, order):
    plan, sgd = PLAN if order is None else ordered(order=order), SGD(0.05, weight_decay=1e-3, nesterov=True)
    plan = replace(plan, alpha_from="stage0", tail="pull")
    whole = list(quantize(small_net(), batches(), plan, sgd))
    reference = {n: a.tobytes() for n, a in whole[-1].state.net.state_dict().items()}
    losses = [step.loss_hat for step in whole]
    for stop in (0, 1, 3, 4, 5, len(whole) - 1):  # inside stages and at their ends
        path = tmp_path / f"{stop}.safetensors"
        for step in quantize(small_net(), batches(), plan, sgd):
            if step.step == stop + 1:
                step.state.save(path)
                break
        net = small_net(seed=99)
        state = State.load(path, net)
        assert state.differences == []
        rest = list(quantize(net, batches(), state.plan, state=state))
        assert [step.loss_hat for step in rest] == losses[stop + 1 :]
        assert {n: a.tobytes() for n, a in net.state_dict().items()} == reference


def test_no_epochs_leave_stage_0_out_resumed_too(tmp_path):
    plan = replace(PLAN, epochs=(0.0, 0.5, 0.5, 0.5))
    whole = []
    for step in quantize(small_net(), batches(), plan, SGD(0.05)):
        whole.append((step.stage, step.index, step.frozen, step.loss_hat))
        if step.stage == 2 and step.index == 0:
            step.state.save(tmp_path / "run.safetensors")
    assert [stage for stage, *_ in whole] == [1, 1, 2, 2, 3, 3]
    assert whole[0][2] > 0
    net = small_net(seed=99)
    state = State.load(tmp_path / "run.safetensors", net)
    rest = quantize(net, batches(), plan, state=state)
    assert [(step.stage, step.index, step.frozen, step.loss_hat) for step in rest] == whole[3:]


def test_a_run_whose_arrays_do_not_fit_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path)
    whole = checkpoint.read(path)
    tensors = whole.tensors
    frozen, alpha = "elq/frozen/4.weight", "elq/alpha/4.weight"
    for name, damaged in (
        (frozen, tensors[frozen][:2]),
        (frozen, tensors[frozen].astype(np.int8)),
        (alpha, tensors[alpha].reshape(1)),
        (alpha, tensors[alpha].astype(np.float64)),
    ):
        checkpoint.write(path, {**tensors, name: damaged}, sealed({**tensors, name: damaged}, whole.metadata))
        with pytest.raises(FormatError, match=r"4\.weight is float32 \(3, 180\)"):
            State.load(path, small_net())


LONG = ["x" * 30] * 30


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        ((), {"kind": LONG}, "is a .*, wanted a saved quantization run"),
        ((), {"kind": "network"}, "is a 'network', wanted a saved quantization run"),
        (("run", "plan"), {"method": LONG}, r"lacks or misstates|there is no method"),
        (("run", "plan"), {"sigma2": LONG}, "sigma2 is"),
        (("run", "plan"), {"x" * 1000: 1}, "no such option: xxx"),
        (("run", "plan"), {"momentum_at_freeze": "x" * 1000}, "momentum_at_freeze is 'xxx"),
        (("run", "sgd"), {"x" * 1000: 1}, "unexpected keyword"),
        (("run", "sgd", "schedule"), {"shape": "x" * 1000}, "schedule shape is 'xxx"),
    ],
)
def test_a_run_that_says_something_long_is_refused_in_a_short_line(tmp_path, where, value, words):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path)
    file = checkpoint.read(path)
    metadata = json.loads(json.dumps(file.metadata))
    inner = metadata
    for key in where:
        inner = inner[key]
    inner.update(value)
    checkpoint.write(path, file.tensors, sealed(file.tensors, metadata))
    with pytest.raises(FormatError, match=words) as caught:
        State.load(path, small_net())
    assert len(str(caught.value)) < len(str(path)) + 300


def test_a_saved_run_is_sealed_by_all_that_it_holds_whatever_the_order_of_its_keys(tmp_path):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path, seconds=1.5)
    file = checkpoint.read(path)
    stated = {key: value for key, value in file.metadata.items() if key != "sha256"}
    content = json.dumps(stated, sort_keys=True).encode()
    for name in sorted(file.tensors):
        array = file.tensors[name]
        content += f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes()
    assert file.metadata["sha256"] == hashlib.sha256(content).hexdigest()
    turned = {key: file.metadata[key] for key in reversed(file.metadata)}
    turned["run"] = {key: turned["run"][key] for key in reversed(turned["run"])}
    checkpoint.write(path, file.tensors, turned)
    assert State.load(path, small_net()).step == 1


def test_what_changed_since_is_told_in_short(tmp_path):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path)
    file = checkpoint.read(path)
    run = file.metadata["run"]
    other = run | {"environment": run["environment"] | {"numpy": 50 * "1.", "python": "3.2.1"}}
    checkpoint.write(path, file.tensors, sealed(file.tensors, file.metadata | {"run": other}))
    told = State.load(path, small_net()).differences
    assert told == [f"numpy was {20 * '1.'}, is {np.__version__}", f"python was 3.2.1, is {platform.python_version()}"]


def test_every_flipped_bit_of_a_saved_run_is_one_line(tmp_path):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path, seconds=1.5)
    assert State.load(path, small_net()).step == 1
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(0, 64), *rng.integers(0, len(whole), 200)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(FormatError) as caught:
            State.load(path, small_net())
        assert "\n" not in str(caught.value), place


@pytest.mark.parametrize(
    "place",
    [(99, 0, 1), (-1, 0, 1), (0, 4, 4), (0, -1, 1), (0, 1, 10**18), (4, 1, 11), (1, 0, 1), (0, 1.0, 1), ("0", 1, 1)],
)
def test_a_place_where_no_run_stands_is_refused(tmp_path, place):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path)
    file = checkpoint.read(path)
    run = file.metadata["run"] | dict(zip(("stage", "index", "step"), place, strict=True))
    checkpoint.write(path, file.tensors, sealed(file.tensors, file.metadata | {"run": run}))
    net = small_net()
    with pytest.raises(FormatError, match=r"stands at stage .* its stages have 4, 2, 2, 2 steps|lacks or misstates"):
        quantize(net, batches(), PLAN, state=State.load(path, net))


def test_codes_and_scale_are_what():
    state = next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state
    assert list(state.codes()) == ["0.weight", "4.weight"]
    for name, (codes, alpha) in state.codes().items():
        assert codes.dtype == np.int8
        np.testing.assert_array_equal(codes * alpha, state.quantized()[name])


def test_two_scales_a_layer_have_no_codes():
    state = next(iter(quantize(small_net(), batches(), plan_for("ttq", epochs=(1.0,)), SGD(0.05)))).state
    with pytest.raises(ValueError, match=r"W_hat of ttq is not alpha \* codes"):
        state.codes()


def test_a_run_is_resumed_only_with_its_own_batches_and_plan(tmp_path):
    path = tmp_path / "run.safetensors"
    next(iter(quantize(small_net(), batches(), PLAN, SGD(0.05)))).state.save(path)
    net = small_net()
    state = State.load(path, net)
    with pytest.raises(ValueError, match="batch_size"):
        quantize(net, batches(batch_size=8), state.plan, state=state)
    with pytest.raises(ValueError, match="another plan"):
        quantize(net, batches(), replace(PLAN, a1=0.1), state=state)
    with pytest.raises(ValueError, match="do not fit"):
        State.load(path, digits_cnn())


def test_a_run_keeps_the_graph_that_it_has_and_makes_one_where_there_is_none(tmp_path):
    state = State.start(small_net(), PLAN, SGD(0.05), batches())
    made = state.graph
    assert made is not None
    state.keep_graph(batches())
    assert state.graph is made
    state.graph = None
    state.save(tmp_path / "old.safetensors")  # as files were once
    net = small_net()
    old = State.load(tmp_path / "old.safetensors", net)
    assert old.graph is None
    next(quantize(net, batches(), PLAN, state=old))
    assert old.graph is not None
    assert [node.name for node in old.graph.nodes] == [node.name for node in made.nodes]


def test_batches_of_ones_own_need_not_say_their_shape():
    own = batches()
    own.dataset = SimpleNamespace(name="own")
    state = State.start(small_net(), PLAN, SGD(0.05), batches())
    state.graph = None
    state.keep_graph(own)
    assert state.graph is None


def test_a_file_of_another_kind_is_told_in_short(tmp_path):
    checkpoint.write(tmp_path / "a.safetensors", {}, {"kind": "x" * 99})
    with pytest.raises(FormatError, match=r"is a 'x{40}', wanted a saved quantization run"):
        State.load(tmp_path / "a.safetensors", small_net())
