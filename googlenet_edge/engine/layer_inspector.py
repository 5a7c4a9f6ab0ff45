"""Reads an engine's layers from the engine inspector's JSON: on a device, or from ``trtexec --exportLayerInfo=FILE``.

The formats are those that NVIDIA documents (the engine inspector's page of 10.16, and the page on moving its JSON from
10.x to 11.x) and that users have published for 10.x: ``Format/Datatype`` is one field in 10.x and two, ``Datatype`` and
``Format``, from 11 on. No device was at hand to run it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from googlenet_edge.engine.layer_log import nodes_in_name
from googlenet_edge.engine.layer_types import EngineLayer, LayerTensor, dtype_in, nodes_in_metadata
from googlenet_edge.errors import EngineError

if TYPE_CHECKING:
    import tensorrt_rtx as trt

    from googlenet_edge.engine.api import TensorRT

__all__ = ["inspect_engine", "parse_inspector"]


# No `from __future__` types here that msgspec cannot resolve: only builtins, and the structs above each other.
class _Tensor(msgspec.Struct, rename={"name": "Name", "dimensions": "Dimensions", "both": "Format/Datatype",
                                      "datatype": "Datatype", "layout": "Format"}):  # fmt: skip
    name: str = ""
    dimensions: list[int] = msgspec.field(default_factory=list)
    both: str = ""
    datatype: str = ""
    layout: str = ""


class _Weights(msgspec.Struct, rename={"dtype": "Type", "count": "Count"}):
    dtype: str = ""
    count: int = 0


class _Layer(msgspec.Struct, rename={"name": "Name", "kind": "LayerType", "inputs": "Inputs", "outputs": "Outputs",
                                     "constants": "Constants", "weights": "Weights", "tactic_name": "TacticName",
                                     "tactic_value": "TacticValue", "metadata": "Metadata"}):  # fmt: skip
    name: str
    kind: str
    inputs: list[_Tensor] = msgspec.field(default_factory=list)
    outputs: list[_Tensor] = msgspec.field(default_factory=list)
    constants: list[_Tensor] = msgspec.field(default_factory=list)
    weights: _Weights | None = None
    tactic_name: str = ""
    tactic_value: str = ""
    metadata: str | None = None


class _Document(msgspec.Struct, rename={"layers": "Layers"}):
    layers: list[_Layer | str]


def inspect_engine(engine: trt.ICudaEngine, api: TensorRT) -> tuple[EngineLayer, ...]:
    """Return the layers of an engine that was loaded on a device; raises what :func:`parse_inspector` does."""
    return parse_inspector(engine.create_engine_inspector().get_engine_information(api.LayerInformationFormat.JSON))


def parse_inspector(text: str | bytes, *, source: str = "the engine inspector") -> tuple[EngineLayer, ...]:
    """Return the layers that the engine inspector's JSON lists, in its order.

    Args:
        text: ``{"Layers": [...], ...}``, as ``get_engine_information(LayerInformationFormat.JSON)`` returns it.
        source: What to call it in errors.

    Raises :class:`EngineError` if it is not such JSON, or has the layers' names only.
    """
    try:
        document = msgspec.json.decode(text, type=_Document, strict=False)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise EngineError(
            f"{source}: got {error}, expected JSON as `trtexec --exportLayerInfo=FILE` writes it: "
            '{"Layers": [{"Name": ..., "LayerType": ..., "Inputs": [...], "Outputs": [...]}]}'
        ) from error
    layers = [layer for layer in document.layers if not isinstance(layer, str)]
    if len(layers) < len(document.layers) or not layers:
        got = f"the names of {len(document.layers)} layers only" if document.layers else "no layers"
        raise EngineError(
            f"{source}: got {got}, expected their types and tensors too; build the engine with "
            "`googlenet-edge build`, or trtexec --profilingVerbosity=detailed"
        )
    return tuple(_engine_layer(layer) for layer in layers)


def _engine_layer(layer: _Layer) -> EngineLayer:
    weights = [_tensor(tensor) for tensor in layer.constants]
    if not weights and layer.weights is not None and layer.weights.count:
        weights = [LayerTensor("", dtype_in(layer.weights.dtype) or layer.weights.dtype, (layer.weights.count,))]
    return EngineLayer(
        name=layer.name,
        type=layer.kind,
        inputs=tuple(_tensor(tensor) for tensor in layer.inputs),
        outputs=tuple(_tensor(tensor) for tensor in layer.outputs),
        onnx_nodes=nodes_in_name(layer.name) if layer.metadata is None else nodes_in_metadata(layer.metadata),
        tactic=layer.tactic_name or layer.tactic_value or None,
        weights=tuple(weights),
    )


def _tensor(tensor: _Tensor) -> LayerTensor:
    layout = tensor.both or tensor.layout
    dtype = dtype_in(tensor.datatype) or dtype_in(layout)
    return LayerTensor(tensor.name, dtype, tuple(tensor.dimensions), layout)
