from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.latency.scenario_format import SustainedEntry
from googlenet_edge.scenarios.camera import CameraConfig
from googlenet_edge.scenarios.sustained import SearchConfig, SustainedRate, find_sustained_rate
from tests.scenarios.scripted import MS, Scripted

QUICK = SearchConfig(
    trial_ns=1_000 * MS, confirm_ns=2_000 * MS, least_frames=20, confirmations=20, max_duration_ns=10**15
)


def check(found: SustainedRate, true_fps: float) -> None:
    assert found.ended == "confirmed"
    assert found.fps is not None
    assert true_fps / (1 + found.config.resolution) <= found.fps <= true_fps * (1 + 1e-9)
    assert found.confirmed is not None
    assert found.confirmed.confirming
    assert found.confirmed.sustained
    assert [trial.sustained for trial in found.trials if trial.fps <= found.fps].count(False) == 0
    too_high = [trial for trial in found.trials if trial.confirming and trial.fps > true_fps * (1 + 1e-9)]
    assert not any(trial.sustained for trial in too_high)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(service_us=st.integers(2_000, 2_000_000), guess_fps=st.floats(0.01, 5_000))
def test_a_fixed_time_sustains_its_reciprocal(
    script: Callable[..., Scripted], service_us: int, guess_fps: float
) -> None:
    scripted = script(lambda _n, _frames: service_us * 1_000)
    config = replace(QUICK, least_frames=5, trial_ns=1, confirm_ns=1, percent=90)
    check(find_sustained_rate(scripted.rig, guess_fps, config=config), 1e6 / service_us)


def test_a_deadline_beyond_one_period_bears_outliers(script: Callable[..., Scripted]) -> None:
    """Outliers of 70 ms every 50 frames: with the p99 over one period, nothing faster than 1 / 70 ms holds.

    With a deadline of 100 ms, a frame may wait behind an outlier, but only one: two periods must be 70 ms or more.
    """

    def durations(n: int, _frames: int) -> int:
        return 70 * MS if n % 50 == 25 else 5 * MS

    found = find_sustained_rate(script(durations).rig, 20.0, config=QUICK)
    check(found, 1000 / 70)
    base = CameraConfig(deadline_ns=100 * MS)
    check(find_sustained_rate(script(durations).rig, 20.0, base, QUICK), 2 * 1000 / 70)


def test_the_confirmation_is_long_enough_for_a_reliable_p99(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda _n, _frames: 20 * MS)
    found = find_sustained_rate(scripted.rig, 50.0, config=QUICK)
    assert found.confirmed is not None
    assert found.confirmed.result.offered >= 662
    assert found.confirmed.result.summary.stage("capture_to_emitted").percentile(99).reliable
    assert "662 frames, none dropped, p99 20.00 ms" in found.confirmed.finding.replace("663", "662")
    assert QUICK.confirmation_ns(1.0) == 60_000 * MS, "no longer than a minute, though that is too short for 662"
    assert QUICK.confirmation_ns(0.1) == 200_000 * MS, "but 20 frames there must be"


