"""ONNX in: how weights lie in a file: kinds of numbers, external data, integers with their scales, older ways."""

import json
import os

import numpy as np
import pytest
from onnx_files import answers, check, computed, model, node, onnx, saved

import elq_ref as elq
from elq_ref import checkpoint

RNG = np.random.default_rng(8)
WEIGHT = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
BIAS = np.array([0.5, -1, 2, 0.25], np.float32)
KINDS = {
    "float": (onnx.TensorProto.FLOAT, np.float32),
    "double": (onnx.TensorProto.DOUBLE, np.float64),
    "float16": (onnx.TensorProto.FLOAT16, np.float16),
    "bfloat16": (onnx.TensorProto.BFLOAT16, None),
}


def nodes(weight="c.weight"):
    return [node("Conv", f"x {weight} c.bias", "a"), node("GlobalAveragePool", "a", "b"), node("Flatten", "b", "y")]


def rounded(values, kind):
    """The values of a kind, as float32."""
    if kind == "bfloat16":  # to the nearest, ties to even, of the upper half of the bits
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return values.astype(KINDS[kind][1]).astype(np.float32)


def stored(values, name, kind, raw):
    """A TensorProto of these values, as bytes or one by one."""
    number = KINDS[kind][0]
    if kind == "bfloat16":
        bits = (rounded(values, kind).view(np.uint32) >> 16).astype(np.uint16)
        proto = onnx.TensorProto(name=name, data_type=number, dims=values.shape)
        if raw:
            proto.raw_data = bits.astype("<u2").tobytes()
        else:
            proto.int32_data.extend(map(int, bits.reshape(-1)))
        return proto
    array = values.astype(KINDS[kind][1])
    if raw:
        return onnx.numpy_helper.from_array(array, name)
    return onnx.helper.make_tensor(name, number, array.shape, array.reshape(-1))


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_floats(kind, raw, tmp_path):
    arrays = {"c.weight": stored(WEIGHT, "c.weight", kind, raw), "c.bias": stored(BIAS, "c.bias", kind, raw)}
    net = elq.from_onnx(saved(tmp_path / "net.onnx", model(nodes(), arrays, dtype=KINDS[kind][0])))
    state = net.state_dict()
    np.testing.assert_array_equal(state["c.weight"], rounded(WEIGHT, kind), strict=True)
    np.testing.assert_array_equal(state["c.bias"], rounded(BIAS, kind), strict=True)


def test_halves_compute_what_they_are(tmp_path):
    """float16 throughout, with functions whose constants are rounded to it."""
    half = {"c.weight": WEIGHT.astype(np.float16), "c.bias": BIAS.astype(np.float16), "3": np.float16(3),
            "0": np.float16(0), "6": np.float16(6), "sixth": np.float16(1 / 6)}  # fmt: skip
    body = [node("Conv", "x c.weight c.bias", "a"), node("Add", "a 3", "b"), node("Clip", "b 0 6", "c")]
    body += [
        node("Mul", "c sixth", "d"),
        node("Mul", "a d", "e"),
        node("GlobalAveragePool", "e", "f"),
        node("Flatten", "f", "y"),
    ]
    path = saved(tmp_path / "net.onnx", model(body, half, dtype=onnx.TensorProto.FLOAT16))
    net = check(path, tolerance=2e-2, wanted=lambda x: answers(path, x.astype(np.float16)).astype(np.float32))
    assert [n.op for n in net.graph.nodes] == ["conv", "hard_swish", "global_avg_pool"]


def test_casts_between_kinds(tmp_path):
    body = [node("Cast", "w16", "c.weight32", to=1), node("Cast", "x", "x32", to=1)]
    body += [node("Conv", "x32 c.weight32 c.bias", "a"), node("GlobalAveragePool", "a", "b"), node("Flatten", "b", "y")]
    made = model(body, {"w16": WEIGHT.astype(np.float16), "c.bias": BIAS}, dtype=onnx.TensorProto.FLOAT16)
    net = elq.from_onnx(saved(tmp_path / "net.onnx", made))
    np.testing.assert_array_equal(next(iter(net.state_dict().values())), rounded(WEIGHT, "float16"))


@pytest.mark.parametrize("how", ["initializers are inputs too", "constant nodes", "an identity", "another form"])
def test_older_and_other_ways_to_hold_arrays(how, tmp_path):
    arrays, body = {"c.weight": WEIGHT, "c.bias": BIAS}, nodes()
    if how == "constant nodes":
        made = model(
            [node("Constant", "", name, value=onnx.numpy_helper.from_array(a)) for name, a in arrays.items()] + body, {}
        )
    elif how == "another form":
        turned = {"c.weight": WEIGHT.transpose(1, 2, 3, 0).astype(np.float64), "c.bias": BIAS}
        form = [node("Transpose", "c.weight", "t", perm=[3, 0, 1, 2]), node("Cast", "t", "w", to=1)]
        made = model([*form, *nodes("w")], turned)
    elif how == "an identity":
        made = model([node("Identity", "onnx::w", "c.weight"), *body], {"onnx::w": WEIGHT, "c.bias": BIAS})
    else:
        made = model(body, arrays)
        made.graph.input.extend(onnx.helper.make_tensor_value_info(n, 1, a.shape) for n, a in arrays.items())
    net = check(saved(tmp_path / "net.onnx", made))
    assert list(net.state_dict()) == ["c.weight", "c.bias"]


