"""A sink that bears trouble: what cannot be written is dropped and counted, and the run goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from googlenet_edge.sinks.sink import Sink
from googlenet_edge.types import Clock, Frame, Prediction

__all__ = ["TolerantSink"]

_log = logging.getLogger(__name__)
_FIRST_RETRY_NS = 1_000_000_000
_LONGEST_RETRY_NS = 30_000_000_000
_LOG_INTERVAL_NS = 60_000_000_000


class TolerantSink(Sink):
    """Passes results on to a sink, and drops and counts those that it cannot write: a full disk, a reader gone.

    Each result is tried, so writing goes on as soon as there is room. While it fails, :meth:`Sink.reopen` is called
    after 1 s, 2 s, 4 s and so on, at most every 30 s; a sink that could not be opened is tried again at the same times.
    The log says when trouble begins and ends, and once a minute how much was dropped; trouble that comes and goes is in
    it at most once a minute too.
    """

    def __init__(self, open_sink: Callable[[], Sink], name: str, *, clock: Clock = time.monotonic_ns) -> None:
        """``open_sink`` makes the sink; it is called until it succeeds for the first time. ``name`` is for the log.

        Raises what ``open_sink`` raises and is no OSError, for example :class:`~googlenet_edge.errors.UsageError`.
        """
        self.name = name
        self.dropped = 0
        """Results that could not be written."""
        self.failures = 0
        """Times that writing began to fail; results that fail one after the other are one failure."""
        self.last_error: str | None = None
        """Why the last of them could not be written."""
        self._open_sink, self._clock = open_sink, clock
        self._sink: Sink | None = None
        self._failing = self._closed = False
        self._retry_ns, self._wait_ns = 0, _FIRST_RETRY_NS
        self._dropped_before = 0
        self._logged_ns: int | None = None
        self._logged_this = False
        try:
            self._sink = open_sink()
        except OSError as error:
            self._fail(error)

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        """Pass the result on, or count it as dropped."""
        try:
            sink = self._try_again() if self._failing and self._clock() >= self._retry_ns else self._sink
            if sink is None:
                self._drop()
                return
            sink.emit(frame, prediction)
        except OSError as error:
            self._fail(error)
            self._drop()
        else:
            if self._failing:
                self._recover()

    def lost(self, camera: str | None) -> None:
        """Pass it on; what follows from it may be dropped too."""
        if self._sink is not None:
            try:
                self._sink.lost(camera)
            except OSError as error:
                self._fail(error)
                self._drop()

    def reopen(self) -> None:
        """Pass it on."""
        if self._sink is not None:
            try:
                self._sink.reopen()
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        """Close the sink; never raises an OSError."""
        if self._closed:
            return
        self._closed = True
        if self._sink is not None:
            try:
                self._sink.close()
            except OSError as error:
                self._fail(error)
        if self._failing:
            _log.warning("%s: ended with %d results dropped: %s", self.name, self.dropped, self.last_error)

    def _try_again(self) -> Sink:
        """Open the output anew, and note when to do so the next time if that is of no use."""
        self._retry_ns = self._clock() + self._wait_ns
        self._wait_ns = min(2 * self._wait_ns, _LONGEST_RETRY_NS)
        if self._sink is None:
            self._sink = self._open_sink()
        else:
            self._sink.reopen()
        return self._sink

    def _fail(self, error: OSError) -> None:
        self.last_error = str(error)
        if self._failing:
            return
        self.failures += 1
        now_ns = self._clock()
        self._failing, self._dropped_before = True, self.dropped
        self._retry_ns, self._wait_ns = now_ns + _FIRST_RETRY_NS, 2 * _FIRST_RETRY_NS
        self._logged_this = self._logged_ns is None or now_ns - self._logged_ns >= _LOG_INTERVAL_NS
        if self._logged_this:
            self._logged_ns = now_ns
            _log.warning("%s: %s; the run goes on, and results are dropped until it can be written", self.name, error)

    def _drop(self) -> None:
        self.dropped += 1
        now_ns = self._clock()
        if self._logged_ns is not None and now_ns - self._logged_ns >= _LOG_INTERVAL_NS:
            self._logged_ns, self._logged_this = now_ns, True
            _log.warning("%s: still failing, %d results dropped: %s", self.name, self.dropped, self.last_error)

    def _recover(self) -> None:
        self._failing = False
        if self._logged_this:
            _log.warning("%s: goes on after %d dropped results", self.name, self.dropped - self._dropped_before)
