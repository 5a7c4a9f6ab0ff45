"""What a run tells systemd while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from googlenet_edge.cli.notify import Notifier

if TYPE_CHECKING:
    from googlenet_edge.stream import CameraStatus
    from googlenet_edge.types import Clock

__all__ = ["ServiceMonitor"]

_STATUS_INTERVAL_NS = 5_000_000_000
_SILENT_NS = 10_000_000_000
"""A camera that is connected and has had no result for so long is worth a word."""


class ServiceMonitor:
    """A :class:`~googlenet_edge.stream.Monitor` that gives systemd its signs of life, from the loop's own thread.

    - Ready: with the first result, or when no camera is connected, because all of them are being waited for.
    - Alive: every half of the watchdog's period, while the loop says that it goes on. It does not with a sink that
      blocks or an inference that never ends; so systemd starts the service again. A camera that is lost is no reason.
    """

    def __init__(
        self,
        notifier: Notifier,
        *,
        watchdog_s: float | None,
        clock: Clock = time.monotonic_ns,
        every_tick: Callable[[], None] | None = None,
    ) -> None:
        """``every_tick`` is called first at each tick."""
        self._notifier = notifier
        self._period_ns = None if watchdog_s is None else round(watchdog_s * 1e9 / 2)
        self._clock = clock
        self._every_tick = every_tick
        self._ready = False
        self._alive_ns: int | None = None
        self._status_ns: int | None = None
        self._status_frames = 0

    def tick(self, statuses: Sequence[CameraStatus]) -> None:
        """Look at the cameras, and tell systemd what is due."""
        if self._every_tick is not None:
            self._every_tick()
        if not self._notifier.active:
            return
        now_ns = self._clock()
        frames = sum(status.frames for status in statuses)
        if not self._ready and (frames or not any(status.connected for status in statuses)):
            self._ready = True
            self._notifier.ready()
        if self._ready:
            self._sign_of_life(now_ns)
        self._tell_status(now_ns, frames, statuses)

    def _sign_of_life(self, now_ns: int) -> None:
        due = self._alive_ns is None or (self._period_ns is not None and now_ns - self._alive_ns >= self._period_ns)
        if self._period_ns is not None and due:
            self._alive_ns = now_ns
            self._notifier.alive()

    def _tell_status(self, now_ns: int, frames: int, statuses: Sequence[CameraStatus]) -> None:
        if self._status_ns is not None and now_ns - self._status_ns < _STATUS_INTERVAL_NS:
            return
        connected = sum(status.connected for status in statuses)
        text = f"{connected} of {len(statuses)} cameras connected"
        remarks = [remark for status in statuses if (remark := _remark(status, now_ns))]
        if remarks:
            text += f" ({'; '.join(remarks)})"
        if self._status_ns is not None:
            rate = (frames - self._status_frames) * 1e9 / (now_ns - self._status_ns)
            text += f", {rate:.1f} results/s"
        self._notifier.status(f"{text}, {frames} results")
        self._status_ns, self._status_frames = now_ns, frames


def _remark(status: CameraStatus, now_ns: int) -> str:
    """What is to be said of one camera: that it is away, and how long it has been silent; empty where all is well."""
    last_ns = status.last_emitted_ns
    said = []
    if status.name:
        said.append(status.name if status.connected else f"not {status.name}")
    if last_ns is not None and (not status.connected or now_ns - last_ns >= _SILENT_NS):
        said.append(f"no result for {_rough(now_ns - last_ns)}")
    elif status.connected:
        return ""
    return ": ".join(said)


def _rough(duration_ns: int) -> str:
    seconds = duration_ns / 1e9
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
