"""Local response norms: ONNX's node, or the nodes that compute it where the sizes are even.

The window of an LRN of even size holds one channel more above than below, that of torch.nn.LocalResponseNorm, which is
the graph's, one more below than above; onnxruntime runs no LRN of even size.
"""

from __future__ import annotations

from typing import Any

from . import views
from .builder import Image, labelled
from .cleaning import MEANS
from .functions import Operand, Term
from .importer import Importer, translates
from .model import OnnxNode


@translates("LRN")
def _lrn(importer: Importer, node: OnnxNode) -> Any:
    a = node.attributes
    size = a.get("size", 0)
    if size < 1 or size % 2 == 0:
        raise ValueError(f"has size {size}, wanted an odd number of channels")
    image = importer.image(node.input(0))
    x = importer.builder.rows_and_columns(image)
    numbers = {key: float(a.get(key, usual)) for key, usual in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))}
    return importer.builder.image(importer.builder.add("lrn", labelled(node), (x,), size=size, **numbers))


def channel_means(importer: Importer, node: OnnxNode, image: Image) -> Image | None:
    """An AveragePool over channels as export_onnx and PyTorch write it for a local response norm; None for any other.

    `image` is the square of a value as (N, 1, C, ...); zeros beside its channels are a Pad's or the node's own.
    """
    builder, a, axes = importer.builder, node.attributes, image.view.axes
    kernel = tuple(a.get("kernel_shape") or ())
    count = len(kernel)
    strides, pads = a.get("strides") or (1,) * count, a.get("pads") or (0,) * 2 * count
    source, before, after = image.name, [0, 0, 0], [0, 0, 0]
    if (pad := builder.nodes.get(source)) is not None and pad.op == "pad":
        (source,), before, after = pad.inputs, list(pad.attributes["before"]), list(pad.attributes["after"])
    square = builder.nodes.get(source)
    if square is None or square.op != "mul" or square.inputs[0] != square.inputs[1]:
        return None
    shape = builder.shapes[image.name]
    if len(axes) < 4 or axes[1] or axes[2] != views.whole("C", shape[0]):
        return None
    if image.view.digits != views.plain(builder.batch, shape).digits or len(axes) != count + 2:
        return None
    if len(pads) != 2 * count or (any(pads) and not a.get("count_include_pad", 0)):
        return None
    size, zeros = kernel[0], [*before, *after, *pads[1:count], *pads[count + 1 :]]
    zeros[0] += pads[0]
    zeros[3] += pads[count]
    wanted = [size // 2, 0, 0, (size - 1) // 2]
    if zeros[:4] != wanted or any(zeros[4:]) or any(n != 1 for n in (*kernel[1:], *strides)):
        return None
    name = builder.add(MEANS, labelled(node), square.inputs[:1], size=size)
    shape = builder.shapes[name]
    return Image(name, shape, views.View((axes[0], (), views.whole("C", shape[0]), *axes[3:])))


def local_response(importer: Importer, node: OnnxNode, x: Operand, factor: Operand) -> Image | None:
    """x (bias + alpha means)^-beta, or x / (bias + alpha means)^beta, means those of the channels of x; else None."""
    functions, builder = importer.functions, importer.builder
    if not isinstance(factor, Term) or factor.op != "Pow" or not isinstance(factor.operands[1], float):
        return None
    base, power = factor.operands[0], factor.operands[1]
    assert not isinstance(base, float)
    of, alpha, bias = functions.affine(base) or (base, 1.0, 0.0)
    means = builder.nodes.get(of.name) if isinstance(of, Image) else None
    if means is None or means.op != MEANS:
        return None
    image = functions.image(x)
    if means.inputs != (image.name,) or image.view != factor.like.view:
        return None
    numbers = {"alpha": alpha, "beta": power if node.op == "Div" else -power, "bias": bias}
    return builder.like(
        builder.add("lrn", labelled(node), means.inputs, size=means.attributes["size"], **numbers), image
    )
