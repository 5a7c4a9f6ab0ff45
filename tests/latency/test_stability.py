from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.latency.stability import StabilityConfig, StabilityWarmUp
from googlenet_edge.latency.summary import WarmUp

MS = 1_000_000
Series = npt.NDArray[np.float64]


def scripted(durations_ns: Iterable[float], config: StabilityConfig | None = None) -> StabilityWarmUp:
    """Give a detector frames of these durations, one after the other, and check that warm-up is at the beginning."""
    detector = StabilityWarmUp(config)
    now_ns, kinds = 5_000, []
    for duration_ns in durations_ns:
        kinds.append(detector.add(started_ns=now_ns, ended_ns=now_ns + int(duration_ns)))
        assert detector.in_warmup or not any(kinds[detector.warmup.frames :])
        now_ns += int(duration_ns)
    warm_frames = detector.warmup.frames
    assert kinds == [True] * warm_frames + [False] * (len(kinds) - warm_frames)
    return detector


def noise(seed: int, spread: float, count: int = 600) -> Series:
    """Factors around 1 with a long tail, as latencies have."""
    return np.random.default_rng(seed).lognormal(0, spread, count)


def test_a_steady_run_is_measured_after_the_first_windows() -> None:
    detector = scripted([22 * MS] * 100)
    assert (detector.in_warmup, detector.steady) == (False, True)
    assert detector.warmup == WarmUp(frames=48, duration_ns=48 * 22 * MS, first_frame_ns=22 * MS)
    assert detector.note().startswith("steady after 48 frames: the last 3 windows of 16 frames agree within 5 %")


def test_a_cold_start_that_decays_is_warm_up_until_it_has() -> None:
    """200 ms more at first, 1/e of it every 10 frames: 1 % of 22 ms are left after 68 frames."""
    cold = 200 * MS * np.exp(-np.arange(600) / 10)
    for seed in range(20):
        detector = scripted((22 * MS + cold) * noise(seed, 0.02))
        assert detector.steady
        assert 80 <= detector.warmup.frames <= 144
        # What is measured is the steady run's.
        assert cold[detector.warmup.frames] < 0.005 * 22 * MS


def test_the_first_frame_and_the_time_of_the_warm_up_are_told() -> None:
    durations = [900 * MS, *[22 * MS] * 100]
    detector = scripted(durations)
    assert detector.warmup.first_frame_ns == 900 * MS
    assert detector.warmup.frames == 48  # one slow frame is not a trend
    assert detector.warmup.duration_ns == sum(durations[:48])


@pytest.mark.parametrize(("before_ms", "after_ms"), [(40, 22), (22, 40), (22, 24)])
def test_a_step_after_30_frames_is_warm_up(before_ms: int, after_ms: int) -> None:
    step = np.where(np.arange(600) < 30, before_ms, after_ms) * float(MS)
    for seed in range(20):
        detector = scripted(step * noise(seed, 0.005))
        assert detector.steady
        # The second window is mostly from before the step; the third to fifth are the first three that agree.
        assert detector.warmup.frames == 80


@pytest.mark.parametrize(
    "series",
    [
        lambda seed: 22 * MS * noise(seed, 0.01),
        lambda seed: 22 * MS * noise(seed, 0.3),
        lambda seed: np.where(noise(seed, 1.0) > 5, 70 * MS, 2 * MS * noise(seed + 1000, 0.05)),
        lambda seed: np.where(noise(seed, 1.0) > 1, 10 * MS, 20 * MS),
    ],
    ids=["quiet", "noisy", "outliers", "bimodal"],
)
def test_noisy_but_steady_from_the_start_is_measured_soon(series: Callable[[int], Series]) -> None:
    frames = [scripted(series(seed)).warmup.frames for seed in range(100)]
    assert sum(count == 48 for count in frames) >= 90
    assert max(frames) <= 112


def test_a_wandering_run_is_measured_in_the_end() -> None:
    """Neighbours resemble each other: what looks like a trend comes and goes."""
    for seed in range(10):
        shocks = np.random.default_rng(seed).normal(0, 0.05, 1000)
        level = [0.0]
        for shock in shocks:
            level.append(0.7 * level[-1] + shock)
        assert scripted(22 * MS * np.exp(level)).steady


