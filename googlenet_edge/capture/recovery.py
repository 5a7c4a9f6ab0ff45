"""Keeps account of the times that one source was lost, and of what to do then."""

from __future__ import annotations

import random
from collections.abc import Callable

from googlenet_edge.capture.options import titled
from googlenet_edge.capture.reconnect import Backoff, Reconnect
from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.types import Clock, Outages

__all__ = ["Recovery"]

STEADY_NS = 10_000_000_000
"""A source that is lost again sooner than this after it came back is unsteady: not each of its losses is news."""

TOLD_AFTER = 4
"""From this attempt on, an outage of an unsteady source is news too."""


class Recovery:
    """When one source was lost, when it is to be opened again, and what the log should say of it.

    Not thread-safe: whoever shares it between threads has a lock. It does not log itself, because writing a log may
    block, and must not do so within that lock.
    """

    def __init__(
        self,
        policy: Reconnect,
        *,
        description: str,
        clock: Clock,
        name: str | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._description = description
        self._title = titled(name, description)
        self._clock = clock
        self._backoff = Backoff(policy, draw)
        self._lost = self._reconnected = self._attempts = 0
        self._past_down_ns = 0
        self._down_since_ns: int | None = None
        self._down_until_ns: int | None = None  # set where the source has ended while it was down
        self._back_ns: int | None = None
        self._first: SourceError | None = None
        self._tried = 0  # in this outage
        self._quick_losses = 0  # in a row, each soon after the source came back
        self._told = True  # the log knows of this outage

    @property
    def down(self) -> bool:
        """It was lost, or never there, and has delivered no frame since."""
        return self._down_since_ns is not None

    @property
    def outages(self) -> Outages:
        """What happened so far."""
        down_ns = self._past_down_ns
        if self._down_since_ns is not None:
            until_ns = self._clock() if self._down_until_ns is None else self._down_until_ns
            down_ns += until_ns - self._down_since_ns
        return Outages(self._lost, self._reconnected, self._attempts, down_ns)

    def lost(self, error: SourceError, *, frames: int) -> tuple[float, str | None]:
        """Note a loss, or an opening that failed, after so many frames; return the seconds to wait and what to log.

        Raises the error itself where the source shall not be opened again, and :class:`SourceLostError` where that was
        tried in vain as often as the policy allows.
        """
        begins = self._down_since_ns is None
        if begins:
            self._begin(error)
        delay_s = self._backoff.next_delay_s()
        if delay_s is None:
            self.end()
            if not self._tried:
                raise error
            raise self._gave_up(error, frames) from error
        if begins:
            what = "lost" if frames else "not there yet"
            often = f" ({self._quick_losses + 1} times in a row soon after it came back)" if self._quick_losses else ""
            message = f"{self._title}: {what}{often}: {self._reason(error)}; opening it again in {delay_s:.1f} s"
            return delay_s, message if self._told else None
        if not _is_round(self._tried) or (self._tried < TOLD_AFTER and not self._told):
            return delay_s, None
        self._told = True
        failed = f"{self._tried} attempts to open it again failed, the last one"
        if self._tried == 1:
            failed = "the first attempt to open it again failed"
        return delay_s, f"{self._title}: {failed}: {self._reason(error)}; the next one in {delay_s:.1f} s"

    def attempt(self) -> None:
        """Note that it is being opened again."""
        self._attempts += 1
        self._tried += 1

    def delivered(self) -> str | None:
        """Note that a frame came; return what to log."""
        if self._down_since_ns is None:
            return None
        self._back_ns = self._clock()
        down_ns = self._back_ns - self._down_since_ns
        self._past_down_ns += down_ns
        self._down_since_ns = None
        self._reconnected += 1
        self._backoff.restart()
        tries = f"{self._tried} attempt{'s' if self._tried > 1 else ''}"
        return f"{self._title}: back after {down_ns / 1e9:.1f} s, {tries}" if self._told else None

    def end(self) -> None:
        """Note that the source has ended: from now on, the time without it stands still."""
        if self._down_since_ns is not None and self._down_until_ns is None:
            self._down_until_ns = self._clock()

    def _begin(self, error: SourceError) -> None:
        self._down_since_ns = self._clock()
        self._lost += 1
        self._first = error
        self._tried = 0
        quick = self._back_ns is not None and self._down_since_ns - self._back_ns < STEADY_NS
        self._quick_losses = self._quick_losses + 1 if quick else 0
        self._told = not self._quick_losses or _is_round(self._quick_losses)

    def _gave_up(self, error: SourceError, frames: int) -> SourceLostError:
        since_ns = self._down_since_ns or 0
        first, last = self._reason(self._first or error), self._reason(error)
        why = f"{first}; and at last: {last}" if first != last else first
        return SourceLostError(
            f"{self._description}: given up {(self._clock() - since_ns) / 1e9:.1f} s after it was lost: it had "
            f"delivered {frames} frames, and {self._tried} attempts to open it again failed: {why}; check it, or allow "
            f"more attempts to reconnect"
        )

    def _reason(self, error: SourceError) -> str:
        # The messages of grabbers begin with the description too.
        return str(error).removeprefix(f"{self._description}: ")


def _is_round(count: int) -> bool:
    """Tell 1, 2, 4, 8, ...: an outage of a month gives a page of log, not a disk full of it."""
    return count > 0 and count & (count - 1) == 0
