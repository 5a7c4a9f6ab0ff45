"""The picture of an engine: one band for each row of Table 1, in it the row's layers, as wide as what they cost."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from googlenet_edge.engine.layer_kind import CONVERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from googlenet_edge.engine.layer_report import EngineReport, ReportedLayer
    from googlenet_edge.engine.layer_types import LayerTensor

__all__ = ["PICTURE_STYLE", "dtype_class", "picture", "tensor_text"]

_KNOWN: Final = ("Int8", "Half", "Float", "UInt8", "BFloat16", "FP8")

# Widths are shares of the widest row, so that rows can be compared; the radio buttons choose what they are shares of.
# No script: a block shows its tip, below the band, on hover and, for fingers and keys, on focus.
PICTURE_STYLE: Final = """
.int8 { --tone: #15803d; } .half { --tone: #2563eb; } .float { --tone: #c2410c; } .uint8 { --tone: #7c3aed; }
.bfloat16 { --tone: #0e7490; } .fp8 { --tone: #a16207; } .other { --tone: #6b7280; }
@media (prefers-color-scheme: dark) { .int8 { --tone: #4ade80; } .half { --tone: #60a5fa; } .float { --tone: #fb923c; }
  .uint8 { --tone: #a78bfa; } .bfloat16 { --tone: #22d3ee; } .fp8 { --tone: #facc15; } .other { --tone: #9ca3af; } }
.swatch { display: inline-block; width: 1rem; height: .8rem; border-radius: 3px; background: var(--tone);
  vertical-align: -1px; margin-right: .3rem; }
.keys > span { margin-right: 1.1rem; white-space: nowrap; } .choose label { margin-right: 1rem; }
.band small { grid-column: 2; } .choose { border: 0; padding: 0; margin: .8rem 0; }
.band { position: relative; display: grid; grid-template-columns: 7.5rem 1fr; align-items: center;
  gap: .1rem .8rem; padding: .3rem 0; border-bottom: 1px solid var(--faint); }
.band > b { font-weight: 500; text-align: right; }
.lane { display: flex; gap: 2px; height: 1.7rem; min-width: min-content; grid-column: 2;
  width: calc(var(--m) * 1%); } .lane.second { height: 1.2rem; }
.block { flex: var(--m) 1 0; min-width: 7px; border-radius: 3px; background: var(--tone); }
main:has(#by-bytes:checked) .lane { width: calc(var(--b) * 1%); }
main:has(#by-bytes:checked) .block { flex-grow: var(--b); }
.converts { background: repeating-linear-gradient(135deg, var(--tone) 0 3px, Canvas 3px 6px);
  outline: 1px solid var(--tone); outline-offset: -1px; }
.tip { display: none; position: absolute; z-index: 2; top: 100%; left: 8.3rem; width: max-content;
  max-width: min(40rem, calc(100% - 9rem)); padding: .5rem .7rem; border-radius: 6px; background: Canvas;
  color: CanvasText; border: 1px solid var(--tone); box-shadow: 0 4px 16px #0004; font-size: .85rem;
  overflow-wrap: anywhere; }
.tip ul { margin: .2rem 0 0; padding-left: 1.1rem; } .tip p { margin: .25rem 0 0; }
.block:hover .tip, .block:focus .tip { display: block; } .block:focus { outline: 2px solid CanvasText; }
"""


def dtype_class(dtype: str) -> str:
    """Return the style class of an element type."""
    return dtype.lower() if dtype in _KNOWN else "other"


def tensor_text(tensor: LayerTensor) -> str:
    """Return a tensor's type and shape, for people: ``"Half N x 64 x 56 x 56"``; not escaped."""
    shape = " x ".join("N" if size < 0 else str(size) for size in tensor.shape)
    return f"{tensor.dtype or 'unknown type'} {shape}".strip()


def picture(reports: Sequence[EngineReport]) -> Iterator[str]:
    """Yield the picture as HTML: for two engines, the lanes of the second below those of the first."""
    order = dict.fromkeys(row.row for report in reports for row in report.rows())
    totals = [row for report in reports for row in report.rows()]
    most_macs = max((row.macs for row in totals), default=0) or 1
    most_bytes = max((row.frame_bytes for row in totals), default=0) or 1
    yield (
        '<fieldset class="choose">Width: <label><input type="radio" name="width" id="by-macs" checked> '
        'multiply-accumulates</label><label><input type="radio" name="width" id="by-bytes"> activations read and '
        "written</label></fieldset>"
    )
    for name in order:
        yield f'<div class="band"><b>{html.escape(name or "no row")}</b>'
        for number, report in enumerate(reports):
            row = next((row for row in report.rows() if row.row == name), None)
            if row is None or not row.layers:
                where = ", ".join(row.elsewhere) if row is not None else ""
                yield f'<small class="faint">{"in layers of " if where else ""}{html.escape(where)}</small>'
                continue
            shares = f"--m:{100 * row.macs / most_macs:.2f};--b:{100 * row.frame_bytes / most_bytes:.2f}"
            yield f'<div class="lane{" second" if number else ""}" style="{shares}">'
            yield from (_block(layer) for layer in report.kernels if layer.row == name)
            yield "</div>"
        yield "</div>"


def _block(reported: ReportedLayer) -> str:
    layer, kind = reported.layer, reported.kind
    shares = f"--m:{reported.macs / 1e4:.0f};--b:{reported.frame_bytes / 1e2:.0f}"
    converts = " converts" if kind in CONVERSIONS else ""
    what = f"<b>{html.escape(kind)}</b> in {html.escape(reported.dtype or 'no type')}"
    lines = [
        f'{what} <span class="faint">{html.escape(layer.type)}</span>',
        f"<p>{_sides(layer.inputs)} &rarr; {_sides(layer.outputs)}</p>",
        f"<p>{reported.macs / 1e6:.2f} MMAC, {reported.frame_bytes / 1e3:.0f} kB of activations</p>",
    ]
    if reported.cause:
        lines.append(f"<p><i>{html.escape(reported.cause)}</i></p>")
    if layer.onnx_nodes:
        lines.append("<ul>" + "".join(f"<li><code>{html.escape(node)}</code></li>" for node in layer.onnx_nodes))
        lines.append("</ul>")
    lines.append(f'<p class="faint"><code>{html.escape(layer.name)}</code></p>')
    return (
        f'<div class="block {dtype_class(reported.dtype)}{converts}" style="{shares}" tabindex="0" '
        f'data-layer="{reported.index}"><div class="tip">{"".join(lines)}</div></div>'
    )


def _sides(tensors: Sequence[LayerTensor]) -> str:
    return ", ".join(html.escape(tensor_text(tensor)) for tensor in tensors) or "constants"
