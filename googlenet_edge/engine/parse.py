"""An ONNX graph as a strongly typed TensorRT network, or all that speaks against it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from googlenet_edge.engine.logger import process_logger
from googlenet_edge.engine.rules import broken_rule
from googlenet_edge.errors import EngineError

if TYPE_CHECKING:
    import tensorrt_rtx as trt

    from googlenet_edge.engine.flavour import Flavour

__all__ = ["ParsedGraph", "clean_message", "parse_network"]

MOST_SHOWN = 20


@dataclass(frozen=True, eq=False)
class ParsedGraph:
    """A network, and the parser whose memory its weights lie in: keep both until the engine is built."""

    network: trt.INetworkDefinition
    parser: trt.OnnxParser


def parse_network(flavour: Flavour, builder: trt.Builder, onnx: bytes) -> ParsedGraph:
    """Parse the bytes of an ONNX file into a network of this builder.

    Raises :class:`EngineError` with every error of the parser, each with its node and operator, and the rule that it
    breaks; also for a graph that is not a classifier's: one input uint8 (N, height, width, 3), with N free.
    """
    network = builder.create_network(flavour.network_flags)
    parser = flavour.api.OnnxParser(network, process_logger(flavour))
    parsed = parser.parse(onnx)
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    if errors or not parsed:
        told = [_tell(error) for error in errors] or ["the parser gave no reason"]
        raise EngineError(_join(f"{flavour.title} refuses the graph", told))
    _check_ends(flavour, network)
    _check_pairs(flavour, network)
    return ParsedGraph(network, parser)


def clean_message(text: str) -> str:
    """Return a message of TensorRT's on one line, without what it says of a GPU that is not there and not needed."""
    lines = [line.strip() for line in text.splitlines() if "catchCudaError" not in line]
    return re.sub(r" In \w+ at \S+?:\d+", "", " ".join(line for line in lines if line)).strip()


def _tell(error: trt.ParserError) -> str:
    node, operator = error.node_name(), error.node_operator()
    message = clean_message(error.desc())
    where = f"node {node!r} ({operator}): " if node or operator else ""
    rule = broken_rule(message)
    return f"{where}{message}" + (f" [rule: {rule}]" if rule else "")


def _join(what: str, told: list[str]) -> str:
    count = f"{len(told)} errors" if len(told) > 1 else "1 error"
    more = f"\n  ... and {len(told) - MOST_SHOWN} more" if len(told) > MOST_SHOWN else ""
    shown = "".join(f"\n  {line}" for line in told[:MOST_SHOWN])
    return f"{what} ({count}); make the bundle with `googlenet-edge deploy`, which keeps the rules:{shown}{more}"


def _check_ends(flavour: Flavour, network: trt.INetworkDefinition) -> None:
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    found = ", ".join(f"{tensor.name!r} {tensor.dtype.name} {tuple(tensor.shape)}" for tensor in inputs) or "none"
    shape = tuple(inputs[0].shape) if len(inputs) == 1 else ()
    if len(shape) != 4 or inputs[0].dtype != flavour.api.DataType.UINT8 or shape[1] < 1 or shape[3] != 3:
        raise EngineError(f"graph: got inputs {found}, expected one, uint8 (N, height, width, 3); deploy it again")
    if shape[0] != -1:
        raise EngineError(
            f"graph: got input {found}, whose batch is fixed, expected a free one (N); export it with a free batch"
        )
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    fixed = [f"{tensor.name!r} {tuple(tensor.shape)}" for tensor in outputs if tuple(tensor.shape)[:1] != (-1,)]
    if fixed or not outputs:
        got = f"outputs {', '.join(fixed)}" if fixed else "no outputs"
        raise EngineError(
            f"graph: got {got}, expected logits and probabilities "
            "(N, classes) with a free batch; a Reshape has -1 in its place, never a number: export it again"
        )


def _check_pairs(flavour: Flavour, network: trt.INetworkDefinition) -> None:
    """TensorRT takes a lone DequantizeLinear of an activation, and then computes something else than INT8."""
    kinds = flavour.api.LayerType
    maker: dict[str, trt.ILayer] = {}
    broken: list[str] = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        maker.update({layer.get_output(output).name: layer for output in range(layer.num_outputs)})
        if layer.type != kinds.DEQUANTIZE:
            continue
        tensor = layer.get_input(0)
        source = maker.get(tensor.name)
        if source is None or source.type not in (kinds.QUANTIZE, kinds.CONSTANT):
            came = "an input" if source is None else f"{source.name!r} ({source.type.name})"
            broken.append(
                f"node {layer.name!r} (DequantizeLinear): its data comes from {came} [rule: a DequantizeLinear reads a "
                "QuantizeLinear or a constant]"
            )
    if broken:
        raise EngineError(_join("the graph's Q/DQ pairs are not whole", broken))