def test_a_rate_that_is_not_confirmed_is_gone_below(script: Callable[..., Scripted]) -> None:
    """A machine that gets slower over its first 600 frames: what trials showed does not hold for the confirmation."""
    scripted = script(lambda n, _frames: 10 * MS + min(n, 600) * MS // 100)
    found = find_sustained_rate(scripted.rig, 90.0, config=QUICK)
    confirmations = [trial for trial in found.trials if trial.confirming]
    assert not confirmations[0].sustained
    assert "late" in confirmations[0].finding or "dropped" in confirmations[0].finding
    check(found, 1000 / 16)


def test_a_machine_that_never_holds_what_it_showed_has_no_rate(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda n, _frames: 10 * MS + n * MS // 50)
    found = find_sustained_rate(scripted.rig, 90.0, config=replace(QUICK, confirmations=2))
    assert (found.fps, found.confirmed) == (None, None)
    assert found.ended == "none held in a longer run (2 tried): the times vary too much"


def test_the_range_ends_the_search(script: Callable[..., Scripted]) -> None:
    config = replace(QUICK, lowest_fps=5.0, highest_fps=40.0)
    fast = find_sustained_rate(script(lambda _n, _f: MS).rig, 20.0, config=config)
    assert fast.fps == 40.0, "as high as was asked for"
    slow = find_sustained_rate(script(lambda _n, _f: 900 * MS).rig, 20.0, config=config)
    assert (slow.fps, slow.ended) == (None, "not even 5 frames/s")
    assert slow.trials[-1].fps == 5.0


def test_stopping_ends_the_search_without_an_answer(script: Callable[..., Scripted]) -> None:
    scripted: Scripted = script(lambda n, _f: 10 * MS if n < 50 else scripted.stopping(10 * MS))
    found = find_sustained_rate(scripted.rig, 95.0, config=QUICK)
    assert (found.fps, found.ended) == (None, "stopped")
    assert len(found.trials) == 1
    assert found.trials[-1].finding == "stopped"


def test_each_trial_is_told_before_it_begins(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda _n, _f: 10 * MS)
    found = find_sustained_rate(scripted.rig, 95.0, config=QUICK)
    assert len(scripted.phases) == len(found.trials)
    assert scripted.phases[0] == "trying 95 frames/s for 1 s"
    assert scripted.phases[-1].startswith("confirming ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"trial_ns": 0},
        {"confirm_ns": 0},
        {"least_frames": 0},
        {"confirmations": 0},
        {"resolution": 0.0},
        {"lowest_fps": 0.0},
        {"lowest_fps": 10.0, "highest_fps": 10.0},
        {"highest_fps": 1e9},
        {"max_duration_ns": 0},
    ],
)
def test_a_config_checks_itself(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="search: got"):
        SearchConfig(**wrong)  # type: ignore[arg-type]


def test_searching_ends_when_its_time_is_up(script: Callable[..., Scripted]) -> None:
    """A machine with outliers that short trials miss: one longer run is made in any case, and then no more."""
    scripted = script(lambda n, _f: 90 * MS if n % 60 == 45 else 5 * MS)
    started_ns = scripted.clock.now_ns
    found = find_sustained_rate(scripted.rig, 30.0, config=replace(QUICK, max_duration_ns=4_000 * MS))
    assert found.fps is None
    assert [trial.confirming for trial in found.trials].count(True) == 1
    assert found.ended == "none held in a longer run (1 tried): the times vary too much"
    assert scripted.clock.now_ns - started_ns < 20_000 * MS


def test_trials_of_low_rates_do_not_take_longer_than_the_search_may(script: Callable[..., Scripted]) -> None:
    """A busy machine that is late for one frame of fifteen at any rate: down to 0.1 frames/s that took ten minutes."""
    scripted = script(lambda n, _f: 200 * MS if n % 15 == 14 else 30 * MS)
    started_ns = scripted.clock.now_ns
    base = CameraConfig(deadline_ns=120 * MS)
    found = find_sustained_rate(scripted.rig, 18.0, base, SearchConfig(max_duration_ns=60_000 * MS))
    assert scripted.clock.now_ns - started_ns <= 60_000 * MS
    assert (found.fps, found.confirmed) == (None, None)
    lowest = min(trial.fps for trial in found.trials)
    assert lowest > 0.5
    assert found.ended == f"not even {lowest:.3g} frames/s, in 60 s of searching"


def test_a_bracket_that_there_was_no_time_to_narrow_is_told(script: Callable[..., Scripted]) -> None:
    config = replace(QUICK, max_duration_ns=2_000 * MS)
    found = find_sustained_rate(script(lambda _n, _f: 20 * MS).rig, 55.0, config=config)
    assert [trial.confirming for trial in found.trials] == [False, False, True]
    assert found.fps == pytest.approx(44.0)
    assert found.ended.startswith("confirmed; higher ones may be")
    entry = SustainedEntry(rule="", percent=99, resolution=0.02, ended=found.ended, trials=())
    assert entry.found == found.ended, "no resolution is claimed"
    assert msgspec.structs.replace(entry, ended="confirmed").found == "to 2 %; confirmed"
