"""The layers of a TensorRT engine: what each computes, on which types, and which ONNX nodes went into it.

No GPU is needed: the builder logs every layer of the engine that it has made (``layer_log.py``). On a device the engine
inspector tells the same (``layer_inspector.py``). What follows from the layers is in ``layer_report.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from googlenet_edge.engine.layer_inspector import inspect_engine, parse_inspector
from googlenet_edge.engine.layer_log import parse_log
from googlenet_edge.engine.layer_types import EngineLayer, LayerTensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from googlenet_edge.types import NodeRow

__all__ = ["EngineLayer", "LayerTensor", "inspect_engine", "parse_inspector", "parse_layers", "rows_of"]


def parse_layers(log: Sequence[str]) -> tuple[EngineLayer, ...]:
    """Return the layers that a builder's VERBOSE log ends with, in the order in which they run.

    Args:
        log: ``BuiltEngine.log``, or the lines of a log file.

    Raises :class:`~googlenet_edge.errors.EngineError` where the log has no list of layers in a known format.
    """
    return parse_log(log)


def rows_of(layer: EngineLayer, nodes: Sequence[NodeRow]) -> tuple[str, ...]:
    """Return the rows of Table 1 that a layer computes something of, each once, in the network's order.

    Args:
        layer: An engine layer.
        nodes: Every ONNX node with its row: ``bundle.manifest.nodes``.
    """
    own = set(layer.onnx_nodes)
    return tuple(dict.fromkeys(node.row for node in nodes if node.node in own))
