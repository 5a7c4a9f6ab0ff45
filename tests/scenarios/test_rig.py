from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.scenarios.rig import Rig, WarmUpConfig, draws, warm_up
from tests.scenarios.scripted import MS, Scripted


def test_waiting_ends_when_it_is_stopped(script: Callable[..., Scripted]) -> None:
    rig = Rig(script(lambda _n, _f: MS).rig.work)
    timer = threading.Timer(0.05, rig.stop.set)
    timer.start()
    began_s = time.monotonic()
    rig.wait_until(time.monotonic_ns() + 60_000 * MS)
    assert time.monotonic() - began_s < 30
    timer.join()


def test_waiting_for_what_is_past_returns_at_once(script: Callable[..., Scripted]) -> None:
    slept: list[float] = []
    scripted = script(lambda _n, _f: MS)
    rig = Rig(scripted.rig.work, scripted.clock, sleep=slept.append)
    rig.wait_until(scripted.clock.now_ns)
    rig.wait_until(scripted.clock.now_ns - 5)
    assert slept == []
    rig.wait_until(scripted.clock.now_ns + 5 * MS)
    assert slept == [0.005]


def test_waiting_by_the_real_clock_takes_as_long_as_it_should(script: Callable[..., Scripted]) -> None:
    rig = Rig(script(lambda _n, _f: MS).rig.work)
    began_ns = time.monotonic_ns()
    rig.wait_until(began_ns + 20 * MS)
    assert time.monotonic_ns() - began_ns >= 20 * MS


def test_frames_are_drawn_evenly_and_by_the_seed() -> None:
    first = list(itertools.islice(draws(7, 4), 4000))
    assert first == list(itertools.islice(draws(7, 4), 4000))
    assert first != list(itertools.islice(draws(8, 4), 4000))
    assert all(800 < first.count(index) < 1200 for index in range(4))


def test_a_warm_up_tells_what_a_query_takes(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda n, _f: 80 * MS if n == 0 else (9 + n % 3) * MS)
    warmed_up = warm_up(scripted.rig, WarmUpConfig(), samples=2)
    assert warmed_up.steady
    assert warmed_up.median_ns == 10 * MS
    assert warmed_up.warmup.first_frame_ns == 80 * MS
    assert warmed_up.warmup.frames == 48
    assert warmed_up.warmup.duration_ns == sum(scripted.backend.taken_ns)
    assert set(scripted.backend.batches) == {2}
    assert scripted.phases == ["warming up"]


def test_a_warm_up_needs_time() -> None:
    with pytest.raises(InputError, match="warm-up: got"):
        WarmUpConfig(max_duration_ns=0)
