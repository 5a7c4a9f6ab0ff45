"""What a report says of the machine during a run, as JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from googlenet_edge.latency.watch.differences import differences
from googlenet_edge.latency.watch.energy import Energy, per_frame
from googlenet_edge.latency.watch.sampler import SamplerRecord
from googlenet_edge.latency.watch.sensors.rail import Unreadable
from googlenet_edge.latency.watch.state import MachineState, concerns

__all__ = ["energy_document", "record_document", "states_document"]


def states_document(before: MachineState, after: MachineState | None) -> dict[str, object]:
    """Return the two states, what is doubtful about the first, and what differs; ``after``: None if not known."""
    return {
        "before": before.to_dict(),
        "after": None if after is None else after.to_dict(),
        "concerns": concerns(before),
        "differences": [
            {"kind": one.kind, "what": one.what, "before": one.before, "after": one.after}
            for one in (() if after is None else differences(before, after))
        ],
    }


def record_document(record: SamplerRecord, run_ns: int) -> dict[str, object]:
    """Return timeline and episodes; times in seconds since the first look, which is told from the start ``run_ns``.

    The timeline is one list a channel, of [lowest, highest] in each span, or null where it could not be read.
    """
    return {
        "seconds": _seconds(record.ended_ns - record.started_ns),
        "started_s": _seconds(record.started_ns - run_ns),
        "looks": record.looks,
        "cpu_share": round(record.cpu_share, 6),
        "error": record.error,
        "throttled": [
            {
                "cause": one.cause,
                "from_s": _since(record, one.started_ns),
                "to_s": _since(record, one.ended_ns),
                "looks": one.looks,
            }
            for one in record.episodes
        ],
        "throttled_dropped": record.episodes_dropped,
        "timeline": {
            "from_s": [_since(record, span.started_ns) for span in record.spans],
            "to_s": [_since(record, span.ended_ns) for span in record.spans],
            "channels": [
                {
                    "name": channel.name,
                    "unit": channel.unit,
                    "values": [_pair(float(span.lowest[k]), float(span.highest[k])) for span in record.spans],
                }
                for k, channel in enumerate(record.channels)
            ],
        },
    }


def energy_document(
    energy: Energy,
    frames: int,
    unreadable: Sequence[Unreadable] = (),
    *,
    idle: Energy | None = None,
    run_ns: int | None = None,
) -> dict[str, object]:
    """Return the energy of ``frames`` frames, rail by rail, and why meters gave nothing.

    ``idle`` is what was measured before the run; ``run_ns``: when the run began, None for where the energy does. Raises
    :class:`InputError` for a negative number of frames.
    """
    idle_watts = None if idle is None else idle.watts
    added = None if idle_watts is None else per_frame(energy, frames, idle_watts=idle_watts)
    return {
        "from_s": 0.0 if run_ns is None else _seconds(energy.started_ns - run_ns),
        "seconds": _seconds(energy.ended_ns - energy.started_ns),
        "frames": frames,
        "joules": _rounded(energy.joules),
        "watts": _rounded(energy.watts),
        "idle_watts": _rounded(idle_watts),
        "joules_per_frame": _rounded(per_frame(energy, frames)),
        "joules_per_frame_above_idle": _rounded(added),
        "included": list(energy.included),
        "rails": [_rail(energy, index) for index in range(len(energy.rails))],
        "not_measured": [{"meter": one.meter, "reason": one.reason} for one in unreadable],
        "definitions": {
            "seconds": "the measured frames: from the result before the first of them to the last one",
            "joules": "power readings: integral over time by the trapezoidal rule; energy counters: their difference",
            "included": "the rails that the total is the sum of; others are parts of these",
            "joules_per_frame_above_idle": "less idle_watts, the mean power before the run",
        },
    }


def _rail(energy: Energy, index: int) -> Mapping[str, object]:
    one = energy.rails[index]
    return {
        "name": one.rail.name,
        "meter": one.rail.meter,
        "covers": one.rail.covers,
        "counted": one.rail.counted,
        "joules": _rounded(one.joules),
        "watts": _rounded(one.watts),
        "readings": one.readings,
        "missed": one.missed,
    }


def _pair(low: float, high: float) -> list[float] | None:
    return None if math.isnan(low) else [round(low, 3), round(high, 3)]


def _since(record: SamplerRecord, at_ns: int) -> float:
    return _seconds(max(0, at_ns - record.started_ns))  # the first look is just before the start


def _seconds(duration_ns: int) -> float:
    return round(duration_ns / 1e9, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
