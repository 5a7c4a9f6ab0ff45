"""What ``googlenet-edge inspect`` prints: a checkpoint's facts, Table 1, and the forms side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from googlenet_edge.model.detect import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from googlenet_edge.model.checkpoint import Checkpoint
    from googlenet_edge.model.summary import NetworkSummary, RowSummary

__all__ = ["print_tables"]


def print_tables(summary: NetworkSummary, forms: Sequence[NetworkSummary], checkpoint: Checkpoint | None) -> None:
    """Print what the checkpoint says of itself, its table, and all forms side by side (to stdout)."""
    console = Console(highlight=False)
    # Into a file or a pipe, keep the lines whole: there is no screen to fit.
    if not console.is_terminal:
        console.width = 200
    if checkpoint is not None:
        for title, text in _about(checkpoint).items():
            console.print(f"{title + ':':18}{text}", markup=False, soft_wrap=True)
        console.print()
    table = _row_table(summary, narrow=False)
    if _width(console, table) > console.width:
        table = _row_table(summary, narrow=True)
    console.print(table)
    console.print()
    console.print(_form_table(summary, forms))


def _width(console: Console, table: Table) -> int:
    """Return how wide the table wants to be."""
    return Measurement.get(console, console.options.update(max_width=1000), table).maximum


def _about(checkpoint: Checkpoint) -> dict[str, str]:
    """Return what there is to say of a checkpoint, by title."""
    labels = checkpoint.labels
    some = ", ".join(labels[:4]) + (", ..." if len(labels) > 4 else "") if labels else "none in the file"
    normalization = checkpoint.normalization
    source = {
        "argument": "as asked for",
        "file": "from the file",
        "default": "assumed, as the file does not say: give the right one when it is deployed",
    }[checkpoint.normalization_source]

    def numbers(values: Sequence[float]) -> str:
        return ", ".join(f"{value:.4g}" for value in values)

    about = {
        "checkpoint": str(checkpoint.path),
        "form": checkpoint.form,
        "classes": str(checkpoint.class_count),
        "labels": some,
        "normalization": f"mean {numbers(normalization.mean)}; std {numbers(normalization.std)}; "
        f"{normalization.color_order.upper()} ({source})",
        "auxiliary heads": ", ".join(checkpoint.auxiliary_heads) or "none in the file",
        "stored as": checkpoint.dtype,
        "file size": f"{checkpoint.size_bytes / 1e6:.2f} MB ({checkpoint.size_bytes} bytes)",
        "sha256": checkpoint.sha256,
    }
    others = {key: text for key, text in checkpoint.metadata.items() if key not in ("form", "labels", "normalization")}
    if others:
        # Whoever made the file wrote these: keep control characters off the terminal.
        about["metadata"] = "; ".join(f"{shown(key)}={shown(text, 200)}" for key, text in sorted(others.items()))
    return about


def _row_table(summary: NetworkSummary, *, narrow: bool) -> Table:
    """Return the table of the rows; where the terminal is narrow, without what the row above or the name tells."""
    table = Table(
        title=f"{summary.form}, {summary.class_count} classes, at {summary.input_px} x {summary.input_px}",
        box=box.SIMPLE_HEAD,
        show_footer=True,
        title_justify="left",
        padding=(0, 0 if narrow else 1, 0, 0),
    )
    table.add_column("row", footer="total", no_wrap=True)
    if not narrow:
        table.add_column("operation", no_wrap=True)
    with_widths = any(row.widths for row in summary.rows)
    widths = ["1x1", "3x3\nreduce", "3x3", "5x5\nreduce", "5x5", "pool\nproj"] if with_widths else []
    for title in [*([] if narrow else ["input"]), *widths, "output"]:
        table.add_column(title, justify="right")
    table.add_column("parameters", justify="right", footer=f"{summary.parameters:,}")
    table.add_column("MMAC", justify="right", footer=f"{summary.macs / 1e6:,.2f}")
    for row in summary.rows:
        start = [row.name] if narrow else [row.name, row.operation, _shape(row.input_shape)]
        figures = [f"{row.parameters:,}" if row.parameters else "", _millions(row.macs)]
        table.add_row(*start, *(_widths(row) if with_widths else []), _shape(row.output_shape), *figures)
    return table


def _form_table(summary: NetworkSummary, forms: Sequence[NetworkSummary]) -> Table:
    table = Table(
        title=f"The forms at {summary.class_count} classes, {summary.input_px} x {summary.input_px}",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, 1, 0, 0),
    )
    table.add_column("form", no_wrap=True)
    for title in ("parameters", "of torchvision's", "GMAC", "of torchvision's"):
        table.add_column(title, justify="right")
    base = forms[0]
    for form in forms:
        mark = " (this one)" if form.form == summary.form else ""
        shares = (f"{form.parameters / base.parameters:.1%}", f"{form.macs / base.macs:.1%}")
        table.add_row(form.form + mark, f"{form.parameters:,}", shares[0], f"{form.macs / 1e9:.2f}", shares[1])
    return table


def _millions(macs: int) -> str:
    if 0 < macs < 5_000:
        return "<0.01"
    return f"{macs / 1e6:,.2f}" if macs else ""


def _shape(shape: tuple[int, ...]) -> str:
    """Return a shape as in Table 1, channels last: ``28x28x192``."""
    return "x".join(str(length) for length in (*shape[1:], shape[0]))


def _widths(row: RowSummary) -> list[str]:
    widths = row.widths
    if widths is None:
        return [""] * 6
    columns = (widths.conv1x1, widths.conv3x3_reduce, widths.conv3x3)
    return [str(width) for width in (*columns, widths.conv5x5_reduce, widths.conv5x5, widths.pool_proj)]
