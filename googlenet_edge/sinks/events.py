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
    """Writes one line when a label appears and one when it leaves, for each camera apart.

    Each line goes out whole with the frame that decides it, or at once when the camera is lost; closing the sink lets
    the labels leave that are there. See :class:`EventConfig` and :func:`event_object`.
    """

    def __init__(
        self,
        target: Path | str,
        config: EventConfig = _DEFAULT_CONFIG,
        *,
        append: bool = False,
        patience_s: float | None = None,
        clock: Clock = time.monotonic_ns,
        wall_clock: Clock = time.time_ns,
    ) -> None:
        """Open the file, or standard output for ``"-"``; ``append`` keeps what is in the file.

        ``patience_s``: wait this long for a program that reads too slowly, instead of for ever. ``clock`` is the one
        that stamps the frames. Raises :class:`OutputError`.
        """
        self._file = LineFile(target, what="events", append=append, patience_s=patience_s)
        self._config = config
        self._cameras: dict[str | None, LabelEvents] = {}
        self._clock, self._wall_clock = clock, wall_clock
        self._failed = False

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        """Write the events that follow from one frame. Raises :class:`OutputError`."""
        events = self._cameras.get(frame.camera)
        if events is None:
            events = self._cameras[frame.camera] = LabelEvents(self._config)
        self._write(frame.camera, events.add(prediction))

    def lost(self, camera: str | None) -> None:
        """Write the labels of this camera as left. Raises :class:`OutputError`."""
        if camera in self._cameras:
            self._write(camera, self._cameras[camera].lost())

    def reopen(self) -> None:
        """Open the file anew with the next line, to add to it."""
        self._file.reopen()

    def close(self) -> None:
        """Write the labels that are still there as left, and close the file. Raises :class:`OutputError`."""
        if self._file.closed:
            return
        try:
            if not self._failed:  # it would fail again, and one error is enough
                for camera, events in self._cameras.items():
                    self._write(camera, events.end())
        finally:
            self._file.close()

    def _write(self, camera: str | None, events: Iterable[LabelEvent]) -> None:
        for event in events:
            wall_ns = self._wall_clock() - (self._clock() - event.captured_ns)
            document = event_object(event, wall_ns=wall_ns, camera=camera)
            self._failed = True
            self._file.write(json.dumps(document, ensure_ascii=False, allow_nan=False))
            self._failed = False


def event_object(event: LabelEvent, *, wall_ns: int, camera: str | None = None) -> dict[str, object]:
    """Return an event as JSON values; ``wall_ns`` is its capture time in nanoseconds since 1970, UTC."""
    instant = datetime.fromtimestamp(wall_ns // 1_000_000_000, tz=timezone.utc)
    return {
        "camera": camera,
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
