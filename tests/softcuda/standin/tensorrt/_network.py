"""A network, and the parser that fills it. The network is the ONNX file; what can be looked at is read from that."""

from __future__ import annotations

from dataclasses import dataclass, field

from ._enums import DataType, LayerType, NetworkDefinitionCreationFlag
from ._interfaces import ILogger, say_error
from ._onnx import Node, read_graph
from ._plan import Layer
from ._session import Port, Session

_TYPES = {
    "Conv": LayerType.CONVOLUTION,
    "QuantizeLinear": LayerType.QUANTIZE,
    "DequantizeLinear": LayerType.DEQUANTIZE,
}


@dataclass(frozen=True)
class ITensor:
    """A tensor of a network; only of inputs and outputs are type and shape known."""

    name: str
    dtype: DataType = DataType.FLOAT
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class ILayer:
    """A layer of a network: a node, or a constant."""

    name: str
    type: LayerType
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    def get_input(self, index: int) -> ITensor:
        return ITensor(self.inputs[index])

    def get_output(self, index: int) -> ITensor:
        return ITensor(self.outputs[index])


@dataclass(eq=False)
class INetworkDefinition:
    """A network; empty until a parser has filled it."""

    flags: int
    onnx: bytes = b""
    nodes: tuple[Node, ...] = ()
    layers: tuple[ILayer, ...] = ()
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()

    @property
    def strongly_typed(self) -> bool:
        """Whether it was asked for."""
        return bool(self.flags >> NetworkDefinitionCreationFlag.STRONGLY_TYPED & 1)

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    def get_input(self, index: int) -> ITensor:
        return _tensor(self.inputs[index])

    def get_output(self, index: int) -> ITensor:
        return _tensor(self.outputs[index])

    def get_layer(self, index: int) -> ILayer:
        return self.layers[index]


@dataclass(frozen=True)
class ParserError:
    """What is wrong with a graph. ONNX Runtime, which is asked here, does not say with which node."""

    text: str

    def desc(self) -> str:
        return self.text

    def node_name(self) -> str:
        return ""

    def node_operator(self) -> str:
        return ""


@dataclass(eq=False)
class OnnxParser:
    """Takes what ONNX Runtime takes."""

    network: INetworkDefinition
    logger: ILogger
    errors: list[ParserError] = field(default_factory=list)

    @property
    def num_errors(self) -> int:
        return len(self.errors)

    def get_error(self, index: int) -> ParserError:
        return self.errors[index]

    def parse(self, model: bytes) -> bool:
        try:
            nodes, constants = read_graph(model)
            session = Session(model)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions have no other base
            self.errors.append(ParserError(f"Failed to parse the ONNX model: {error}"))
            say_error(self.logger, self.errors[-1].text)
            return False
        network = self.network
        network.onnx, network.nodes = bytes(model), nodes
        network.inputs, network.outputs = session.inputs, session.outputs
        weights = tuple(ILayer(name, LayerType.CONSTANT, (), (name,)) for name in constants)
        computed = (
            ILayer(node.name, _TYPES.get(node.operator, LayerType.OTHER), node.inputs, node.outputs) for node in nodes
        )
        network.layers = (*weights, *computed)
        return True


def fused_layers(nodes: tuple[Node, ...]) -> tuple[Layer, ...]:
    """Return the engine's layers: each node is one, but a Relu is fused into the convolution before it."""
    layers: list[Layer] = []
    made_by: dict[str, int] = {}
    for node in nodes:
        source = made_by.get(node.inputs[0]) if node.operator == "Relu" else None
        if source is None:
            layers.append(Layer(node.name, node.operator, (node.name,), node.inputs, node.outputs))
        else:
            into = layers[source]
            name, kind = f"{into.name} + {node.name}", "CaskConvolution"
            layers[source] = Layer(name, kind, (*into.nodes, node.name), into.inputs, node.outputs)
        if node.operator == "Conv":
            made_by.update(dict.fromkeys(node.outputs, len(layers) - 1))
    return tuple(layers)


def _tensor(port: Port) -> ITensor:
    return ITensor(port.name, port.dtype, port.shape)
