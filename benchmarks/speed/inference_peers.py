"""PyTorch as a peer of packed networks, for elq_ref.timing: "torch compile" in float32, "torch pt2e int8" quantized.

Both are compiled by Inductor with frozen weights, channels_last: PyTorch's fastest ways on a CPU. The int8 one is
quantized by torchao's PT2E flow with X86InductorQuantizer (uint8 activations, int8 weights by channel).
"""

import os

import numpy as np
import torch
import torch._inductor.config
from torch.nn import functional as F

from elq_ref.exchange.onnx_export.writer import padded_maxima
from elq_ref.runtime import Node, PackedNetwork
from elq_ref.timing.runners import Call, Ready, Runner

torch._inductor.config.freezing = True
os.environ.setdefault("TORCHINDUCTOR_FREEZING", "1")


class Network(torch.nn.Module):
    """The float network that a packed one computes."""

    def __init__(self, network: PackedNetwork) -> None:
        super().__init__()
        self.graph, self.padded = network.graph, padded_maxima(network.graph)
        self.layers = torch.nn.ModuleDict()
        for node in self.graph.nodes:
            if node.weight is not None:
                self.layers[node.name.replace(".", "_")] = layer(node)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = {self.graph.input: x}
        nodes = {node.name: node for node in self.graph.nodes}
        for node in self.graph.nodes:
            if node.name in self.padded.values():
                continue
            pad = nodes[self.padded[node.name]] if node.name in self.padded else None
            inputs = (values[name] for name in (pad.inputs if pad else node.inputs))
            values[node.name] = self.compute(node, pad, *inputs)
        return values[self.graph.output]

    def compute(self, node: Node, pad: Node | None, x: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        a = node.attributes
        if node.weight is not None:
            return self.layers[node.name.replace(".", "_")](x)
        if node.op == "relu":
            return F.relu(x)
        if node.op == "add":
            return x + more[0]
        if node.op == "concat":
            return torch.cat([x, *more], 1)
        if node.op == "max_pool":
            top, left, bottom, right = a["padding"]
            if pad:
                return F.max_pool2d(x, a["kernel"], a["stride"], pad.attributes["before"][1:])
            if (top, left) == (bottom, right):
                return F.max_pool2d(x, a["kernel"], a["stride"], (top, left))
            return F.max_pool2d(F.pad(x, (left, right, top, bottom), value=-torch.inf), a["kernel"], a["stride"])
        if node.op == "adaptive_avg_pool":
            return F.adaptive_avg_pool2d(x, a["output"])
        if node.op == "subsample":
            return x[:, :, :: a["step"], :: a["step"]]
        if node.op == "pad":
            sides = zip(a["before"][::-1], a["after"][::-1], strict=True)  # PyTorch begins with the last axis
            return F.pad(x, [n for side in sides for n in side])
        if node.op == "global_avg_pool":
            return F.adaptive_avg_pool2d(x, 1).flatten(1)
        if node.op == "flatten":
            return x.flatten(1)
        raise NotImplementedError(f"{node.op} is no op of the timed networks")


def layer(node: Node) -> torch.nn.Module:
    """A conv or linear node with the weights scale_o W_hat."""
    w_hat, a = node.weight.values().astype(np.float64), node.attributes
    weight = (w_hat * node.scale.reshape(-1, *(1,) * (w_hat.ndim - 1))).astype(np.float32)
    if node.op == "linear":
        module: torch.nn.Module = torch.nn.Linear(weight.shape[1], weight.shape[0])
    else:
        shape = (weight.shape[1] * a["groups"], weight.shape[0], weight.shape[2:])
        module = torch.nn.Conv2d(*shape, a["stride"], a["padding"], a["dilation"], a["groups"])
    module.weight.data, module.bias.data = torch.from_numpy(weight), torch.from_numpy(node.bias.copy())
    return module


def quantized(net: torch.nn.Module, x: torch.Tensor) -> torch.nn.Module:
    """The network with int8 products, calibrated on x."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    quantizer = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.export(net, (x,)).module(), quantizer)
    prepared(x)
    return convert_pt2e(prepared)


def make(int8: bool):
    """The Runner's make."""

    def ready(network: PackedNetwork, threads: int) -> Ready:
        torch.set_num_threads(threads)
        net = Network(network).eval().to(memory_format=torch.channels_last)

        def prepare(pictures: np.ndarray) -> Call:
            x = torch.from_numpy(network.metadata.normalization.apply(pictures))
            x = x.contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                run = torch.compile(quantized(net, x) if int8 else net, dynamic=False)
                run(x)

            def call() -> np.ndarray:
                with torch.no_grad():
                    return run(x).numpy()

            return call

        return Ready(prepare, {"version": torch.__version__})

    return ready


RUNNERS = {
    "torch compile": Runner(make(False), ("torch",)),
    "torch pt2e int8": Runner(make(True), ("torch", "torchao")),
}
