"""The machine on the page: what differed before and after, clocks and temperatures over time, energy."""

from __future__ import annotations

from collections.abc import Sequence

from googlenet_edge.latency.machine_format import ChannelEntry, EnergyEntry, StateEntry, WatchEntry
from googlenet_edge.latency.page.facts import side_by_side
from googlenet_edge.latency.page.markup import Html, element, joined, table
from googlenet_edge.latency.page.words import count, quantity

__all__ = ["energy", "state", "watch"]

_WIDTH, _HEIGHT = 260, 26
_UNITS = {"C": "°C"}


def state(entry: StateEntry | None) -> Html | None:
    """Return what differed between before and after the run, and all the rest to be opened."""
    if entry is None:
        return None
    rows = [(one.what, one.kind, f"{one.before} → {one.after}") for one in entry.differences]
    if entry.after is None:
        changed = element("p", "The state after the run is not known: the last look at the machine failed.")
    elif rows:
        changed = table(["after the run", "kind", "before → after"], rows, numbers=False)
    else:
        changed = element("p", "The machine was in the same state after the run as before it.")
    return joined([changed, side_by_side(entry.before, entry.after or {}) or ""])


def watch(entry: WatchEntry | None) -> Html | None:
    """Return each clock, temperature and power over time, as a small picture with its lowest and highest value."""
    if entry is None:
        return None
    parts: list[str] = []
    rows = [
        (channel.name, *ends, _picture(channel, entry.timeline.from_s, entry.timeline.to_s))
        for channel in entry.timeline.channels
        if (ends := _ends(channel)) is not None
    ]
    if rows:
        parts.append(table(["during the run", "lowest", "highest", f"over {entry.seconds:.0f} s"], rows))
    if not entry.throttled:
        parts.append(element("p", f"Nothing was seen to slow the machine down, in {count(entry.looks)} looks at it."))
    if entry.throttled_dropped:
        parts.append(element("p", f"{count(entry.throttled_dropped)} further episodes of throttling were not kept."))
    if entry.error:
        parts.append(element("p", f"The machine was not watched to the end: {entry.error}"))
    return joined(parts)


def energy(entry: EnergyEntry | None) -> Html | None:
    """Return joules per frame and what they contain, rail by rail, or why nothing was measured."""
    if entry is None:
        return None
    parts: list[str] = []
    if entry.joules_per_frame is not None and entry.watts is not None:
        above = entry.joules_per_frame_above_idle
        more = "" if above is None else f", {quantity(above)} J of it above the idle machine"
        parts.append(
            element(
                "p",
                f"{quantity(entry.joules_per_frame)} J a frame{more}; {quantity(entry.watts)} W on average over "
                f"{entry.seconds:.0f} s. Included: {', '.join(entry.included)}.",
            )
        )
    if entry.rails:
        rows = [
            (rail.name, quantity(rail.watts), quantity(rail.joules), "yes" if rail.counted else "no, a part of others",
             f"{rail.meter}: {rail.covers}" if rail.covers else rail.meter)
            for rail in entry.rails
        ]  # fmt: skip
        parts.append(table(["rail", "W", "J", "in the total", "meter"], rows, numbers=False))
    if not entry.rails or entry.joules is None:
        reasons = "; ".join(f"{one.meter}: {one.reason}" for one in entry.not_measured)
        parts.append(element("p", f"Energy was not measured. {reasons}".strip(), class_="hint"))
    return joined(parts)


def _picture(channel: ChannelEntry, from_s: Sequence[float], to_s: Sequence[float]) -> Html:
    """Return the band between lowest and highest over time; gaps are where the value could not be read."""
    known = [(a, b, pair) for a, b, pair in zip(from_s, to_s, channel.values, strict=False) if pair is not None]
    low, high = min(pair[0] for _, _, pair in known), max(pair[1] for _, _, pair in known)
    end = max(1e-9, *to_s)

    def y(value: float) -> float:
        return _HEIGHT - 3 - (value - low) / (high - low) * (_HEIGHT - 6) if high > low else _HEIGHT / 2

    bars = [
        f"M{a / end * _WIDTH:.1f} {y(pair[0]) + 0.8:.1f}H{max(b / end * _WIDTH, a / end * _WIDTH + 1.5):.1f}"
        f"V{y(pair[1]) - 0.8:.1f}H{a / end * _WIDTH:.1f}z"
        for a, b, pair in known
    ]
    middles = [((a + b) / 2 / end * _WIDTH, (y(pair[0]) + y(pair[1])) / 2) for a, b, pair in known]
    line = "M" + "L".join(f"{x:.1f} {value:.1f}" for x, value in middles)
    return element(
        "svg",
        element("path", class_="band", d="".join(bars)),
        element("path", class_="spark-line", d=line),
        class_="spark",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"{channel.name} from {quantity(low)} to {quantity(high)} {channel.unit}",
    )


def _ends(channel: ChannelEntry) -> tuple[str, str] | None:
    known = [pair for pair in channel.values if pair is not None]
    if not known:
        return None
    unit = _UNITS.get(channel.unit, channel.unit)
    return f"{quantity(min(pair[0] for pair in known))} {unit}", f"{quantity(max(pair[1] for pair in known))} {unit}"
