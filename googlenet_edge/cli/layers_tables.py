"""What ``googlenet-edge layers`` prints: what was found, the rows of Table 1, totals, and why kernels convert."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.table import Table

from googlenet_edge.engine.layer_kind import CONVERSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from googlenet_edge.engine.layer_report import EngineReport, RowTotal
    from googlenet_edge.engine.layer_types import LayerTensor

__all__ = ["print_layers"]

_WIDE: Final = 150
"""Columns of a terminal that has room for TensorRT's types of two engines."""
_CAUSES: Final = 4
"""Kernels of one kind that are told of; the others are much the same."""


def print_layers(reports: Sequence[EngineReport], *, notes: Sequence[str], every_layer: bool) -> None:
    """Print one engine, or two side by side (to stdout). Names come from files, and are printed as they are."""
    console = Console(highlight=False)
    # Into a file or a pipe, keep the lines whole: there is no screen to fit.
    if not console.is_terminal:
        console.width = 200
    for note in notes:
        console.print(f"note: {_plain(note)}", markup=False, soft_wrap=True)
    for report in reports:
        _print_head(console, report)
    console.print(_side_by_side(reports, types=console.width >= _WIDE) if len(reports) > 1 else _rows(reports[0]))
    for report in reports:
        console.print(_kinds(report))
        _print_causes(console, report, most=len(report.layers) if every_layer else _CAUSES)
        _print_folded(console, report)
        if every_layer:
            console.print(_every_layer(report))


def _print_head(console: Console, report: EngineReport) -> None:
    total, size = report.total(), report.facts.plan_bytes
    plan = "" if size is None else f"; plan of {size / 1e6:.1f} MB"
    work = f"{total.macs / 1e6:,.1f} MMAC and {total.frame_bytes / 1e6:.1f} MB of activations a frame"
    lines = [
        report.facts.title,
        f"  {total.layers} kernels, {work}{plan}",
        *(f"  {finding}" for finding in report.findings),
    ]
    console.print("\n".join(map(_plain, lines)), markup=False, soft_wrap=True)


def _table(title: str, *, footer: bool = False) -> Table:
    return Table(
        title=_escape(title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), show_footer=footer
    )


def _rows(report: EngineReport) -> Table:
    table = _table("Rows of Table 1", footer=True)
    total = report.total()
    table.add_column("row", footer="total", no_wrap=True)
    figures = (("kernels", str(total.layers)), ("convert", str(total.conversions)), ("MMAC", _millions(total.macs)))
    for title, footer in (*figures, ("kB", f"{total.frame_bytes / 1e3:,.0f}")):
        table.add_column(title, justify="right", footer=footer)
    table.add_column("computed in", footer=_counts(total.dtypes))
    table.add_column("TensorRT's types", footer=_counts(total.types))
    for row in report.rows():
        table.add_row(
            _escape(row.row or "no row"),
            str(row.layers or ""),
            str(row.conversions or ""),
            _millions(row.macs),
            f"{row.frame_bytes / 1e3:,.0f}" if row.layers else "",
            _counts(row.dtypes) or _elsewhere(row),
            _counts(row.types),
        )
    return table


def _side_by_side(reports: Sequence[EngineReport], *, types: bool) -> Table:
    table = _table("Rows of Table 1, side by side: " + " | ".join(report.facts.title for report in reports))
    table.add_column("row", no_wrap=True)
    for report in reports:
        table.add_column(f"{report.facts.precision}\nkernels", justify="right")
        table.add_column("\nconvert", justify="right")
        table.add_column("\nkB", justify="right")
        table.add_column("\ncomputed in")
        if types:
            table.add_column("\nTensorRT's types")
    by_name = [{row.row: row for row in report.rows()} for report in reports]
    for name in dict.fromkeys(name for rows in by_name for name in rows):
        table.add_row(
            _escape(name or "no row"), *(cell for rows in by_name for cell in _cells(rows.get(name), types=types))
        )
    table.add_section()
    table.add_row("total", *(cell for report in reports for cell in _cells(report.total(), types=types)))
    return table