@pytest.mark.parametrize("version", [10, 13, 21])
def test_files_of_the_version_converter(version, tmp_path):
    body = [
        node("Conv", "x c.weight c.bias", "a"),
        node("Relu", "a", "r"),
        node("MaxPool", "r", "m", kernel_shape=[2, 2]),
    ]
    body += [node("ReduceMean", "m", "s", axes=[2, 3], keepdims=0), node("Softmax", "s", "y", axis=1)]
    made = model(body, {"c.weight": WEIGHT, "c.bias": BIAS}, opset=11)
    converted = onnx.version_converter.convert_version(made, version)
    assert converted.opset_import[0].version == version
    net = elq.from_onnx(saved(tmp_path / "net.onnx", converted))
    assert [n.op for n in net.graph.nodes] == ["conv", "relu", "max_pool", "global_avg_pool"]
    x = RNG.standard_normal((2, 3, 9, 8)).astype(np.float32)
    odds = np.exp(computed(net, x).astype(np.float64))
    np.testing.assert_allclose(odds / odds.sum(1, keepdims=True), answers(tmp_path / "net.onnx", x), atol=1e-6)


INTEGERS = {  # bits: (data type, opset)
    8: (onnx.TensorProto.INT8, 13),
    4: (onnx.TensorProto.INT4, 21),
    2: (getattr(onnx.TensorProto, "INT2", None), 25),
}


