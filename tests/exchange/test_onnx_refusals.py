"""ONNX in: what is no network, not supported or hostile: refused in one line, in memory and time of the file's size."""

import subprocess
import sys
import time

import numpy as np
import pytest
from children import environment
from fuzz_targets import limited_memory
from onnx_files import model, node, onnx, saved

import elq_ref as elq
from elq_ref import checkpoint
from elq_ref.errors import FormatError, shown
from elq_ref.exchange.onnx_import.importer import TRANSLATORS

WEIGHT = np.ones((4, 3, 3, 3), np.float32)
MEMORY = 256 << 20
SECONDS = 5  # of processor time; a million nodes are read in two
LONGEST = 700  # characters of a refusal but for its path


def sound():
    nodes = [node("Conv", "x c.weight", "a"), node("GlobalAveragePool", "a", "b"), node("Flatten", "b", "y")]
    return model(nodes, {"c.weight": WEIGHT})


def refused(path, said):
    """The reader's one line, which says `said`, in bounded time and memory."""
    start = time.process_time()
    with pytest.raises(FormatError, match=said) as caught, limited_memory(MEMORY):
        checkpoint.read(path)
    assert time.process_time() - start < SECONDS
    text = str(caught.value).replace(str(path), "")
    assert text == shown(text)
    assert len(text) < LONGEST
    return text


BYTES = {
    "empty": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "text": lambda content: b"no network at all\n" * 20,
    "zeros": lambda content: bytes(1000),
    "a message of something else": lambda content: b"\x0a\x04abcd",
    "nested without end": lambda content: nested(),
}


def nested():
    """A graph in an attribute of a node of a graph, ten thousand deep."""
    inner = b""
    for _ in range(10_000):
        for field in (0x0A, 0x2A, 0x32):  # GraphProto.node, NodeProto.attribute, AttributeProto.g
            size, length = len(inner), b""
            while True:
                length += bytes([size & 127 | (128 if size > 127 else 0)])
                size >>= 7
                if not size:
                    break
            inner = bytes([field]) + length + inner
    return inner


@pytest.mark.parametrize("case", BYTES)
def test_what_is_no_onnx_file(case, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(BYTES[case](sound().SerializeToString()))
    refused(path, "no ONNX file")


def test_every_place_where_a_file_can_be_cut(tmp_path):
    content = sound().SerializeToString()
    path = tmp_path / "net.onnx"
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(FormatError):
            checkpoint.read(path)


def test_not_there_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        elq.from_onnx(tmp_path / "none.onnx")
    with pytest.raises(FormatError, match="is a folder"):
        elq.from_onnx(tmp_path)


def changed(change):
    made = sound()
    change(made)
    return made


def _several(made):
    make = onnx.helper.make_tensor_value_info
    made.graph.output.extend([make("boxes", 1, ("N", 4)), make("scores", 1, ("N",)), make("labels", 7, ("N",))])


def _dims(*dims):
    def change(made):
        del made.graph.initializer[0].dims[:]
        made.graph.initializer[0].dims.extend(dims)

    return change


def _insert(*nodes):
    def change(made):
        for k, new in enumerate(nodes):
            made.graph.node.insert(k, new)
        made.graph.node[len(nodes)].input[0] = nodes[-1].output[0]

    return change


def _branch(made):
    graph = onnx.helper.make_graph([], "inner", [], [])
    _insert(node("Constant", "", "yes", value_int=1), node("If", "yes", "z", then_branch=graph, else_branch=graph))(
        made
    )


def _names(made):
    for n in made.graph.node:
        n.name = "n" * 10**6
    made.graph.node[0].input[1] = "w" * 10**6


def _set(path, value):
    def change(made):
        *parts, last = path.split(".")
        target = made
        for part in parts:
            target = target[int(part)] if part.isdigit() else getattr(target, part)
        setattr(target, last, value)

    return change


def _with(**attributes):
    """Attributes of the convolution."""

    def change(made):
        made.graph.node[0].attribute.extend(onnx.helper.make_attribute(*pair) for pair in attributes.items())

    return change


def _input(kind, shape):
    def change(made):
        made.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("x", kind, shape))

    return change