def _cells(row: RowTotal | None, *, types: bool) -> tuple[str, ...]:
    if row is None:
        return ("",) * (5 if types else 4)
    if not row.layers:
        return ("", "", "", _elsewhere(row), "")[: 5 if types else 4]
    figures = (str(row.layers), str(row.conversions or ""), f"{row.frame_bytes / 1e3:,.0f}")
    return (*figures, _counts(row.dtypes), *([_counts(row.types)] if types else []))


def _elsewhere(row: RowTotal) -> str:
    return _escape(f"in layers of {', '.join(row.elsewhere)}" if row.elsewhere else "")


def _kinds(report: EngineReport) -> Table:
    table = _table(f"What the layers do: {report.facts.title}")
    table.add_column("kind", no_wrap=True)
    table.add_column("layers", justify="right")
    table.add_column("TensorRT's types")
    for kind, count in report.kinds():
        types = Counter(layer.layer.type for layer in report.layers if layer.kind == kind)
        table.add_row(kind, str(count), _counts(types.most_common()))
    return table


def _print_causes(console: Console, report: EngineReport, *, most: int) -> None:
    by_kind: dict[str, list[str]] = {}
    for layer in report.kernels:
        if layer.kind in CONVERSIONS:
            by_kind.setdefault(layer.kind, []).append(f"  {layer.row or 'no row'}, {layer.kind}: {layer.cause}")
    if not by_kind:
        return
    lines = [f"Kernels that only convert: {report.facts.title}"]
    for kind, found in by_kind.items():
        more = len(found) - most
        lines += found[:most] + ([f"  and {more} more of kind {kind}: --all lists them"] if more > 0 else [])
    console.print("\n".join(map(_plain, lines)), markup=False, soft_wrap=True)


def _print_folded(console: Console, report: EngineReport) -> None:
    reasons: dict[str, list[str]] = {}
    for folded in report.folded:
        reasons.setdefault(f"{folded.node.operator}: {folded.reason}", []).append(folded.node.node)
    lines = [f"  {len(nodes)} {reason} ({', '.join(nodes[:9])}{', ...' if len(nodes) > 9 else ''})"
             for reason, nodes in reasons.items()]  # fmt: skip
    if lines:
        lines = ["ONNX nodes without a kernel", *lines]
        console.print("\n".join(map(_plain, lines)), markup=False, soft_wrap=True)


def _every_layer(report: EngineReport) -> Table:
    table = _table(f"All layers: {report.facts.title}")
    table.add_column("#", justify="right")
    for title in ("row", "kind", "type", "inputs", "outputs", "ONNX nodes", "tactic"):
        table.add_column(title, overflow="fold")
    for reported in report.layers:
        layer = reported.layer
        words = (str(reported.index), reported.row, reported.kind, layer.type)
        sides = (_tensors(layer.inputs), _tensors(layer.outputs), ", ".join(layer.onnx_nodes), layer.tactic or "")
        table.add_row(*(_escape(word) for word in (*words, *sides)))
    return table


def _tensors(tensors: Sequence[LayerTensor]) -> str:
    texts = ("x".join("N" if size < 0 else str(size) for size in tensor.shape) for tensor in tensors)
    return "\n".join(f"{tensor.dtype} {text}" for tensor, text in zip(tensors, texts, strict=True))


def _counts(counts: Sequence[tuple[str, int]]) -> str:
    return _escape(", ".join(f"{count} {name}" for name, count in counts))


def _millions(macs: int) -> str:
    return f"{macs / 1e6:,.2f}" if macs else ""


def _escape(text: str) -> str:
    """Keep a name from being taken for rich's markup, or from steering the terminal."""
    from rich.markup import escape

    return escape(_plain(text))


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
