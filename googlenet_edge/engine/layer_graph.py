"""How an engine's layers hang together: who made a tensor and who reads it, and in which layer an ONNX node is at home.

An ONNX node may have a part in several layers: an INT8 convolution, for one, whose bias is added in its own kernel. So
that each node, and its multiply-accumulates, counts once, one of them is its home.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from googlenet_edge.engine.layer_types import EngineLayer
    from googlenet_edge.types import NodeRow

__all__ = ["LayerGraph"]

_PRODUCTS: Final = ("conv", "correlation", "gemm", "matmul", "matrixmultiply", "matrix_multiply", "fullyconnected")
"""In TensorRT's words, whatever the case: types of layers that multiply by weights."""

_DEEPEST: Final = 8


class LayerGraph:
    """The layers of one engine and the ONNX nodes of the graph that it was built from.

    Layers are named by their index in the order in which they run: names need not be unique.
    """

    def __init__(self, layers: Sequence[EngineLayer], nodes: Sequence[NodeRow]) -> None:
        self.layers = tuple(layers)
        self.nodes = {node.node: node for node in nodes}
        self._made_by = {tensor.name: index for index, layer in enumerate(layers) for tensor in layer.outputs}
        self._read_by: dict[str, list[int]] = {}
        candidates: dict[str, list[int]] = {}
        for index, layer in enumerate(layers):
            for tensor in layer.inputs:
                self._read_by.setdefault(tensor.name, []).append(index)
            for node in layer.onnx_nodes:
                candidates.setdefault(node, []).append(index)
        self.home = {node: self._home(node, found) for node, found in candidates.items() if node in self.nodes}
        self._at_home: dict[int, list[NodeRow]] = {}
        for known in nodes:
            if known.node in self.home:
                self._at_home.setdefault(self.home[known.node], []).append(known)

    def at_home(self, index: int) -> tuple[NodeRow, ...]:
        """Return the ONNX nodes that count for this layer."""
        return tuple(self._at_home.get(index, ()))

    def listed(self, index: int) -> tuple[NodeRow, ...]:
        """Return all ONNX nodes that this layer has a part in."""
        return tuple(self.nodes[name] for name in self.layers[index].onnx_nodes if name in self.nodes)

    def macs(self, index: int) -> int:
        """Return the multiply-accumulates of a layer, for one frame."""
        return sum(node.macs for node in self.at_home(index))

    def before(self, index: int) -> tuple[int, ...]:
        """Return the layers that make this layer's inputs."""
        made = (self._made_by.get(tensor.name) for tensor in self.layers[index].inputs)
        return tuple(dict.fromkeys(layer for layer in made if layer is not None and layer < index))

    def after(self, index: int) -> tuple[int, ...]:
        """Return the layers that read this layer's outputs."""
        read = (reader for tensor in self.layers[index].outputs for reader in self._read_by.get(tensor.name, ()))
        return tuple(dict.fromkeys(reader for reader in read if reader > index))

    def row(self, index: int) -> str:
        """Return the one row of Table 1 that this layer is shown in: most of its own nodes', or that of a neighbour.

        "" where neither has one, as for a layer that only waits.
        """
        seen, front = {index}, [index]
        for _ in range(_DEEPEST):
            for layer in front:
                nodes = self.at_home(layer) or self.listed(layer)
                if nodes:
                    weights = Counter[str]()
                    for node in nodes:
                        weights[node.row] += 1 + node.macs
                    return weights.most_common(1)[0][0]
            front = [near for layer in front for near in (*self.after(layer), *self.before(layer)) if near not in seen]
            seen.update(front)
        return ""

    def is_product(self, index: int) -> bool:
        """Whether TensorRT's type of the layer says that it multiplies by weights."""
        kind = self.layers[index].type.lower()
        return any(word in kind for word in _PRODUCTS)

    def _home(self, node: str, candidates: Sequence[int]) -> int:
        def rank(index: int) -> tuple[bool, bool, int]:
            return (not self.is_product(index), not self.layers[index].name.startswith(node), index)

        return min(candidates, key=rank)
