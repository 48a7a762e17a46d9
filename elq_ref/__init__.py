"""elq_ref: the reference implementation of ELQ (Explicit Loss-Error-Aware Quantization, CVPR 2018).

The names below are loaded when they are first used: importing the runtime imports no training code.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# public name -> module that defines it
_HOME = {
    "Tensor": "tensor",
    "no_grad": "tensor",
    "record": "tensor",
    "check_grads": "gradcheck",
    "drawing": "draws",
    "SGD": "training.sgd",
    "Plan": "elq.plan",
    "named_plan": "training.plans",
    "State": "training.state",
    "quantize": "training.stages",
    "objective": "elq.gradients",
    "ternarize": "elq.levels",
    "binarize": "elq.levels",
    "partition": "elq.bands",
    "GraphNet": "graph_net",
    "to_graph": "graph_builder",
    "from_onnx": "checkpoint.onnx_networks",
    "Batches": "datasets",
    "NetworkInfo": "graph",
    "load": "checkpoint",
    "save": "checkpoint.networks",
    "accuracy": "training.evaluate",
    "fit": "training.float_training",
    "sensitivity": "training.layer_costs",
    "new_last_layer": "training.transfer",
    "restore_batch_norm": "training.restoring",
    "Run": "runs.run",
    "pack": "deploy",
    "unpack": "deploy",
    "PackedNetwork": "runtime",
    "Session": "runtime",
    "FormatError": "errors",
}
_ROOMS = (
    "ops",
    "nn",
    "models",
    "datasets",
    "pictures",
    "kernels",
    "graph",
    "runtime",
    "deploy",
    "exchange",
    "export_c",
    "methods",
    "elq",
    "training",
    "crosscheck",
    "parallel",
)

__all__ = ["__version__", *_HOME, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    elif name in _ROOMS:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"elq_ref has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
