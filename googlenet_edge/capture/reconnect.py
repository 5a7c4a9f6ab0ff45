"""When a lost source is opened again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from googlenet_edge.errors import InputError

__all__ = ["NEVER", "Backoff", "Reconnect"]

SHORTEST_DELAY_S = 0.05
"""What a delay never falls below, however it is drawn: a source that dies with each first frame must not spin."""


@dataclass(frozen=True)
class Reconnect:
    """When a lost source is opened again: after a delay that doubles with each failure, and is random by ``jitter``.

    A source that has delivered frames again begins with the shortest delay.
    """

    attempts: int | None = 0
    """How many openings in a row may fail; 0 never opens it again, None never gives up. With None a live source may
    also be absent at the start."""
    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0
    jitter: float = 0.5
    """Share of the delay that is random, 0 to 1: after a power cut, not all cameras of a site are asked at once."""

    def __post_init__(self) -> None:
        attempts: object = self.attempts
        if attempts is not None and (isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 0):
            raise InputError(f"reconnect: got attempts={attempts!r}, expected 0 or more, or None for no limit")
        if not 0 < self.first_delay_s <= self.longest_delay_s < math.inf:
            raise InputError(
                f"reconnect: got first_delay_s={self.first_delay_s} and longest_delay_s={self.longest_delay_s}, "
                f"expected both above 0, and the first not above the longest"
            )
        if not 0 <= self.jitter <= 1:
            raise InputError(f"reconnect: got jitter={self.jitter}, expected 0 to 1")


NEVER = Reconnect()
"""A source that is lost ends."""


class Backoff:
    """Draws the delays of one source. ``draw`` returns a random number, 0 to 1."""

    def __init__(self, policy: Reconnect, draw: Callable[[], float] = random.random) -> None:
        self._policy = policy
        self._draw = draw
        self.drawn = 0
        """Delays since the beginning, or since :meth:`restart`."""

    def next_delay_s(self) -> float | None:
        """Return how long to wait before the next opening; None where there shall be no further one.

        The n-th delay (n from 0) is the smaller of ``first_delay_s * 2**n`` and ``longest_delay_s``, less up to
        ``jitter`` of itself, and never below 0.05 s.
        """
        policy = self._policy
        if policy.attempts is not None and self.drawn >= policy.attempts:
            return None
        # Beyond 2**40 times, any first delay is above any sensible longest one, and the power could overflow.
        full_s = min(policy.first_delay_s * 2.0 ** min(self.drawn, 40), policy.longest_delay_s)
        self.drawn += 1
        return max(SHORTEST_DELAY_S, full_s * (1 - policy.jitter * self._draw()))

    def restart(self) -> None:
        """Begin with the shortest delay again."""
        self.drawn = 0