@pytest.mark.parametrize("scales", ["one", "a channel"])
@pytest.mark.parametrize("bits", INTEGERS)
def test_codes_with_their_scales(bits, scales, tmp_path):
    """DequantizeLinear of integers: alpha times code, rounded once."""
    kind, opset = INTEGERS[bits]
    if kind is None:
        pytest.skip(f"this onnx has no {bits}-bit integers")
    codes = RNG.integers(-1, 2, WEIGHT.shape).astype(np.int8)
    alpha = RNG.uniform(0.1, 1, 4).astype(np.float32) if scales == "a channel" else np.float32(0.37)
    if bits == 8:
        packed = onnx.numpy_helper.from_array(codes, "q")
    else:
        fields = (codes.reshape(-1, 8 // bits).astype(np.int64) & ((1 << bits) - 1)) << np.arange(0, 8, bits)
        packed = onnx.TensorProto(
            name="q", data_type=kind, dims=codes.shape, raw_data=fields.sum(1).astype(np.uint8).tobytes()
        )
    body = [node("DequantizeLinear", "q alpha", "w", axis=0), *nodes("w")]
    made = model(body, {"q": packed, "alpha": alpha, "c.bias": BIAS}, opset=opset)
    net = elq.from_onnx(saved(tmp_path / "net.onnx", made))
    wanted = np.reshape(alpha, (-1, 1, 1, 1)) * codes.astype(np.float32)
    np.testing.assert_array_equal(next(iter(net.state_dict().values())), wanted)


def test_weights_that_are_quantized_in_the_file(tmp_path):
    """QuantizeLinear, then DequantizeLinear, of a float weight, with zero points: what training aware of it exports."""
    arrays = {
        "c.weight": WEIGHT,
        "scale": np.full(4, 0.05, np.float32),
        "zero": np.array([3, -2, 0, 5], np.int8),
        "c.bias": BIAS,
    }
    body = [
        node("QuantizeLinear", "c.weight scale zero", "q", axis=0),
        node("DequantizeLinear", "q scale zero", "w", axis=0),
    ]
    check(saved(tmp_path / "net.onnx", model([*body, *nodes("w")], arrays)), tolerance=1e-5)


def test_scales_of_blocks(tmp_path):
    codes, scale = RNG.integers(-8, 8, (216, 4)).astype(np.int8), RNG.uniform(0.1, 1, (9, 4)).astype(np.float32)
    body = [
        node("DequantizeLinear", "q scale", "w", axis=0, block_size=24),
        node("Flatten", "x", "f"),
        node("MatMul", "f w", "y"),
    ]
    net = elq.from_onnx(saved(tmp_path / "net.onnx", model(body, {"q": codes, "scale": scale}, opset=21)))
    wanted = np.repeat(scale, 24, 0) * codes.astype(np.float32)
    np.testing.assert_array_equal(next(iter(net.state_dict().values())), wanted.T)


# External data


def external(folder, location="weights.bin", **entries):
    """A model whose weight lies in a file of its own, and that file."""
    (folder / "weights.bin").write_bytes(b"head" + WEIGHT.tobytes())
    proto = onnx.TensorProto(name="c.weight", data_type=1, dims=WEIGHT.shape, data_location=onnx.TensorProto.EXTERNAL)
    for key, value in ({"location": location, "offset": 4, "length": WEIGHT.nbytes} | entries).items():
        if value is not None:
            proto.external_data.add(key=key, value=str(value))
    return model(nodes(), {"c.weight": proto, "c.bias": BIAS})


def test_external_data(tmp_path):
    path = saved(tmp_path / "net.onnx", external(tmp_path))
    net = check(path)
    np.testing.assert_array_equal(net.state_dict()["c.weight"], WEIGHT)
    (tmp_path / "below").mkdir()
    os.replace(tmp_path / "weights.bin", tmp_path / "below" / "w")
    first = checkpoint.read(saved(path, external(tmp_path, "below/w"))).sha256
    content = bytearray((tmp_path / "below" / "w").read_bytes())
    content[-1] ^= 1
    (tmp_path / "below" / "w").write_bytes(content)
    assert checkpoint.read(path).sha256 != first  # they are a part of the network


def test_what_onnx_writes_as_external_data(tmp_path):
    made = model(nodes(), {"c.weight": WEIGHT, "c.bias": BIAS})
    onnx.save(made, tmp_path / "net.onnx", save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    assert (tmp_path / "net.onnx.data").is_file()
    np.testing.assert_array_equal(check(tmp_path / "net.onnx").state_dict()["c.weight"], WEIGHT)


TRICKS = {
    "an absolute path": ({"location": "/etc/passwd"}, "wanted a file in the folder"),
    "a path upwards": ({"location": "../weights.bin"}, "wanted a file in the folder"),
    "upwards and down": ({"location": "below/../../in/weights.bin"}, "wanted a file in the folder"),
    "of Windows": ({"location": "..\\\\weights.bin"}, "wanted a file in the folder"),
    "a drive": ({"location": "C:weights.bin"}, "wanted a file in the folder"),
    "a link out": ({"location": "link"}, "leads out of the folder"),
    "a folder with a link": ({"location": "linked/weights.bin"}, "leads out of the folder"),
    "nothing": ({"location": "none"}, "there is no external data file"),
    "a folder": ({"location": "below"}, "there is no external data file"),
    "no name": ({"location": None}, "names no external file"),
    "an offset beyond the end": ({"offset": 10**6}, "arrays want more of it"),
    "a negative offset": ({"offset": -4}, "wanted a number of bytes"),
    "an offset that is huge": ({"offset": 10**30}, "wanted a number of bytes"),
    "another length": ({"length": 8}, "has 8 in its external file"),
}


@pytest.mark.parametrize("case", TRICKS)
def test_external_data_stay_in_the_folder(case, tmp_path):
    entries, said = TRICKS[case]
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    (tmp_path / "weights.bin").write_bytes(b"head" + WEIGHT.tobytes())
    (folder / "link").symlink_to(tmp_path / "weights.bin")
    (folder / "linked").symlink_to(tmp_path)
    path = saved(folder / "net.onnx", external(folder, **entries))
    with pytest.raises(elq.FormatError, match=said):
        elq.from_onnx(path)


def test_one_external_file_is_not_read_many_times(tmp_path):
    """A hundred arrays of the same bytes would take a hundred times the memory of the file."""
    made = external(tmp_path)
    again = onnx.TensorProto()
    again.CopyFrom(made.graph.initializer[0])
    again.name = "second"
    made.graph.initializer.append(again)
    made.graph.node.insert(0, node("Conv", "x second", "unused"))
    made.graph.node.insert(1, node("GlobalAveragePool", "unused", "p"))
    made.graph.node[-1].output[0] = "z"
    made.graph.node.extend([node("Flatten", "p", "q"), node("Add", "q z", "y")])
    with pytest.raises(elq.FormatError, match="arrays want more of it"):
        elq.from_onnx(saved(tmp_path / "net.onnx", made))


# What export_onnx writes beside a network


def test_what_the_file_says_of_classes_and_normalization(tmp_path):
    made = model(nodes(), {"c.weight": WEIGHT, "c.bias": BIAS})
    about = {"classes": ["a", "b", "c", "d"], "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5], "resize": "crop"}
    onnx.helper.set_model_props(made, {"elq": json.dumps(about), "other": "1"})
    file = checkpoint.read(saved(tmp_path / "net.onnx", made))
    assert file.info is not None
    assert file.info.classes == ("a", "b", "c", "d")
    assert file.info.normalization.mean == (0.1, 0.2, 0.3)
    assert file.info.input_shape == (3, 9, 8) == file.graph.input_shape
    for text in ("[", "1", json.dumps({"classes": 3}), json.dumps(about | {"std": [0, 1, 1]})):
        onnx.helper.set_model_props(made, {"elq": text})
        saved(tmp_path / "net.onnx", made)
        if text == "1":
            assert checkpoint.read(tmp_path / "net.onnx").info is None
            continue
        with pytest.raises(elq.FormatError, match="its metadata is damaged"):
            checkpoint.read(tmp_path / "net.onnx")
