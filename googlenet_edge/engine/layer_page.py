"""Engines' layers as one HTML page that needs nothing else: no script, no network."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from googlenet_edge.atomic import atomic_file
from googlenet_edge.engine.layer_kind import CONVERSIONS
from googlenet_edge.engine.layer_picture import PICTURE_STYLE, dtype_class, picture, tensor_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from googlenet_edge.engine.layer_report import EngineReport, RowTotal

__all__ = ["layers_page", "write_page"]

_STYLE: Final = """
:root { color-scheme: light dark; --faint: color-mix(in srgb, CanvasText 14%, Canvas); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
  color: CanvasText; background: Canvas; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.faint { color: color-mix(in srgb, CanvasText 65%, Canvas); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--faint); text-align: left; vertical-align: top; }
.number { text-align: right; } thead th { border-bottom-width: 2px; vertical-align: bottom; }
tfoot td { border-bottom: 0; font-weight: 600; } code { font-size: .88em; overflow-wrap: anywhere; }
.finding { border-left: 4px solid #d97706; padding: .3rem .8rem; margin: .5rem 0;
  background: color-mix(in srgb, #d97706 10%, Canvas); }
summary { cursor: pointer; font-weight: 600; margin: .6rem 0; }
"""


def layers_page(reports: Sequence[EngineReport]) -> str:
    """Return the page: the picture, what was found, totals for each row and type, every layer. One engine or two."""
    title = "Engine layers of " + " and ".join(report.facts.title for report in reports)
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title><style>{_STYLE}{PICTURE_STYLE}</style></head><body><main>",
            f"<h1>{html.escape(title)}</h1>",
            *(line for report in reports for line in _head(report, named=len(reports) > 1)),
            "<h2>Rows of Table 1</h2>",
            *_keys(reports),
            *picture(reports),
            *(line for report in reports for line in _totals(report)),
            *(line for report in reports for line in _conversions(report)),
            *(line for report in reports for line in _layers(report)),
            *(line for report in reports for line in _folded(report)),
            "</main></body></html>\n",
        ]
    )


def write_page(reports: Sequence[EngineReport], path: Path) -> None:
    """Write the page, whole or not at all. Raises :class:`~googlenet_edge.errors.OutputError`."""
    text = layers_page(reports)
    with atomic_file(path, what="page of layers") as file:
        file.write(text.encode("utf-8", "replace"))


def _head(report: EngineReport, *, named: bool) -> Iterator[str]:
    facts, total = report.facts, report.total()
    if named:
        yield f"<h2>{html.escape(facts.title)}</h2>"
    size = "" if facts.plan_bytes is None else f", plan of {facts.plan_bytes / 1e6:.1f} MB"
    yield (
        f'<p class="faint">{total.layers} kernels, {total.macs / 1e6:,.1f} MMAC and '
        f"{total.frame_bytes / 1e6:.1f} MB of activations read and written for each frame{size}</p>"
    )
    for finding in report.findings:
        yield f'<div class="finding">{html.escape(finding)}</div>'


def _keys(reports: Sequence[EngineReport]) -> Iterator[str]:
    dtypes = dict.fromkeys(dtype for report in reports for dtype, _ in report.total().dtypes)
    yield '<p class="keys">'
    for dtype in dtypes:
        yield f'<span class="{dtype_class(dtype)}"><i class="swatch"></i>computes in {html.escape(dtype)}</span>'
    yield '<span class="other"><i class="swatch converts"></i>only converts</span></p>'
    if len(reports) > 1:
        first, second = (html.escape(report.facts.title) for report in reports[:2])
        yield f'<p class="faint">Upper lanes: {first}. Lower lanes: {second}.</p>'


def _totals(report: EngineReport) -> Iterator[str]:
    title = html.escape(report.facts.title)
    yield f'<h2>Totals: {title}</h2><div class="scroll"><table><thead><tr><th>row</th><th class="number">kernels</th>'
    yield '<th class="number">only convert</th><th class="number">MMAC</th><th class="number">activations, kB</th>'
    yield "<th>computed in</th><th>TensorRT's types</th></tr></thead><tbody>"
    yield from (_total(row) for row in report.rows())
    yield f"</tbody><tfoot>{_total(report.total())}</tfoot></table></div>"


def _total(row: RowTotal) -> str:
    cells = (row.layers, row.conversions or "", f"{row.macs / 1e6:,.2f}" if row.macs else "")
    return (
        f"<tr><td>{html.escape(row.row or 'no row')}</td>"
        + "".join(f'<td class="number">{cell}</td>' for cell in (*cells, f"{row.frame_bytes / 1e3:,.0f}"))
        + f"<td>{_counts(row.dtypes) or _elsewhere(row)}</td><td>{_counts(row.types)}</td></tr>"
    )


def _conversions(report: EngineReport) -> Iterator[str]:
    found = [layer for layer in report.kernels if layer.kind in CONVERSIONS]
    if not found:
        return
    yield f"<details><summary>{len(found)} kernels that only convert: {html.escape(report.facts.title)}</summary>"
    yield '<div class="scroll"><table><thead><tr><th>row</th><th>what</th><th>why</th></tr></thead><tbody>'
    for layer in found:
        cells = (layer.row, layer.kind, layer.cause or "")
        yield "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</tbody></table></div></details>"


def _layers(report: EngineReport) -> Iterator[str]:
    yield f"<details><summary>All {len(report.layers)} layers: {html.escape(report.facts.title)}</summary>"
    yield '<div class="scroll"><table><thead><tr><th class="number">#</th><th>layer</th><th>type</th><th>what</th>'
    yield "<th>row</th><th>inputs</th><th>outputs</th><th>tactic</th></tr></thead><tbody>"
    for reported in report.layers:
        layer = reported.layer
        sides = ("<br>".join(html.escape(tensor_text(each)) for each in side) for side in (layer.inputs, layer.outputs))
        words = (layer.type, reported.kind, reported.row)
        yield (
            f'<tr><td class="number">{reported.index}</td><td><code>{html.escape(layer.name)}</code></td>'
            + "".join(f"<td>{html.escape(word)}</td>" for word in words)
            + "".join(f"<td>{side}</td>" for side in sides)
            + f"<td><code>{html.escape(layer.tactic or '')}</code></td></tr>"
        )
    yield "</tbody></table></div></details>"


def _folded(report: EngineReport) -> Iterator[str]:
    if not report.folded:
        return
    yield f"<details><summary>{len(report.folded)} ONNX nodes without a kernel: {html.escape(report.facts.title)}"
    yield "</summary><table><thead><tr><th>node</th><th>operator</th><th>why</th></tr></thead><tbody>"
    for folded in report.folded:
        node = folded.node
        yield (
            f"<tr><td><code>{html.escape(node.node)}</code></td><td>{html.escape(node.operator)}</td>"
            f"<td>{html.escape(folded.reason)}</td></tr>"
        )
    yield "</tbody></table></details>"


def _elsewhere(row: RowTotal) -> str:
    return f'<span class="faint">in layers of {html.escape(", ".join(row.elsewhere))}</span>' if row.elsewhere else ""


def _counts(counts: Sequence[tuple[str, int]]) -> str:
    return html.escape(", ".join(f"{count} {name}" for name, count in counts))
