"""Why an engine has a kernel that only converts: between which layers it stands, and what makes it necessary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from googlenet_edge.engine.layer_kind import CONVERSIONS, split_from
from googlenet_edge.engine.layer_types import SIZES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from googlenet_edge.engine.layer_graph import LayerGraph
    from googlenet_edge.engine.layer_kind import LayerKind

__all__ = ["cause_of"]

_NAMED: Final = 4
_CONVERTERS: Final = ("QuantizeLinear", "DequantizeLinear", "Cast")


def cause_of(graph: LayerGraph, index: int, kind: LayerKind) -> str | None:
    """Return one sentence on a layer that only converts; None for a layer that computes."""
    if kind not in CONVERSIONS:
        return None
    layer = graph.layers[index]
    operators = {node.operator for node in graph.listed(index)}
    source = _dtypes(tensor.dtype for tensor in layer.inputs)
    target = _dtypes(tensor.dtype for tensor in layer.outputs)
    before, after = _names(graph, graph.before(index)), _names(graph, graph.after(index))
    behind = f"{before} {'give' if len(graph.before(index)) > 1 else 'gives'}" if before else "the input is"
    ahead = f"{after} {'take' if len(graph.after(index)) > 1 else 'takes'}" if after else "the output is"
    match kind:
        case "epilogue":
            return _epilogue(graph, index, operators, source, target)
        case "weights":
            # Among the constants are their scales too, which are wider.
            narrowest = min(layer.weights, key=lambda tensor: SIZES.get(tensor.dtype, 8), default=None)
            stored = narrowest.dtype if narrowest is not None else "stored"
            return f"{stored} weights are widened to {target} for {after or 'what follows'}, at each inference"
        case "quantize":
            return f"{behind} {source}, and {ahead} {target}"
        case "requantize" if target != "Int8":
            return (
                f"{behind} {source}, {ahead} {target}: values are rounded to the INT8 grid, as the graph "
                "says, and not kept in Int8"
            )
        case "requantize":
            joined = "the inputs of a concat have different scales" if "Concat" in _near(graph, index) else ""
            return f"{behind} Int8, and {ahead} Int8 in another scale" + (f": {joined}" if joined else "")
        case "dequantize":
            return f"{behind} {source}, and {ahead} {target}"
        case "cast":
            asked = [node.node for node in graph.listed(index) if node.operator == "Cast"]
            said = f" (the graph's {', '.join(asked[:_NAMED])})" if asked else ""
            return f"{behind} {source}, and {ahead} {target}{said}"
        case _:
            between = f"between {before or 'the input'} and {after or 'the output'}"
            return f"{between}, {source or 'the tensor'} is laid out anew{_layouts(graph, index)}"


def _epilogue(graph: LayerGraph, index: int, operators: set[str], source: str, target: str) -> str:
    before = split_from(graph, index)
    names = _names(graph, before)
    inputs = _dtypes(graph.layers[each].inputs[0].dtype for each in before if graph.layers[each].inputs)
    work = ["bias"]
    work += ["ReLU"] if "Relu" in operators else []
    work += ["concat"] if "Concat" in operators else []
    work += ["mean"] if "GlobalAveragePool" in operators else []
    work += ["requantization"] if "QuantizeLinear" in operators else []
    many = len(before) > 1
    return (
        f"{names} multipl{'y' if many else 'ies'} {inputs} and give{'' if many else 's'} {source}: "
        f"{', '.join(work)} to {target} come in a kernel of their own"
    )


def _names(graph: LayerGraph, layers: Sequence[int]) -> str:
    """Name layers by the ONNX node that they are known for: a product, or else the last one that is no conversion."""
    names = []
    for index in layers:
        own = graph.at_home(index) or graph.listed(index)
        heavy = [node.node for node in own if node.macs]
        other = [node.node for node in own if node.operator not in _CONVERTERS] or [node.node for node in own]
        names.append((heavy or other[-1:] or [graph.layers[index].name])[0])
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _near(graph: LayerGraph, index: int) -> set[str]:
    return {node.operator for near in (index, *graph.after(index)) for node in graph.listed(near)}


def _layouts(graph: LayerGraph, index: int) -> str:
    layer = graph.layers[index]
    if not (layer.inputs and layer.outputs):
        return ""
    first, last = layer.inputs[0], layer.outputs[0]
    if first.layout != last.layout:
        return f": from {first.layout} to {last.layout}"
    if first.shape != last.shape:
        return f": from {_shape(first.shape)} to {_shape(last.shape)}"
    return "; type and layout stay: a copy, such as into the output of a concat, or to another scale"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape[1:])) or "a number"


def _dtypes(found: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(dtype for dtype in found if dtype))
