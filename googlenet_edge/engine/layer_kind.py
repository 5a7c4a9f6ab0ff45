"""What an engine layer does, in words of our own: TensorRT's types name kernels, and differ from version to version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from googlenet_edge.engine.layer_types import SIZES

if TYPE_CHECKING:
    from googlenet_edge.engine.layer_graph import LayerGraph
    from googlenet_edge.types import NodeRow

__all__ = ["CONVERSIONS", "KINDS", "LayerKind", "compute_dtype", "kind_of", "split_from"]

LayerKind: TypeAlias = Literal[
    "convolution", "matrix product", "pooling", "concat", "pointwise", "epilogue", "quantize", "requantize",
    "dequantize", "weights", "cast", "reformat", "synchronization",
]  # fmt: skip
"""``epilogue``: bias, activation or requantization of a convolution, in a kernel of its own. ``weights``: widens stored
weights at each inference. ``synchronization``: no kernel: streams that wait for each other, shapes, constants."""

KINDS: Final[tuple[LayerKind, ...]] = get_args(LayerKind)
CONVERSIONS: Final[frozenset[LayerKind]] = frozenset(
    ("epilogue", "quantize", "requantize", "dequantize", "weights", "cast", "reformat")
)
"""What an engine would rather not have as kernels of their own."""

_CONVERT: Final = frozenset(("QuantizeLinear", "DequantizeLinear", "Cast", "Identity"))
_POOLS: Final = frozenset(("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"))
_VIEWS: Final = frozenset(("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze"))
_EPILOGUE: Final = _CONVERT | _POOLS | _VIEWS | {"Relu", "Clip", "Add", "Concat"}
_WAITS: Final = frozenset(("signal", "wait", "shape_call", "noop", "constant"))


def kind_of(graph: LayerGraph, index: int) -> LayerKind:
    """Return what a layer does, from its ONNX nodes, and its types where it has none."""
    layer = graph.layers[index]
    own, kind = graph.at_home(index), layer.type.lower()
    if kind in _WAITS or not (layer.inputs or layer.outputs):
        return "synchronization"
    heavy = [node for node in own if node.macs]
    if heavy:
        return "convolution" if any(node.operator.startswith("Conv") for node in heavy) else "matrix product"
    listed = [node for node in graph.listed(index) if not _foreign(graph, index, node)]
    operators = {node.operator for node in listed}
    if not layer.inputs and operators <= _CONVERT:
        return "weights"
    if split_from(graph, index) and operators <= _EPILOGUE:
        return "epilogue"
    if operators & _POOLS or "pool" in kind:
        return "pooling"
    if "Concat" in operators:
        return "concat"
    if operators <= _CONVERT | _VIEWS and (operators & _CONVERT or "reformat" in kind):
        return _conversion(graph, index, operators)
    if not operators or operators <= _VIEWS or "reformat" in kind:
        return _conversion(graph, index, set())
    return "pointwise"


def split_from(graph: LayerGraph, index: int) -> tuple[int, ...]:
    """Return the layers with the products of which this one does the rest: the bias, the activation, the scale."""
    homes = {graph.home[node.node] for node in graph.listed(index) if node.macs}
    return tuple(before for before in graph.before(index) if before in homes and before != index)


def compute_dtype(graph: LayerGraph, index: int) -> str:
    """Return the element type that a layer computes in.

    For a product it is that of what it multiplies, its first input; for any other layer the widest type that it reads
    or writes. "" where there is none.
    """
    layer = graph.layers[index]
    if layer.inputs and graph.macs(index):
        return layer.inputs[0].dtype
    found = {tensor.dtype for tensor in (*layer.inputs, *layer.outputs)}
    return next((dtype for dtype in SIZES if dtype in found), "")


def _foreign(graph: LayerGraph, index: int, node: NodeRow) -> bool:
    """A node that is computed in a later layer, for which this one only prepares."""
    return graph.home[node.node] > index or (node.macs > 0 and graph.home[node.node] != index)


def _conversion(graph: LayerGraph, index: int, operators: set[str]) -> LayerKind:
    layer = graph.layers[index]
    read, written = ({tensor.dtype for tensor in side} for side in (layer.inputs, layer.outputs))
    if written == {"Int8"}:
        if read != {"Int8"}:
            return "quantize"
        return "requantize" if operators & _CONVERT else "reformat"
    if read == {"Int8"} and written - {"Int8"}:
        return "dequantize"
    if {"QuantizeLinear", "DequantizeLinear"} <= operators:
        return "requantize"
    if "QuantizeLinear" in operators or "DequantizeLinear" in operators:
        return "quantize" if "QuantizeLinear" in operators else "dequantize"
    return "cast" if read != written else "reformat"
