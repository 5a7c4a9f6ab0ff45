"""Brings the sender's time stamps to the host's clock.

A frame's arrival is later than its capture by a delay that differs from frame to frame. The sender's stamps have a
clock of their own, but the right distances. The frame that travelled quickest says how the two clocks lie to each
other (the lower envelope of Moon, Skelly and Towsley, "Estimation and Removal of Clock Skew from Network Delay
Measurements", INFOCOM 1999, here as a minimum over a sliding window, which follows a drift by itself).
"""

from __future__ import annotations

__all__ = ["StreamClock"]

BUCKET_NS = 5_000_000_000
"""The quickest frame is that of the last 5 to 10 seconds."""
JUMP_NS = 1_000_000_000
"""A frame that seems to have travelled quicker than any other by this much has a stamp of a clock that was set anew."""
LARGEST_DRIFT = 0.04
"""Change of the smallest delay, per time, above which the stamps are not of a clock: cameras that count frames at a
rate that they do not keep are common."""
FEWEST_FRAMES = 5
"""In a bucket, for its quickest frame to mean anything."""


class StreamClock:
    """Give it each frame in the order of capture, once; all in nanoseconds."""

    def __init__(self) -> None:
        self._last_stamp_ns: int | None = None
        self._last_captured_ns: int | None = None
        self._restart()

    def _restart(self) -> None:
        self._older_ns: int | None = None  # smallest arrival - stamp of the bucket before
        self._newer_ns: int | None = None
        self._count = 0
        self._bucket_end_ns = 0
        self._trusted = True

    def capture_time(self, stamp_ns: int | None, arrived_ns: int, *, held_up: bool = False) -> tuple[int, bool]:
        """Return when the frame was captured by the host's clock, and whether that is from its stamp.

        It is never before the frame before it, nor later than its arrival; or than that of a frame before it, if that
        came later, as where some frames are coded with the help of later ones. It does not contain the delay that all
        frames have in common. ``stamp_ns`` is None where the sender gave none; then, and while its stamps are not
        those of a clock, it is the arrival.

        A frame that was ``held_up`` by us, and not on its way, says next to nothing of how the clocks lie to each
        other: what is known of that stays known, however long nothing else comes.
        """
        if stamp_ns is None:
            return self._in_order(arrived_ns, arrived_ns), False
        delay_ns, quickest_ns = arrived_ns - stamp_ns, self._quickest_ns
        set_anew = quickest_ns is not None and delay_ns < quickest_ns - JUMP_NS
        if set_anew or (self._last_stamp_ns is not None and stamp_ns <= self._last_stamp_ns):
            self._restart()
        self._last_stamp_ns = stamp_ns
        if held_up and self._quickest_ns is not None:
            self._bucket_end_ns = max(self._bucket_end_ns, arrived_ns)
        else:
            if arrived_ns >= self._bucket_end_ns:
                self._next_bucket(arrived_ns)
            self._count += 1
        self._newer_ns = delay_ns if self._newer_ns is None else min(self._newer_ns, delay_ns)
        if not self._trusted:
            return self._in_order(arrived_ns, arrived_ns), False
        older_ns = self._newer_ns if self._older_ns is None else self._older_ns
        return self._in_order(stamp_ns + min(self._newer_ns, older_ns), arrived_ns), True

    @property
    def _quickest_ns(self) -> int | None:
        return min((ns for ns in (self._older_ns, self._newer_ns) if ns is not None), default=None)

    def _next_bucket(self, now_ns: int) -> None:
        if self._older_ns is not None and self._newer_ns is not None and self._count >= FEWEST_FRAMES:
            self._trusted = abs(self._newer_ns - self._older_ns) <= LARGEST_DRIFT * BUCKET_NS
        # After a bucket or more without a frame, what came before is too old.
        gone = now_ns - self._bucket_end_ns > BUCKET_NS
        self._older_ns, self._newer_ns, self._count = None if gone else self._newer_ns, None, 0
        self._bucket_end_ns = now_ns + BUCKET_NS

    def _in_order(self, captured_ns: int, arrived_ns: int) -> int:
        last_ns = self._last_captured_ns
        if last_ns is not None and captured_ns <= last_ns:
            captured_ns = min(last_ns + 1, max(last_ns, arrived_ns))
        self._last_captured_ns = captured_ns
        return captured_ns
