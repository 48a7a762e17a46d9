"""The network as a value: nodes, weights as packed codes, shapes, what it reads and knows. Ground floor: NumPy only."""

from .folding import folded
from .info import NetworkInfo
from .nodes import Graph, Node, Parameter, Weight
from .shapes import infer_shapes

__all__ = ["Graph", "NetworkInfo", "Node", "Parameter", "Weight", "folded", "infer_shapes"]