MODELS = {
    "a detector": (_several, r"has 4 outputs \('y', 'boxes', 'scores', \.\.\.\), wanted one: \(N, classes\)"),
    "two inputs": (lambda m: m.graph.input.append(onnx.helper.make_tensor_value_info("z", 1, ("N",))), "has 2 inputs"),
    "no picture": (_input(1, ("N", 10)), "has 2 axes, wanted pictures"),
    "words": (_input(7, ("N", 3, 9, 8)), "holds no floats"),
    "an old opset": (_set("opset_import.0.version", 8), "opset 8, wanted 9 to .* onnx.version_converter"),
    "an opset to come": (_set("opset_import.0.version", 99), "opset 99, wanted 9 to .* newer package"),
    "no opset": (lambda m: m.opset_import.pop(), "names no opset"),
    "an op that is not supported": (_insert(node("Resize", "x", "z", "up")),
                                    r"node 'up' \(Resize\) is not supported; what is: Abs, Add, "),
    "an op of another domain": (_insert(onnx.helper.make_node("Attention", ["x"], ["z"], domain="com.microsoft")),
                                r"node 'z' \(com.microsoft.Attention\) is not supported"),
    "a branch": (_branch, r"node 'z' \(If\) is not supported"),
    "an undefined reference": (lambda m: m.graph.node[0].input.__setitem__(0, "nothing"), "reads 'nothing', which no"),
    "a circle": (lambda m: m.graph.node[0].input.__setitem__(0, "b"), "reads 'b', which no node before it computes"),
    "a value computed twice": (lambda m: m.graph.node[2].output.__setitem__(0, "a"), "computed already|no node"),
    "an output that nothing computes": (lambda m: m.graph.output[0].__setattr__("name", "z"), "reads 'z', which no"),
    "names of a million characters": (_names, "which no node before it computes"),
    "a negative axis": (_dims(-4, 3, 3, 3), "has the shape"),
    "2^40 elements": (_dims(1 << 40), "has the shape"),
    "2^40 elements that are 0": (_dims(1 << 40, 0, 3, 3), "an array of 0 bytes has 432"),
    "more elements than bytes": (_dims(400, 3, 3, 3), "an array of 43,200 bytes has 432"),
    "strings": (_set("graph.initializer.0.data_type", 8), "data type 8"),
    "a type to come": (_set("graph.initializer.0.data_type", 999), "data type 999"),
    "NaN": (_set("graph.initializer.0.raw_data", np.full(108, np.nan, np.float32).tobytes()), "no finite float32"),
    "another kernel": (_with(kernel_shape=[2, 2]), "kernel_shape"),
    "pads of 2^40": (_with(pads=[1 << 40] * 4), "padding"),
    "a stride of 0": (_with(strides=[0, 1]), "strides"),
    "groups that do not fit": (_with(group=2), "group"),
    "text where integers belong": (_with(strides="wide"), r"\(Conv\): its strides is of the kind STRING, wanted INTS"),
    "one where several belong": (_with(pads=1), "its pads is of the kind INT, wanted INTS"),
    "several where one belongs": (_with(group=[1]), "its group is of the kind INTS, wanted INT"),
    "a shape that is left out": (_insert(node("Reshape", "x _", "z")), r"\(Reshape\) leaves out its input 1, wanted"),
    "a slope that is left out": (_insert(node("PRelu", "x _", "z")), r"\(PRelu\) leaves out its input 1, wanted"),
    "an attribute of no kind": (lambda m: (_with(pads=[0])(m), m.graph.node[0].attribute[-1].ClearField("type")),
                                "its pads is of the kind UNDEFINED, wanted INTS"),
    "an attribute of another opset": (_with(size=1), "it has the attribute 'size', which is not in opset 17"),
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_what_is_no_classifier(case, tmp_path):
    change, said = MODELS[case]
    refused(saved(tmp_path / "net.onnx", changed(change)), said)


def test_the_list_of_what_is_supported(tmp_path):
    text = refused(saved(tmp_path / "net.onnx", changed(_insert(node("Resize", "x", "z")))), "what is: ")
    assert text.partition("what is: ")[2].split(", ") == sorted(TRANSLATORS)


def constants(*nodes, arrays=None):
    """A model whose nodes compute constants, the last of which it adds to the picture."""
    made = sound()
    made.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in (arrays or {}).items())
    _insert(*nodes, node("Add", f"x {nodes[-1].output[0]}", "z"))(made)
    return made


