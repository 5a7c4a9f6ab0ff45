"""The calibration report: one HTML page that needs nothing else, made from the calibration table alone."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from googlenet_edge.atomic import atomic_file
from googlenet_edge.quantization.report_picture import histogram_svg, key_svg, number, percent
from googlenet_edge.quantization.table import CalibrationTable, TensorRange
from googlenet_edge.quantization.threshold import METHODS

__all__ = ["calibration_report", "worst_tensors", "write_report"]

_PICTURES: Final = 8
_NAMED: Final = 24

_STYLE = """
:root { color-scheme: light dark; --faint: color-mix(in srgb, CanvasText 14%, Canvas); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
  color: CanvasText; background: Canvas; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.faint { color: color-mix(in srgb, CanvasText 65%, Canvas); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--faint); text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom-width: 2px; vertical-align: bottom; }
td small { display: block; color: color-mix(in srgb, CanvasText 60%, Canvas); }
.facts td { text-align: left; } code { font-size: .88em; overflow-wrap: anywhere; }
.warning { border-left: 4px solid #d97706; padding: .3rem .8rem; margin: .5rem 0;
  background: color-mix(in srgb, #d97706 10%, Canvas); }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(24rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--faint); border-radius: 6px; padding: .6rem; }
figcaption { font-size: .9rem; } figure svg { width: 100%; height: auto; }
svg text { font: 10px system-ui, sans-serif; fill: CanvasText; opacity: .75; }
.grid { stroke: CanvasText; opacity: .12; } .bars { fill: #3b82f6; opacity: .55; }
.key { width: 28px; height: 8px; vertical-align: middle; } .keys span { margin-right: 1.2rem; white-space: nowrap; }
"""


def calibration_report(table: CalibrationTable, *, name: str) -> str:
    """Return the page as HTML. ``name`` says which model it is."""
    title = f"Calibration of {name}"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{html.escape(title)}</h1>",
            f'<p class="faint">{table.image_count} images, {len(table.tensors)} tensors, {table.created}</p>',
            *_warnings(table),
            *_dead(table),
            *_ranges(table),
            *_pictures(table),
            *_provenance(table),
            "</body></html>\n",
        ]
    )


def write_report(table: CalibrationTable, path: str | os.PathLike[str], *, name: str) -> None:
    """Write the page, whole or not at all. Raises :class:`~googlenet_edge.errors.OutputError`."""
    text = calibration_report(table, name=name)
    with atomic_file(Path(path), what="calibration report") as file:
        # A file name that is not UTF-8 holds lone surrogates.
        file.write(text.encode("utf-8", "replace"))


def worst_tensors(table: CalibrationTable, count: int) -> tuple[TensorRange, ...]:
    """Return the tensors whose largest value is furthest above the threshold of least squared error: those in which a
    few outliers would cost all others the most resolution.
    """
    alive = [entry for entry in table.tensors if not entry.dead]
    return tuple(sorted(alive, key=lambda entry: entry.thresholds["mse"] / entry.amax)[:count])


def _warnings(table: CalibrationTable) -> Iterable[str]:
    for warning in table.images.warnings:
        yield f'<div class="warning"><b>{warning.code}</b>: {html.escape(warning.message)}</div>'


def _dead(table: CalibrationTable) -> Iterable[str]:
    dead = [entry.tensor for entry in table.tensors if entry.dead]
    channels = [
        (entry.tensor, entry.dead_channels) for entry in table.tensors if entry.dead_channels and not entry.dead
    ]
    yield "<h2>Dead tensors and channels</h2>"
    if not dead and not channels:
        yield "<p>None: every channel of every tensor was above 0 for some image.</p>"
        return
    yield (
        "<p>They were 0 for every image. That may be how the network was trained, or a sign that the images do not "
        "show what the network was trained on. A dead tensor needs no particular scale, only one that is not 0.</p>"
    )
    if dead:
        yield f"<p>Dead tensors: {', '.join(f'<code>{html.escape(tensor)}</code>' for tensor in dead)}</p>"
    if channels:
        yield '<div class="scroll"><table><thead><tr><th>tensor</th><th>dead channels</th><th>which</th></tr></thead>'
        for tensor, indices in channels:
            total = len(table[tensor].channel_amax)
            named = ", ".join(map(str, indices[:_NAMED])) + (" ..." if len(indices) > _NAMED else "")
            yield (
                f"<tr><td><code>{html.escape(tensor)}</code></td><td>{len(indices)} of {total}</td><td>{named}</td>"
                "</tr>"
            )
        yield "</table></div>"


def _ranges(table: CalibrationTable) -> Iterable[str]:
    yield "<h2>Range and thresholds of each tensor</h2>"
    yield (
        '<p class="faint">Threshold = the largest value that INT8 can still hold (127 scales); below it, the share of '
        "values that it clips. The range is the largest absolute value that occurred.</p>"
    )
    heads = "".join(f"<th>{method}</th>" for method in METHODS)
    yield '<div class="scroll"><table><thead><tr><th>tensor</th><th>range</th><th>zeros</th>'
    yield f"{heads}</tr></thead><tbody>"
    for entry in table.tensors:
        total = entry.histogram.zeros + sum(entry.histogram.counts)
        cells = "".join(
            f"<td>{number(entry.thresholds[method])}<small>{percent(entry.clipped_share[method])}</small></td>"
            for method in METHODS
        )
        if entry.dead:
            cells = f'<td colspan="{len(METHODS)}">dead: always 0</td>'
        zeros = 100 * entry.histogram.zeros / max(1, total)
        yield (
            f"<tr><td><code>{html.escape(entry.tensor)}</code></td><td>&plusmn;{number(entry.amax)}</td>"
            f"<td>{zeros:.0f} %</td>{cells}</tr>"
        )
    yield "</tbody></table></div>"


def _pictures(table: CalibrationTable) -> Iterable[str]:
    worst = worst_tensors(table, _PICTURES)
    if not worst:
        return
    keys = "".join(f"<span>{key_svg(method)} {method}</span>" for method in METHODS)
    yield "<h2>The histograms with the furthest outliers</h2>"
    yield '<p class="faint">Across: |x|. Upward: how often, logarithmic, without exact zeros.</p>'
    yield f'<p class="keys">{keys}</p>'
    yield '<div class="pictures">'
    for entry in worst:
        ratio = entry.amax / entry.thresholds["mse"]
        yield (
            f"<figure>{histogram_svg(entry)}<figcaption><code>{html.escape(entry.tensor)}</code>: range "
            f"&plusmn;{number(entry.amax)}, {ratio:.1f} times the threshold of least squared error</figcaption>"
            "</figure>"
        )
    yield "</div>"


def _provenance(table: CalibrationTable) -> Iterable[str]:
    images, settings = table.images, table.settings
    rows = [
        ("graph, sha256", f"<code>{table.model_sha256}</code>"),
        ("images, sha256 over the crops", f"<code>{table.images_sha256}</code>"),
        ("images from", f"<code>{html.escape(images.source)}</code>"),
        (
            "images",
            (
                f"{table.image_count} used of {images.asked} asked for; {images.near_duplicates} near-duplicates kept, "
                f"{images.duplicates_dropped} left out; {images.grey} grey, {images.blank} blank, "
                f"{len(images.unreadable)} unreadable"
            ),
        ),
        ("crop", f"{settings.resize_px} px, centre {settings.crop_px} px, {html.escape(settings.interpolation)}"),
        ("histogram bins", str(settings.bins)),
        ("made with", html.escape(", ".join(f"{name} {version}" for name, version in table.tools.items()))),
    ]
    yield '<h2>Where it comes from</h2><table class="facts">'
    for what, value in rows:
        yield f"<tr><td>{what}</td><td>{value}</td></tr>"
    yield "</table>"
    if images.unreadable:
        yield f"<h2>Unreadable images</h2><ul>{''.join(_unreadable(table))}</ul>"


def _unreadable(table: CalibrationTable) -> Iterable[str]:
    listed = table.images.unreadable
    for image in listed[:100]:
        yield f"<li><code>{html.escape(image.name)}</code>: {html.escape(image.reason)}</li>"
    if len(listed) > 100:
        yield f"<li>and {len(listed) - 100} more</li>"
