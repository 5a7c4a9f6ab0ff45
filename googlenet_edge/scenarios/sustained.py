"""The highest rate of a camera that a machine sustains.

**Rule.** A rate is sustained if, in a trial, no frame is dropped and the nearest-rank p99 of the latency, from a
frame's arrival to its result, is within the deadline (one period of the rate, unless another is given).

**Search.** From a first guess, rates go up or down in steps of a quarter until one is sustained and one is not; then
the bracket is halved until its ends are within the resolution. A trial that has failed ends at once. The lower end is
then confirmed by a longer run, of so many frames that a p99 is reliable where that takes a minute or less. Where that
fails, longer runs go down in growing steps to a rate that holds, and halve the bracket again.

A machine that has hiccups may pass a trial by luck: the confirmation is what the answer rests on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from googlenet_edge.errors import InputError
from googlenet_edge.latency.scenario_format import CONFIRMED
from googlenet_edge.latency.summary import minimum_samples
from googlenet_edge.scenarios.camera import HIGHEST_FPS, CameraConfig, CameraResult, run_camera
from googlenet_edge.scenarios.rig import SECOND_NS, Rig

__all__ = ["SearchConfig", "SustainedRate", "Trial", "find_sustained_rate"]

_STEP: Final = 1.25
_CUT_SHORT: Final = "confirmed; higher ones may be, as the times vary much and searching took long"
LONGEST_CONFIRMATION_NS: Final = 60 * SECOND_NS


@dataclass(frozen=True)
class SearchConfig:
    """How the rate is searched for. Raises :class:`InputError` for what cannot be."""

    trial_ns: int = 3 * SECOND_NS
    least_frames: int = 30
    """A trial takes longer than ``trial_ns`` where it would have fewer frames."""
    confirm_ns: int = 10 * SECOND_NS
    resolution: float = 0.02
    """Of the rate: 0.02 is 2 %. Also the first step down where a rate is not confirmed; each further one is doubled."""
    lowest_fps: float = 0.1
    highest_fps: float = 1000.0
    confirmations: int = 12
    """The most longer runs."""
    max_duration_ns: int = 180 * SECOND_NS
    """Of all trials. The first longer run is made in any case, and each other one that begins within this time."""
    percent: int = 99

    def __post_init__(self) -> None:
        if min(self.trial_ns, self.confirm_ns, self.least_frames, self.confirmations, self.max_duration_ns) < 1:
            raise InputError(f"search: got {self}, expected times, frames and confirmations above 0")
        if not 0 < self.resolution < 0.5 or not 0 < self.lowest_fps < self.highest_fps <= HIGHEST_FPS:
            raise InputError(
                f"search: got resolution={self.resolution}, rates {self.lowest_fps} to {self.highest_fps}, expected a "
                f"resolution above 0 and below 0.5, and rates above 0, the lowest first, up to {HIGHEST_FPS:g}"
            )

    @property
    def rule(self) -> str:
        """When a rate is sustained, in words."""
        return f"no frame dropped, and the p{self.percent} of arrival to result within the deadline"

    def confirmation_ns(self, fps: float) -> int:
        """Return how long a rate is confirmed for."""
        reliable_ns = math.ceil(minimum_samples(self.percent) / fps * 1e9)
        return max(self.confirm_ns, min(reliable_ns, LONGEST_CONFIRMATION_NS), self._least_ns(fps))

    def trial_time_ns(self, fps: float) -> int:
        """Return how long a trial of a rate is."""
        return max(self.trial_ns, self._least_ns(fps))

    def _least_ns(self, fps: float) -> int:
        return math.ceil(self.least_frames / fps * 1e9)


@dataclass(frozen=True)
class Trial:
    """One rate that was tried."""

    result: CameraResult
    confirming: bool

    @property
    def fps(self) -> float:
        """The rate."""
        return self.result.config.fps

    @property
    def sustained(self) -> bool:
        """Whether it was sustained."""
        return self.result.kept_up

    @property
    def finding(self) -> str:
        """What was seen, in a few words."""
        result = self.result
        percentile = f"p{result.config.percent}"
        if result.dropped:
            return f"dropped {result.dropped} of {result.offered} frames"
        if result.ended == "stopped":
            return "stopped"
        if not self.sustained:
            return f"{result.late} of {result.offered} frames late, so {percentile} is beyond the deadline"
        return f"{result.offered} frames, none dropped, {percentile} {(result.latency_ns or 0) / 1e6:.2f} ms"


@dataclass(frozen=True)
class SustainedRate:
    """The answer, and what it rests on."""

    config: SearchConfig
    confirmed: Trial | None
    """The longer run of the highest rate that held in one; None where none did."""
    trials: tuple[Trial, ...]
    """In the order in which they were made."""
    ended: str

    @property
    def fps(self) -> float | None:
        """Frames per second; None where there is no such rate."""
        return None if self.confirmed is None else self.confirmed.fps


class _Search:
    def __init__(self, rig: Rig, base: CameraConfig, config: SearchConfig) -> None:
        # Trials are no samples of the rate that is reported.
        self._rig, self._base, self.config = replace(rig, open_samples=lambda _warmup, _part: None), base, config
        self._end_ns = rig.clock() + config.max_duration_ns
        self.trials: list[Trial] = []

    @property
    def stopped(self) -> bool:
        return self._rig.stop.is_set()

    @property
    def out_of_time(self) -> bool:
        return self._rig.clock() >= self._end_ns

    def has_time_for(self, fps: float) -> bool:
        """Whether a trial of a rate would be done in time. At low rates, each takes minutes."""
        return self._rig.clock() + self.config.trial_time_ns(fps) <= self._end_ns

    def holds(self, fps: float, *, confirming: bool = False) -> bool:
        """Try a rate."""
        duration_ns = self.config.confirmation_ns(fps) if confirming else self.config.trial_time_ns(fps)
        self._rig.on_phase(
            f"{'confirming' if confirming else 'trying'} {fps:.4g} frames/s for {duration_ns / 1e9:.3g} s"
        )
        camera = replace(self._base, fps=fps, duration_ns=duration_ns, give_up=True, percent=self.config.percent)
        self.trials.append(Trial(run_camera(self._rig, camera), confirming))
        return self.trials[-1].sustained

    def bracket(self, guess_fps: float) -> tuple[float | None, float | None]:
        """Return a rate that held and one that did not; None where the ends of the range were reached first."""
        config = self.config
        fps = min(max(guess_fps, config.lowest_fps), config.highest_fps)
        held: float | None = None
        failed: float | None = None
        while not self.stopped and (held is None or failed is None) and self.has_time_for(fps):
            if self.holds(fps):
                held = fps
                if fps == config.highest_fps:
                    break
                fps = min(fps * _STEP, config.highest_fps)
            else:
                failed = fps
                if fps == config.lowest_fps:
                    break
                fps = max(fps / _STEP, config.lowest_fps)
        return held, failed


def find_sustained_rate(
    rig: Rig, guess_fps: float, base: CameraConfig | None = None, config: SearchConfig | None = None
) -> SustainedRate:
    """Search for the highest sustained rate.

    Args:
        rig: Warmed up.
        guess_fps: Where to begin; the answer does not depend on it, the time it takes does.
        base: The deadline and the seed; its rate and time are not used.
        config: How to search.

    Raises what the work raises.
    """
    config = config or SearchConfig()
    search = _Search(rig, base or CameraConfig(), config)
    held, failed = search.bracket(guess_fps)
    while held is not None and failed is not None and failed > held * (1 + config.resolution) and not search.stopped:
        middle = (held + failed) / 2
        if not search.has_time_for(middle):
            break
        if search.holds(middle):
            held = middle
        else:
            failed = middle
    if held is None:
        return SustainedRate(config, None, tuple(search.trials), _why_none(search, failed))
    confirmed, ended = _confirm(search, held)
    if ended == CONFIRMED and failed is not None and failed > held * (1 + config.resolution):
        ended = _CUT_SHORT
    return SustainedRate(config, confirmed, tuple(search.trials), ended)


def _why_none(search: _Search, failed: float | None) -> str:
    if search.stopped:
        return "stopped"
    if failed is None:
        return f"no time for a trial in {search.config.max_duration_ns / 1e9:.3g} s"
    if failed > search.config.lowest_fps:
        return f"not even {failed:.3g} frames/s, in {search.config.max_duration_ns / 1e9:.3g} s of searching"
    return f"not even {search.config.lowest_fps:g} frames/s"


def _confirm(search: _Search, candidate: float) -> tuple[Trial | None, str]:
    """Return the longer run of the highest rate that held in one, from the candidate down, and how that ended."""
    config = search.config
    confirmed: Trial | None = None
    failed: float | None = None
    step = config.resolution
    runs = 0
    while not search.stopped and candidate >= config.lowest_fps and runs < config.confirmations:
        if runs and search.out_of_time:
            break
        runs += 1
        if search.holds(candidate, confirming=True):
            confirmed = search.trials[-1]
        elif not search.stopped:
            failed = candidate
        if confirmed is None:
            candidate /= 1 + step
            step *= 2
        elif failed is None or failed <= confirmed.fps * (1 + config.resolution):
            return confirmed, CONFIRMED
        else:
            candidate = (confirmed.fps + failed) / 2
    if search.stopped:
        return confirmed, "stopped"
    if confirmed is None:
        return None, f"none held in a longer run ({runs} tried): the times vary too much"
    return confirmed, _CUT_SHORT
