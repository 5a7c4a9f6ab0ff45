"""Engines' layers as JSON; ``docs/engines.md`` describes the document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from googlenet_edge.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from googlenet_edge.engine.layer_report import EngineReport, FoldedNode, ReportedLayer, RowTotal
    from googlenet_edge.engine.layer_types import LayerTensor

__all__ = ["SCHEMA_VERSION", "layers_document", "write_document"]

SCHEMA_VERSION: Final = 1
"""Raised by one whenever a field goes or changes its meaning."""


def layers_document(reports: Sequence[EngineReport]) -> dict[str, object]:
    """Return one or more engines as what ``json`` can write."""
    return {"schema_version": SCHEMA_VERSION, "engines": [_engine(report) for report in reports]}


def write_document(reports: Sequence[EngineReport], path: Path) -> None:
    """Write the document, whole or not at all. Raises :class:`~googlenet_edge.errors.OutputError`."""
    text = json.dumps(layers_document(reports), indent=1, ensure_ascii=False) + "\n"
    with atomic_file(path, what="layers as JSON") as file:
        file.write(text.encode("utf-8", "replace"))


def _engine(report: EngineReport) -> dict[str, object]:
    facts, total = report.facts, report.total()
    return {
        "bundle": facts.bundle,
        "precision": facts.precision,
        "builder": facts.builder,
        "targets": list(facts.targets),
        "batches": None if facts.batches is None else dict(zip(("min", "opt", "max"), facts.batches, strict=True)),
        "plan_bytes": facts.plan_bytes,
        "findings": list(report.findings),
        "totals": _total(total) | {"kinds": dict(report.kinds()), "types": dict(report.types())},
        "rows": [{"row": row.row, "elsewhere": list(row.elsewhere)} | _total(row) for row in report.rows()],
        "layers": [_layer(layer) for layer in report.layers],
        "folded": [_folded(folded) for folded in report.folded],
        "not_in_bundle": list(report.strangers),
    }


def _total(row: RowTotal) -> dict[str, object]:
    return {
        "layers": row.layers,
        "conversions": row.conversions,
        "macs": row.macs,
        "frame_bytes": row.frame_bytes,
        "dtypes": dict(row.dtypes),
        "types": dict(row.types),
    }


def _layer(reported: ReportedLayer) -> dict[str, object]:
    layer = reported.layer
    return {
        "index": reported.index,
        "name": layer.name,
        "type": layer.type,
        "kind": reported.kind,
        "dtype": reported.dtype,
        "row": reported.row,
        "rows": list(reported.rows),
        "onnx_nodes": list(layer.onnx_nodes),
        "inputs": [_tensor(tensor) for tensor in layer.inputs],
        "outputs": [_tensor(tensor) for tensor in layer.outputs],
        "weights": [_tensor(tensor) for tensor in layer.weights],
        "tactic": layer.tactic,
        "macs": reported.macs,
        "frame_bytes": reported.frame_bytes,
        "cause": reported.cause,
    }


def _tensor(tensor: LayerTensor) -> dict[str, object]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape), "layout": tensor.layout}


def _folded(folded: FoldedNode) -> dict[str, object]:
    node = folded.node
    return {"node": node.node, "operator": node.operator, "row": node.row, "reason": folded.reason}
