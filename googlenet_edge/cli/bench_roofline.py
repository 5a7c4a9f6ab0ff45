"""``googlenet-edge bench --layers``: the work of each row of Table 1 and its share of the roofline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from googlenet_edge.bundle import Bundle
    from googlenet_edge.latency.layer_times import LayerReport
    from googlenet_edge.latency.roofline import MachinePeak, RowWork
    from googlenet_edge.runtime.layer_profile import ProfiledBackend

__all__ = ["Roofline", "measure_roofline", "roofline_document", "roofline_lines", "roofline_table"]

_DEFINITIONS = {
    "macs": "multiply-accumulates of the convolutions and matrix products, of one inference",
    "moved_bytes": "what the row's layers read and write in one inference, weights included, each once at a layer's "
    "border",
    "bound_ms": "max(macs / peak rate, moved_bytes / bandwidth)",
    "roofline_share": "bound_ms / median_ms; 1 is as fast as this machine can; above 1 where data came from a cache, "
    "or the machine was busier when the peak was measured",
}


@dataclass(frozen=True)
class Roofline:
    """The work of the rows, and what the machine can do."""

    rows: tuple[RowWork, ...]
    peak: MachinePeak | None
    """None where it was not measured."""
    how: str
    """How the peak was measured, or why it was not."""


def measure_roofline(report: LayerReport, backend: ProfiledBackend, bundle: Bundle) -> Roofline:
    """Return the work of a report's rows and, on ONNX Runtime in floating point, the machine's peak.

    Call it when the backend has been measured and closed: idle threads of its own could be in the way. Raises
    :class:`BackendError` if the peak cannot be measured.
    """
    from googlenet_edge.latency.roofline import row_work
    from googlenet_edge.runtime.trt_backend import TrtBackend  # this one first: boards need not have ONNX Runtime

    nodes = bundle.manifest.nodes
    if isinstance(backend, TrtBackend):
        return Roofline(row_work(report, nodes), None, "no roofline: the peak of a GPU is not measured")
    from googlenet_edge.runtime.machine_peak import HOW, measure_peak
    from googlenet_edge.runtime.ort_backend import OrtBackend

    if not isinstance(backend, OrtBackend):
        return Roofline(row_work(report, nodes), None, "no roofline: the peak of this backend is not measured")
    rows = row_work(report, nodes, backend.layer_bytes())
    if bundle.manifest.precision == "int8":
        return Roofline(rows, None, "no roofline: the peak is measured in float32, and this graph computes in int8")
    return Roofline(rows, measure_peak(backend.config.intra_op_threads), HOW)


def roofline_document(roofline: Roofline) -> dict[str, object]:
    """Return it as JSON values."""
    peak = roofline.peak
    return {
        "how": roofline.how,
        "definitions": _DEFINITIONS,
        "peak_macs_per_s": None if peak is None else round(peak.macs_per_s),
        "bandwidth_bytes_per_s": None if peak is None else round(peak.bytes_per_s),
        "rows": [_entry(row, peak) for row in roofline.rows],
    }


def roofline_table(roofline: Roofline) -> Table:
    """Return the table for the terminal."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    peak = roofline.peak
    table = Table("row of Table 1", box=box.SIMPLE_HEAD)
    for title in ("MMAC", "GMAC/s", "MB", "MAC/byte", *(() if peak is None else ("roofline", "bound by"))):
        table.add_column(title, justify="right")
    for row in roofline.rows:
        cells = [
            _shown(row.macs, 1e-6, ".2f"),
            _shown(row.macs_per_s, 1e-9, ".1f"),
            _shown(row.moved_bytes, 1e-6, ".2f"),
            _shown(row.intensity, 1, ".1f"),
        ]
        if peak is not None:
            cells += [_shown(row.share(peak), 100, ".0f", " %"), row.limit(peak) or "-"]
        table.add_row(escape(row.name), *cells)
    return table


def roofline_lines(roofline: Roofline) -> list[str]:
    """Return what to say below the table."""
    if roofline.peak is None:
        return [roofline.how]
    rates = f"{roofline.peak.macs_per_s / 1e9:.1f} GMAC/s, {roofline.peak.bytes_per_s / 1e9:.1f} GB/s"
    share = "the least time that the row's MACs and bytes take on this machine, over its ms"
    return [
        f"roofline: {share}; above 100 % where data came from a cache",
        f"this machine: {rates} ({roofline.how})",
    ]


def _entry(row: RowWork, peak: MachinePeak | None) -> dict[str, object]:
    bound_ns = None if peak is None else row.bound_ns(peak)
    return {
        "name": row.name,
        "macs": row.macs,
        "moved_bytes": row.moved_bytes,
        "macs_per_s": None if row.macs_per_s is None else round(row.macs_per_s),
        "macs_per_byte": None if row.intensity is None else round(row.intensity, 3),
        "bound_ms": None if bound_ns is None else round(bound_ns / 1e6, 6),
        "bound_by": None if peak is None else row.limit(peak),
        "roofline_share": None if peak is None else _rounded(row.share(peak)),
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)


def _shown(value: float | None, factor: float, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value * factor:{form}}{unit}"
