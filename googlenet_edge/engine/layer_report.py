"""What there is to say of an engine's layers: each with its kind, its row of Table 1 and its cost, and the totals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from googlenet_edge.engine.layer_cause import cause_of
from googlenet_edge.engine.layer_findings import EngineFacts, findings_of
from googlenet_edge.engine.layer_graph import LayerGraph
from googlenet_edge.engine.layer_kind import CONVERSIONS, KINDS, compute_dtype, kind_of
from googlenet_edge.engine.layers import rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from googlenet_edge.engine.layer_kind import LayerKind
    from googlenet_edge.engine.layer_types import EngineLayer
    from googlenet_edge.types import NodeRow

__all__ = ["EngineFacts", "EngineReport", "FoldedNode", "ReportedLayer", "RowTotal", "report_engine"]

_FOLDED: Final = {
    "Concat": "no work: the layers before it write into its output",
    "Flatten": "no work: the same values in another shape",
    "Reshape": "no work: the same values in another shape",
    "Squeeze": "no work: the same values in another shape",
    "Unsqueeze": "no work: the same values in another shape",
    "Transpose": "no work: read in another order",
    "Identity": "no work",
    "Dropout": "no work: it is for training",
    "Constant": "a constant",
    "QuantizeLinear": "part of the layers beside it",
    "DequantizeLinear": "part of the layers beside it",
    "Cast": "part of the layers beside it",
    "Relu": "part of the layer before it, which does not name it",
}


@dataclass(frozen=True)
class FoldedNode:
    """An ONNX node that no layer names."""

    node: NodeRow
    reason: str
    """Why there is no kernel for it, as far as its operator tells."""


@dataclass(frozen=True)
class ReportedLayer:
    """One layer, with what follows from the graph around it."""

    index: int
    """In the order in which the layers run."""
    layer: EngineLayer
    kind: LayerKind
    dtype: str
    """What it computes in, in TensorRT's words: ``"Int8"``, ``"Half"``, ``"Float"``; "" for a layer that only waits."""
    row: str
    """The row of Table 1 under which it is shown; "" if none."""
    rows: tuple[str, ...]
    """All rows that it computes something of."""
    macs: int
    """Multiply-accumulates for one frame; each ONNX node counts in one layer."""
    frame_bytes: int
    """Activations read and written for one frame."""
    cause: str | None
    """Why it is there, for a layer that only converts; None for one that computes."""


@dataclass(frozen=True)
class RowTotal:
    """One row of Table 1 in an engine."""

    row: str
    layers: int
    """Kernels: without those that only wait."""
    conversions: int
    """Those of them that only convert."""
    macs: int
    """Multiply-accumulates for one frame."""
    frame_bytes: int
    dtypes: tuple[tuple[str, int], ...]
    """What the kernels compute in, and how many do, most first."""
    types: tuple[tuple[str, int], ...]
    """TensorRT's types of the layers, and how many there are, most first."""
    elsewhere: tuple[str, ...] = ()
    """Other rows whose layers compute something of this one, such as a concat's kernel that takes the mean too."""


@dataclass(frozen=True)
class EngineReport:
    """An engine, layer by layer."""

    facts: EngineFacts
    layers: tuple[ReportedLayer, ...]
    folded: tuple[FoldedNode, ...]
    """The ONNX nodes that no layer names: with those of the layers, all there are."""
    strangers: tuple[str, ...]
    """Nodes that layers name and the bundle does not have: TensorRT's parser made them up."""
    findings: tuple[str, ...]
    """What a person should know first, in sentences."""
    row_order: tuple[str, ...]
    """The rows of the network, from its input to its output."""

    @property
    def kernels(self) -> tuple[ReportedLayer, ...]:
        """The layers that are more than waiting."""
        return tuple(layer for layer in self.layers if layer.kind != "synchronization")

    def types(self) -> tuple[tuple[str, int], ...]:
        """Return TensorRT's types of layers, with how many there are of each, most first."""
        return tuple(Counter(layer.layer.type for layer in self.layers).most_common())

    def kinds(self) -> tuple[tuple[LayerKind, int], ...]:
        """Return our kinds of layers, with how many there are of each, in a fixed order."""
        counts = Counter(layer.kind for layer in self.layers)
        return tuple((kind, counts[kind]) for kind in KINDS if counts[kind])

    def rows(self) -> tuple[RowTotal, ...]:
        """Return the totals of each row of the network, and under "" what belongs to none, where there is such."""
        names = [*self.row_order, *([""] if any(not layer.row for layer in self.kernels) else [])]
        return tuple(self._row(name, [layer for layer in self.kernels if layer.row == name]) for name in names)

    def total(self) -> RowTotal:
        """Return the totals over all rows."""
        return self._row("total", self.kernels)

    def _row(self, name: str, layers: Sequence[ReportedLayer]) -> RowTotal:
        others = (layer.row for layer in self.kernels if name in layer.rows and layer.row not in ("", name))
        return RowTotal(
            elsewhere=tuple(dict.fromkeys(others)),
            row=name,
            layers=len(layers),
            conversions=sum(layer.kind in CONVERSIONS for layer in layers),
            macs=sum(layer.macs for layer in layers),
            frame_bytes=sum(layer.frame_bytes for layer in layers),
            dtypes=tuple(Counter(layer.dtype for layer in layers if layer.dtype).most_common()),
            types=tuple(Counter(layer.layer.type for layer in layers).most_common()),
        )


def report_engine(layers: Sequence[EngineLayer], nodes: Sequence[NodeRow], facts: EngineFacts) -> EngineReport:
    """Put an engine's layers beside the graph that it was built from.

    Args:
        layers: In the order in which they run: from ``layers.parse_layers`` or ``layers.parse_inspector``.
        nodes: Every ONNX node, in the graph's order: ``bundle.manifest.nodes``.
        facts: What is known of the engine.
    """
    graph = LayerGraph(layers, nodes)
    reported = []
    for index, layer in enumerate(layers):
        kind = kind_of(graph, index)
        reported.append(
            ReportedLayer(
                index=index,
                layer=layer,
                kind=kind,
                dtype=compute_dtype(graph, index),
                row="" if kind == "synchronization" else graph.row(index),
                rows=rows_of(layer, nodes),
                macs=graph.macs(index),
                frame_bytes=sum(tensor.frame_bytes() for tensor in (*layer.inputs, *layer.outputs)),
                cause=cause_of(graph, index, kind),
            )
        )
    named = {name for layer in layers for name in layer.onnx_nodes}
    return EngineReport(
        facts=facts,
        layers=tuple(reported),
        folded=tuple(FoldedNode(node, _reason(node)) for node in nodes if node.node not in named),
        strangers=tuple(sorted(named - graph.nodes.keys())),
        findings=findings_of(facts, graph, [(each.kind, each.dtype) for each in reported]),
        row_order=tuple(dict.fromkeys(node.row for node in nodes)),
    )


def _reason(node: NodeRow) -> str:
    if node.operator == "DequantizeLinear" and ".weight." in node.node:
        return "the weights are stored as the engine needs them"
    return _FOLDED.get(node.operator, "no layer names it")
