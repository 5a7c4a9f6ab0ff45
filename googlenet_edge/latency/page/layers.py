"""The time of each layer, by row of Table 1, with the work of the rows where it is known."""

from __future__ import annotations

from googlenet_edge.latency.layer_format import LayersEntry, RooflineEntry, RowWorkEntry
from googlenet_edge.latency.page.markup import Html, element, joined, table
from googlenet_edge.latency.page.words import count, milliseconds, quantity

__all__ = ["layers"]


def layers(entry: LayersEntry | None) -> Html | None:
    """Return the time by row of Table 1, and all layers to be opened; None where it was not measured."""
    if entry is None:
        return None
    widest = max((row.share for row in entry.rows), default=0.0) or 1.0
    work = {} if entry.roofline is None else {row.name: row for row in entry.roofline.rows}
    bounded = entry.roofline is not None and entry.roofline.peak_macs_per_s is not None
    rows = [
        (
            row.name,
            milliseconds(row.median_ms),
            f"{100 * row.share:.1f} %",
            *(_work(work.get(row.name), bounded=bounded) if work else ()),
            element("span", class_="meter", style=f"width:{100 * row.share / widest:.1f}%", aria_hidden="true",
                    data_row=row.name, data_share=repr(row.share)),
        )
        for row in entry.rows
    ]  # fmt: skip
    frames = f"{count(entry.frames_per_inference)} frame{'' if entry.frames_per_inference == 1 else 's'}"
    says = (
        f"Median of {count(entry.inferences)} inferences of {frames}, with the layers' profiler on: "
        f"{milliseconds(entry.wall_ms)} ms on the wall, {milliseconds(entry.layers_ms)} ms in layers, "
        f"{milliseconds(entry.not_covered_ms)} ms in none."
    )
    every = [
        (layer.name, " + ".join(layer.rows) or "other", milliseconds(layer.median_ms), f"{100 * layer.share:.1f} %")
        for layer in entry.layers
    ]
    known = ("MMAC", "GMAC/s", *(("of the roofline",) if bounded else ())) if work else ()
    return joined([
        element("p", says),
        table(["row of Table 1", "median, ms", "share", *known, ""], rows),
        "" if entry.roofline is None else element("p", _roofline(entry.roofline), class_="hint"),
        element("details", element("summary", f"All {count(len(every))} layers"),
                table(["layer", "row", "median, ms", "share"], every)),
    ])  # fmt: skip


def _work(row: RowWorkEntry | None, *, bounded: bool) -> tuple[str, ...]:
    if row is None:
        return ("-",) * (3 if bounded else 2)
    macs = "-" if row.macs is None else quantity(row.macs / 1e6)
    rate = "-" if row.macs_per_s is None else quantity(row.macs_per_s / 1e9)
    if not bounded:
        return macs, rate
    share = "-" if row.roofline_share is None else f"{100 * row.roofline_share:.0f} %, {row.bound_by}"
    return macs, rate, share


def _roofline(entry: RooflineEntry) -> str:
    if entry.peak_macs_per_s is None or entry.bandwidth_bytes_per_s is None:
        return entry.how[:1].upper() + entry.how[1:] + "."
    return (
        f"Of the roofline: the least time that a row's multiply-accumulates and bytes take on this machine, over the "
        f"time it took, and which of the two bounds it; above 100 % where data came from a cache. The machine does "
        f"{quantity(entry.peak_macs_per_s / 1e9)} GMAC/s and {quantity(entry.bandwidth_bytes_per_s / 1e9)} GB/s "
        f"({entry.how})."
    )
