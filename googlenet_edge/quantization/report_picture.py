"""Pictures for the calibration report, as SVG: histograms with the thresholds of every method drawn in."""

from __future__ import annotations

import html
import math
from typing import Final

from googlenet_edge.quantization.table import TensorRange
from googlenet_edge.quantization.threshold import METHODS, Method

__all__ = ["COLORS", "histogram_svg", "key_svg", "number", "percent"]

# Of middling lightness, so that they show on white and on black; and no two lines have the same dashes.
COLORS: Final[dict[Method, tuple[str, str]]] = {
    "max": ("#8a8a8a", ""),
    "expected-max": ("#dc2626", "12 3"),
    "percentile-99.9": ("#d97706", "2 2"),
    "percentile-99.99": ("#c026d3", "5 2"),
    "percentile-99.999": ("#7c3aed", "8 2"),
    "entropy": ("#0891b2", "1 3"),
    "mse": ("#16a34a", "9 3 2 3"),
}

_WIDTH, _HEIGHT = 440, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 12, 10, 26


def histogram_svg(entry: TensorRange) -> str:
    """Return a picture of a tensor's histogram: values across, counts upward on a logarithmic scale."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    counts = entry.histogram.counts
    end = max(*entry.thresholds.values(), len(counts) * entry.histogram.bin_width) or 1.0
    decades = max(1, math.ceil(math.log10(max(max(counts, default=1), 1) + 1)))

    def across(value: float) -> float:
        return _LEFT + width * value / end

    def up(count: float) -> float:
        return _TOP + height * (1 - math.log10(count + 1) / decades)

    bottom = _TOP + height
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="histogram of {html.escape(entry.tensor)}">']
    for decade in range(decades + 1):
        y = up(10**decade - 1) if decade else bottom
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        if decade % max(1, decades // 4) == 0:
            label = "0" if decade == 0 else f"1e{decade}"
            parts.append(f'<text x="{_LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{label}</text>')
    outline = [f"M{_LEFT} {bottom}"]
    for index, count in enumerate(counts):
        left, right = across(index * entry.histogram.bin_width), across((index + 1) * entry.histogram.bin_width)
        outline.append(f"L{left:.1f} {up(count):.1f}L{right:.1f} {up(count):.1f}")
    last = across(len(counts) * entry.histogram.bin_width)
    parts.append(f'<path class="bars" d="{"".join(outline)}L{last:.1f} {bottom}Z"/>')
    for step in range(5):
        value = end * step / 4
        parts.append(f'<text x="{across(value):.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{number(value)}</text>')
    for method in METHODS:
        color, dashes = COLORS[method]
        x = across(entry.thresholds[method])
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" stroke="{color}" stroke-width="1.6" '
            f'stroke-dasharray="{dashes}"><title>{method}: {number(entry.thresholds[method])}</title></line>'
        )
    return "".join([*parts, "</svg>"])


def key_svg(method: Method) -> str:
    """Return a short piece of a method's line, for the key."""
    color, dashes = COLORS[method]
    return (
        '<svg class="key" viewBox="0 0 28 8" aria-hidden="true">'
        f'<line x1="0" x2="28" y1="4" y2="4" stroke="{color}" stroke-width="2" stroke-dasharray="{dashes}"/></svg>'
    )


def number(value: float) -> str:
    """Write a value with four digits."""
    return f"{value:.4g}"


def percent(share: float) -> str:
    """Write a share, 0 to 1, in percent, without hiding that it is not quite 0."""
    if share == 0:
        return "0 %"
    return f"{100 * share:.2g} %" if share >= 1e-6 else "&lt; 0.0001 %"