LARGE = np.array([1 << 40])
BOMBS = {
    "ConstantOfShape": [node("ConstantOfShape", "large", "c")],
    "Expand": [node("Expand", "one", "e"), node("Expand", "one large", "c")],
    "Range": [node("Range", "zero large one", "c")],
    "Gather": [node("ConstantOfShape", "some", "i"), node("Gather", "i i", "j"), node("Gather", "j i", "c")],
    "doubling": [node("Concat", "one one", "c0", axis=0),
                 *(node("Concat", f"c{k} c{k}", f"c{k + 1}", axis=0) for k in range(40))],
    "outer sums": [node("Unsqueeze", "many axis", "u"), node("Add", "u many", "c")],
    "axes": [node("Unsqueeze", "one axes", "c")],
    "scales of blocks": [node("DequantizeLinear", "byte real", "c", axis=0, block_size=1 << 40)],
    "copies": [node("Cast", "many", "d0", to=11), *(node("Add", f"d{k} d{k}", f"d{k + 1}") for k in range(2000))],
    "a division by zero": [node("Div", "one zero", "c")],
    "an index out of range": [node("Gather", "one large", "c")],
    "a reshape that does not fit": [node("Reshape", "one some", "c")],
}  # fmt: skip


@pytest.mark.parametrize("case", BOMBS)
def test_constants_do_not_grow(case, tmp_path):
    arrays = {"large": LARGE, "one": np.array([1]), "zero": np.array([0]), "some": np.array([3, 5]),
              "axis": np.array([1]), "many": np.arange(30_000), "axes": np.arange(1, 40),
              "byte": np.ones((1, 1), np.int8), "real": np.ones((2, 1), np.float32)}  # fmt: skip
    made = constants(*BOMBS[case], arrays=arrays)
    if case == "Expand":
        made.graph.node[0].input.append("some")
    refused(saved(tmp_path / "net.onnx", made), "node ")


def test_a_million_nodes(tmp_path):
    made = sound()
    one = node("Relu", "x", "r").SerializeToString()
    extra = onnx.GraphProto.FromString(b"".join(b"\x0a" + bytes([len(one)]) + one for _ in range(1_000_000)))
    made.graph.node.extend(extra.node)
    refused(saved(tmp_path / "net.onnx", made), "has more than 65,536 nodes")


@pytest.mark.parametrize("op", ["Relu", "Sigmoid", "Identity", "Neg", "Dropout"])
def test_a_chain_of_sixty_thousand(op, tmp_path):
    """Neither recursion without end nor more time than the nodes are worth."""
    chain = [node(op, f"v{k}" if k else "x", f"v{k + 1}") for k in range(60_000)]
    path = saved(tmp_path / "net.onnx", changed(_insert(*chain)))
    start = time.process_time()
    if op in ("Identity", "Relu", "Neg"):
        assert len(checkpoint.read(path).graph.nodes) <= 4096
    else:
        refused(path, "nodes")
    assert time.process_time() - start < 4 * SECONDS


def test_without_the_package(tmp_path):
    path = saved(tmp_path / "net.onnx", sound())
    code = "import sys; sys.modules['onnx'] = None; import elq_ref as elq\n"
    code += f"try: elq.from_onnx({str(path)!r})\nexcept ImportError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "ONNX files need the package onnx: pip install 'elq_ref[onnx]'\n"


def test_a_key_and_an_input_are_for_other_files(tmp_path):
    path = saved(tmp_path / "net.onnx", sound())
    with pytest.raises(FormatError, match="no PyTorch file"):
        checkpoint.read(path, "model")
    other = tmp_path / "net.safetensors"
    checkpoint.write(other, {"a": np.zeros(3, np.float32)}, {})
    with pytest.raises(ValueError, match="is no ONNX file"):
        checkpoint.read(other, input=(3, 8, 8))


def test_a_file_is_known_by_its_content(tmp_path):
    path = saved(tmp_path / "net", sound())
    assert checkpoint.read(path).graph is not None
