"""``BUNDLE.quantization.json``: what was decided on the way to INT8, and why; for people, beside the bundle."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from googlenet_edge.atomic import atomic_file
from googlenet_edge.deploy.config import PrecisionConfig
from googlenet_edge.deploy.verdict import Verdict
from googlenet_edge.errors import OutputError
from googlenet_edge.quantization.budget import BudgetSearch
from googlenet_edge.quantization.placement import pair_scales
from googlenet_edge.quantization.quantize import Quantized
from googlenet_edge.quantization.sensitivity import LayerSensitivity

__all__ = ["QuantizationRecord", "check_record", "remove_record", "write_record"]

_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class QuantizationRecord:
    """How an INT8 graph came about."""

    options: PrecisionConfig
    graph_sha256: str
    """Of the bundle's graph."""
    quantized: Quantized
    deployed: onnx.ModelProto
    """The Q/DQ graph, without the layers that are kept out of INT8."""
    search: BudgetSearch | None
    sensitivity: tuple[LayerSensitivity, ...]
    """Empty if it was not measured."""
    float_share: float
    """Share of the multiply-accumulates that is not in INT8, 0 to 1."""
    verdict: Verdict | None

    def to_dict(self) -> Any:
        """Return everything as JSON values; an infinity is null."""
        table = self.quantized.table
        scales = pair_scales(self.deployed)
        kept = {layer.node for layer in self.search.kept} if self.search is not None else set()
        # Whatever the quantizer tells of itself in a few words; its graphs and arrays are in the bundle.
        told = {
            entry.name: getattr(self.quantized, entry.name)
            for entry in fields(self.quantized)
            if entry.repr and entry.name not in ("model", "table", "choices")
        }
        return _plain({
            "schema_version": _SCHEMA_VERSION,
            "graph_sha256": self.graph_sha256,
            "calibration": {
                "images": table.images.source, "image_count": table.image_count, "images_sha256": table.images_sha256,
                "warnings": [warning.message for warning in table.images.warnings],
            },
            "options": self.options,
            "float_share_of_macs": self.float_share,
            "kept": self.search.kept if self.search is not None else (),
            "comparison": None if self.verdict is None else self.verdict.comparison,
            "verdict": None if self.verdict is None else str(self.verdict),
            "doubt": None if self.verdict is None else self.verdict.doubt,
            "search": self.search,
            **told,
            "choices": [choice for choice in self.quantized.choices if choice.tensor in scales],
            "layers": {
                name: {"weight_scales": len(weight.scales), "bias_corrected": name in self.quantized.biases}
                for name, weight in self.quantized.weights.items()
                if name not in kept
            },
            "scales": scales,
            "sensitivity": self.sensitivity,
        })  # fmt: skip


def check_record(path: Path) -> None:
    """Raise OutputError if there is a file at the path that is no such record."""
    if path.exists() and not _is_record(path):
        raise OutputError(
            f"quantization record {str(path)!r}: got a file that is something else there; move it, or give the bundle "
            "another name"
        )


def remove_record(path: Path) -> None:
    """Delete the record of a bundle that is no more; whatever else may be there stays."""
    if _is_record(path):
        path.unlink(missing_ok=True)


def _is_record(path: Path) -> bool:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"schema_version", "graph_sha256", "options"} <= found.keys()


@contextmanager
def write_record(path: Path, record: QuantizationRecord) -> Iterator[None]:
    """Write the record, which takes its place when the block ends without an error: the bundle is written in it.

    Raises :class:`~googlenet_edge.errors.OutputError` if it cannot be written.
    """
    text = json.dumps(record.to_dict(), ensure_ascii=False, allow_nan=False, indent=1)
    with atomic_file(path, what="quantization record") as file:
        file.write(f"{text}\n".encode("utf-8", "backslashreplace"))
        file.flush()  # a full disk is found before the bundle is written
        yield


def _plain(value: Any) -> Any:
    """Return JSON values of dataclasses, mappings, tuples, numpy numbers; None for what JSON has no number for."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