def test_a_slow_drift_is_not_steady_even_if_neighbouring_windows_agree() -> None:
    """0.15 % a frame: 4.8 % between the medians of the first and the last of three windows, 7.2 % in all."""
    config = StabilityConfig(maximum=300)
    drift = 1.0015 ** np.arange(600)
    for seed in range(10):
        detector = scripted(22 * MS * drift * noise(seed, 0.001), config)
        assert (detector.steady, detector.warmup.frames) == (False, 300)
        assert "the last 48 frames change by +" in detector.note()
    # Half as fast is within the tolerance.
    assert scripted(22 * MS * np.sqrt(drift), config).steady


def test_never_steady_gives_up_at_the_maximum_and_says_so() -> None:
    detector = scripted(10 * MS * 1.01 ** np.arange(300), StabilityConfig(maximum=200))
    assert (detector.in_warmup, detector.steady) == (False, False)
    assert detector.warmup.frames == 200
    assert detector.note().startswith(
        "not steady after 200 frames, the most that warm-up may take: the medians of the last windows are "
    )
    assert detector.note().endswith(" ms")


def test_a_sawtooth_is_never_steady() -> None:
    """A clock that goes down and up again every 64 frames."""
    sawtooth = 10 * MS * (1 + (np.arange(1200) % 64) / 64)
    assert not scripted(sawtooth).steady


def test_a_run_that_ends_in_its_warm_up_says_so() -> None:
    detector = scripted([22 * MS] * 20)
    assert (detector.in_warmup, detector.steady) == (True, False)
    assert detector.warmup == WarmUp(20, 20 * 22 * MS, 22 * MS)
    assert detector.note() == "the run ended in its warm-up, after 20 frames: 20 frames came, and it takes 48 to tell"
    assert scripted([]).note() == "the run ended in its warm-up, after 0 frames: no frame came"
    unsteady = scripted(10 * MS * 1.05 ** np.arange(60))
    assert "after 60 frames: the medians of the last windows are" in unsteady.note()


def test_nothing_is_decided_before_the_minimum() -> None:
    assert scripted([22 * MS] * 300, StabilityConfig(minimum=100)).warmup.frames == 100
    # Nor is an early verdict kept: it was steady after 48 frames, and is not after 100.
    durations = [22 * MS] * 84 + [40 * MS] * 300
    assert scripted(durations, StabilityConfig(minimum=100)).warmup.frames == 128


def test_windows_and_their_number_can_be_chosen() -> None:
    config = StabilityConfig(window=6, windows=2, maximum=12)
    assert scripted([22 * MS] * 50, config).warmup.frames == 12


def test_durations_of_a_clock_that_stands_still_are_steady() -> None:
    assert scripted([0] * 60).steady


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 10**9), max_size=200), st.integers(0, 200))
def test_a_decision_uses_nothing_that_comes_later(durations: list[int], cut: int) -> None:
    config = StabilityConfig(window=6, windows=2, maximum=60)
    whole, part = scripted(durations, config), scripted(durations[:cut], config)
    if not part.in_warmup:
        assert (part.warmup, part.steady, part.note()) == (whole.warmup, whole.steady, whole.note())
    assert scripted(durations, config).note() == whole.note()
    assert whole.warmup.frames <= 60


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 4},
        {"windows": 1},
        {"windows": 63},
        {"tolerance": 0.0},
        {"tolerance": 1.0},
        {"tolerance": math.nan},
        {"minimum": -1},
        {"minimum": 1001},
        {"maximum": 47},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(InputError, match=f"{name}={value}"):
        StabilityConfig(**wrong)  # type: ignore[arg-type]


def test_a_frame_takes_little_time_on_average() -> None:
    durations = (22 * MS * 1.01 ** np.arange(992)).astype(np.int64).tolist()
    best_ns = math.inf
    for _ in range(3):
        detector = StabilityWarmUp()
        started_ns = time.perf_counter_ns()
        for duration_ns in durations:
            detector.add(started_ns=0, ended_ns=duration_ns)
        best_ns = min(best_ns, (time.perf_counter_ns() - started_ns) / len(durations))
    assert best_ns < 100_000
