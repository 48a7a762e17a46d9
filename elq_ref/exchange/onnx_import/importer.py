"""From an ONNX model to a graph: node by node, in the order of the file, constants computed, axes followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import FormatError
from ...graph.nodes import Graph
from . import views
from .builder import INPUT, Builder, Image
from .constants import FOLDED, Folding
from .functions import Affine, Functions, Term
from .model import OnnxModel, OnnxNode, short

Value = np.ndarray | Image | Term | Affine
_SAME = ("Identity", "Cast", "Reshape", "Unsqueeze", "Squeeze", "Transpose", "QuantizeLinear", "DequantizeLinear")
BATCH = 9973  # of pictures where the file leaves it open: a number that no axis has, so that it is found again


class Importer:
    """What translators of nodes work with: the values so far, the graph so far."""

    def __init__(self, model: OnnxModel, input_shape: tuple[int, int, int], batch: int, labels: str) -> None:
        self.model = model
        self.builder = Builder(input_shape, batch)
        self.functions = Functions(self.builder)
        self.folding = Folding(model.opset)
        self.origins: dict[str, str] = {}  # of a constant that is an array in another form: the array's name
        self.values: dict[str, Value] = {model.input[0]: self.builder.seen_as(INPUT, tuple(labels))}

    @property
    def opset(self) -> int:
        return self.model.opset

    def value(self, name: str) -> Value:
        """The value of this name; ValueError where nothing before computes it."""
        if name in self.values:
            return self.values[name]
        if name not in self.model.arrays.protos:
            raise ValueError(f"reads {short(name)}, which no node before it computes")
        return self.model.arrays.get(name)

    def image(self, name: str) -> Image:
        """A value as one of the graph; ValueError for a constant and for what follows a softmax."""
        found = self.as_image(self.value(name))
        if found.probabilities:
            raise ValueError("follows a Softmax, which only the end of a network may have")
        return found

    def as_image(self, value: Value) -> Image:
        if isinstance(value, np.ndarray):
            raise ValueError("reads a constant where it wants what was computed of pictures")
        return self.functions.image(value)

    def constant(self, node: OnnxNode, position: int, default: Any = None) -> Any:
        """The array at an input; `default` where it is left out. ValueError where it is computed of pictures."""
        name = node.input(position)
        if not name:
            return default
        found = self.value(name)
        if not isinstance(found, np.ndarray):
            raise ValueError(f"reads {short(name)}, which depends on the pictures, where it wants a constant")
        return found

    def needed(self, node: OnnxNode, position: int) -> np.ndarray:
        """The array at an input that may not be left out."""
        found: np.ndarray | None = self.constant(node, position)
        if found is None:
            raise ValueError(f"leaves out its input {position}, wanted a constant")
        return found

    def integers(self, node: OnnxNode, position: int, attribute: str, since: int) -> tuple[int, ...] | None:
        """Integers that are an attribute before opset `since`, an input from then on; None where they are left out."""
        if self.opset < since:
            found = node.attributes.get(attribute)
            return None if found is None else tuple(found)
        array = self.constant(node, position)
        return None if array is None else integers(array)

    def run(self) -> Graph:
        """The graph of the whole model. FormatError names the node that cannot be had."""
        for node in self.model.nodes:
            try:
                self._translate(node)
            except FormatError:
                raise
            except ValueError as error:
                raise FormatError(_named(node, error)) from None
        try:
            return self.builder.graph(self._output())
        except ValueError as error:
            raise FormatError(str(error)) from None

    def _translate(self, node: OnnxNode) -> None:
        known = [self.value(name) for name in node.inputs if name]
        if node.op in FOLDED and all(isinstance(value, np.ndarray) for value in known):
            results: Any = self.folding.compute(node, [self.value(n) if n else None for n in node.inputs])
            if node.op in _SAME and node.inputs:
                self.origins |= dict.fromkeys(node.outputs, self.origins.get(node.inputs[0], node.inputs[0]))
        elif node.op in TRANSLATORS:
            results = TRANSLATORS[node.op](self, node)
        elif node.op in FOLDED:
            raise ValueError("is supported of constants only, not of what was computed of pictures")
        else:
            raise ValueError(f"is not supported; what is: {', '.join(sorted(TRANSLATORS))}")
        results = results if isinstance(results, list) else [results]
        if len(results) < sum(1 for name in node.outputs if name) and any(node.outputs[len(results) :]):
            results += [None] * (len(node.outputs) - len(results))
        for name, result in zip(node.outputs, results, strict=False):
            if name and result is not None:
                if name in self.values:
                    raise ValueError(f"computes {short(name)}, which is computed already")
                self.values[name] = result

    def _output(self) -> str:
        """The name of the logits (classes) in the graph."""
        value = self.value(self.model.output)
        image = self.as_image(value)
        shape = tuple("N" if k == 0 else n for k, n in enumerate(image.view.shape))
        if len(shape) != 2 or image.view.axes[0] != views.whole("N", self.builder.batch):
            described = ", ".join(map(str, shape))
            raise ValueError(f"its output {short(self.model.output)} is ({described}), wanted (N, classes)")
        name, order = self.builder.flat(image)
        if order is not None:
            raise ValueError(f"its output {short(self.model.output)} has its axes mixed, wanted (N, classes)")
        return name


def integers(array: np.ndarray) -> tuple[int, ...]:
    """The values of a constant that holds a few integers."""
    if array.ndim > 1 or array.size > 64 or array.dtype.kind not in "iu":
        raise ValueError(f"reads a constant {array.dtype} of shape {array.shape}, wanted a few integers")
    return tuple(int(n) for n in array.reshape(-1))


def _named(node: OnnxNode, error: ValueError) -> str:
    text = str(error)
    return text if text.startswith("node ") else f"{node} {text}"


Translator = Callable[[Importer, OnnxNode], Any]
TRANSLATORS: dict[str, Translator] = {}


def translates(*ops: str) -> Callable[[Translator], Translator]:
    """The function translates these ops of ONNX: it gives back the value of the first output, or a list of all."""

    def enter(translator: Translator) -> Translator:
        TRANSLATORS.update(dict.fromkeys(ops, translator))
        return translator

    return enter


@dataclass(frozen=True, eq=False)
class Imported:
    """A trainable graph, its tensors, and what the file says beside them ({} but for export_onnx's files)."""

    graph: Graph
    tensors: dict[str, np.ndarray]
    about: dict[str, Any]


def labels_of(model: OnnxModel) -> str:
    """ "NCHW" or "NHWC": the axes of the pictures, as the first node tells that needs them."""
    name = model.input[0]
    readers: dict[str, list[OnnxNode]] = {}
    for node in model.nodes:
        for read in node.inputs:
            readers.setdefault(read, []).append(node)
    for _ in range(16):
        if not (found := readers.get(name)) or not found[0].outputs:
            break
        node = found[0]
        if node.op == "Transpose":
            order = node.attributes.get("perm")
            return "NHWC" if isinstance(order, tuple) and tuple(order) == (0, 3, 1, 2) else "NCHW"
        if node.op not in ("Identity", "Cast", "Sub", "Mul", "Div", "Add", "BatchNormalization", "Pad"):
            break
        name = node.outputs[0]
    return "NCHW"


def whole_model(model: OnnxModel, given: tuple[int, int, int] | None) -> Imported:
    """The graph of a model for pictures `given` (C, H, W), which need not be said where the file does."""
    name, axes = model.input
    labels = labels_of(model)
    stated = dict(zip(labels, axes, strict=True))
    shape = given or tuple(stated[label] for label in "CHW")
    unknown = [label for label, size in zip("CHW", shape, strict=True) if size is None]
    if unknown:
        words = " and ".join({"C": "channels", "H": "rows", "W": "columns"}[label] for label in unknown)
        raise FormatError(f"its input {short(name)} leaves {words} open: say them, e.g. --input 3,224,224")
    if stated["C"] not in (None, shape[0]):
        raise FormatError(f"its input {short(name)} has {stated['C']} channel(s), wanted pictures have {shape[0]}")
    channels, rows, columns = map(int, shape)  # type: ignore[arg-type]
    importer = Importer(model, (channels, rows, columns), stated["N"] or BATCH, labels)
    graph = importer.run()
    return Imported(graph, importer.builder.tensors, model.about)


__all__ = ["BATCH", "Image", "Imported", "Importer", "Term", "Value", "integers", "translates", "views", "whole_model"]
