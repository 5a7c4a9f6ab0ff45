"""Labels that appear and leave as JSON lines, for those who act on labels."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from googlenet_edge.sinks.label_events import EventConfig, LabelEvent, LabelEvents
from googlenet_edge.sinks.lines import LineFile
from googlenet_edge.sinks.sink import Sink
from googlenet_edge.types import Clock, Frame, Prediction

__all__ = ["EventsSink", "event_object"]

_DEFAULT_CONFIG = EventConfig()


class EventsSink(Sink):
    """Writes one line when a label appears and one when it leaves; closing it lets the labels leave that are there.

    Each line goes out whole with the frame that decides it; see :class:`EventConfig` and :func:`event_object`.
    """

    def __init__(
        self,
        target: Path | str,
        config: EventConfig = _DEFAULT_CONFIG,
        *,
        clock: Clock = time.monotonic_ns,
        wall_clock: Clock = time.time_ns,
    ) -> None:
        """Open the file, or standard output for ``"-"``; ``clock`` stamps the frames. Raises :class:`OutputError`."""
        self._file = LineFile(target, what="events")
        self._events = LabelEvents(config)
        self._clock, self._wall_clock = clock, wall_clock
        self._failed = False

    def emit(self, frame: Frame, prediction: Prediction) -> None:  # noqa: ARG002 - the trace has all that is needed
        """Write the events that follow from one frame. Raises :class:`OutputError`."""
        self._write(self._events.add(prediction))

    def close(self) -> None:
        """Write the labels that are still there as left, and close the file. Raises :class:`OutputError`."""
        if self._file.closed:
            return
        try:
            if not self._failed:
                self._write(self._events.end())
        finally:
            self._file.close()

    def _write(self, events: Iterable[LabelEvent]) -> None:
        for event in events:
            wall_ns = self._wall_clock() - (self._clock() - event.captured_ns)
            text = json.dumps(event_object(event, wall_ns=wall_ns), ensure_ascii=False, allow_nan=False)
            self._failed = True  # until it is written: a line after half a line would be unreadable
            self._file.write(text)
            self._failed = False


def event_object(event: LabelEvent, *, wall_ns: int) -> dict[str, object]:
    """Return an event as JSON values; ``wall_ns`` is its capture time in nanoseconds since 1970, UTC."""
    instant = datetime.fromtimestamp(wall_ns // 1_000_000_000, tz=timezone.utc)
    return {
        "event": event.event,
        "reason": event.reason,
        "label": event.label,
        "class_id": event.class_id,
        "time": f"{instant:%Y-%m-%dT%H:%M:%S}.{wall_ns % 1_000_000_000 // 1_000_000:03d}Z",
        "captured_ns": event.captured_ns,
        "first_sequence": event.first_sequence,
        "last_sequence": event.last_sequence,
        "duration_ms": round(event.duration_ns / 1e6, 6),
        "best_probability": round(event.best_probability, 6),
    }
