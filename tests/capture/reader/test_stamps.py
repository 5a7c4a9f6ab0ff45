from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.capture.reader.stamps import StreamClock

MS, S = 1_000_000, 1_000_000_000
TRAVEL_NS = 12 * MS


def errors_ms(
    *,
    seconds: float,
    seed: int,
    fps: float = 25,
    jitter_ms: float = 80,
    drift_ppm: float = 0,
    base_ns: int = 10**15,
) -> list[float]:
    """What is wrong with each capture time, in ms, apart from the travel time that all frames have in common."""
    rng, clock, errors = random.Random(seed), StreamClock(), []
    arrived_ns = 0
    for i in range(round(seconds * fps)):
        true_ns = base_ns + round(i / fps * S)
        stamp_ns = round((true_ns - base_ns) * (1 + drift_ppm / 1e6)) + 777 * S
        # Later frames do not overtake earlier ones.
        arrived_ns = max(arrived_ns, true_ns + TRAVEL_NS + round(rng.uniform(0, jitter_ms) * MS))
        captured_ns, stamped = clock.capture_time(stamp_ns, arrived_ns)
        assert captured_ns <= arrived_ns
        assert stamped
        errors.append((captured_ns - true_ns - TRAVEL_NS) / MS)
    return errors


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), base_ns=st.integers(0, 2**62), jitter_ms=st.floats(0, 80))
def test_jitter_is_taken_out(seed: int, base_ns: int, jitter_ms: float) -> None:
    errors = errors_ms(seconds=30, seed=seed, base_ns=base_ns, jitter_ms=jitter_ms)
    assert all(-0.01 <= error <= jitter_ms + 0.01 for error in errors)
    assert max(errors[75:]) < 20  # 75 frames: the chance that none was quick is below 1e-9
    assert sum(errors[75:]) / len(errors[75:]) < 3


@pytest.mark.parametrize("drift_ppm", [-200, 200])
def test_a_clock_that_drifts_for_an_hour_is_followed(drift_ppm: float) -> None:
    errors = errors_ms(seconds=3600, seed=3, drift_ppm=drift_ppm)
    assert max(abs(error) for error in errors[250:]) < 12
    assert abs(errors[-1] - errors[500]) < 12


@settings(deadline=None, max_examples=40)
@given(jump_s=st.sampled_from([-47_721.9, -3600, -30, -2, -0.5, 2, 30, 3600, 95_443.7]), seed=st.integers(0, 2**32))
def test_a_jump_or_wrap_of_the_stamps_is_seen_at_once(jump_s: float, seed: int) -> None:
    rng, clock = random.Random(seed), StreamClock()
    for i in range(1000):
        true_ns = 10**15 + i * 40 * MS
        stamp_ns = i * 40 * MS + (round(jump_s * S) if i >= 500 else 0)
        arrived_ns = true_ns + round(rng.uniform(0, 30) * MS)
        captured_ns, _ = clock.capture_time(stamp_ns, arrived_ns)
        assert true_ns - MS <= captured_ns <= arrived_ns


def test_one_wrong_stamp_spoils_none_of_the_others() -> None:
    clock = StreamClock()
    for i in range(1000):
        true_ns = 10**15 + i * 40 * MS
        stamp_ns = i * 40 * MS + (3600 * S if i == 500 else 0)
        assert clock.capture_time(stamp_ns, true_ns + 5 * MS)[0] - true_ns == 5 * MS


def test_a_stall_of_the_network_makes_the_frames_old_that_it_held_up() -> None:
    clock = StreamClock()
    for i in range(200):
        true_ns = 10**15 + i * 40 * MS
        held_until_ns = 10**15 + 6 * S if 4 * S <= i * 40 * MS < 6 * S else 0
        arrived_ns = max(true_ns + 5 * MS, held_until_ns + i)
        assert clock.capture_time(i * 40 * MS, arrived_ns)[0] - true_ns == 5 * MS


def test_without_stamps_it_is_the_arrival() -> None:
    clock = StreamClock()
    assert clock.capture_time(None, 1000) == (1000, False)
    assert clock.capture_time(None, 2000) == (2000, False)
    for i in range(100):  # a sender that stamps all frames alike
        arrived_ns = 10**15 + i * 40 * MS
        assert clock.capture_time(5, arrived_ns)[0] == arrived_ns


def test_stamps_that_count_frames_at_a_rate_that_is_not_kept_are_not_trusted() -> None:
    clock = StreamClock()
    for i in range(1000):  # says 25 a second, sends 12.5
        arrived_ns = 10**15 + i * 80 * MS
        captured_ns, stamped = clock.capture_time(i * 40 * MS, arrived_ns)
        if i * 80 * MS > 16 * S:
            assert (captured_ns, stamped) == (arrived_ns, False)
    for i in range(1000, 2000):  # by day it keeps it
        captured_ns, stamped = clock.capture_time(i * 40 * MS, 10**15 + 80 * S + (i - 1000) * 40 * MS)
    assert stamped


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.none() | st.integers(-(2**62), 2**62), st.integers(0, 3 * S)), max_size=60))
def test_whatever_the_stamps_a_capture_is_never_later_than_the_arrival_nor_out_of_order(
    frames: list[tuple[int | None, int]],
) -> None:
    clock, now_ns, last_ns = StreamClock(), 10**15, 0
    for stamp_ns, passed_ns in frames:
        now_ns += passed_ns
        captured_ns, _ = clock.capture_time(stamp_ns, now_ns)
        assert last_ns <= captured_ns <= now_ns
        last_ns = captured_ns


@pytest.mark.parametrize("buffered", [2, 30, 200])
def test_a_reader_that_is_always_too_slow_sees_how_old_its_frames_are(buffered: int) -> None:
    """A camera of 30 frames/s, a queue of so many frames, which drops while it is full, and 0.2 s for each frame."""
    clock, queue = StreamClock(), [0]
    made, now_ns = 0, 10**15
    ages_ms = []
    for taken in range(600):
        held_up = taken > 0
        while 10**15 + (made + 1) * S // 30 <= now_ns:
            made += 1
            if len(queue) < buffered:
                queue.append(made)
        number = queue.pop(0)
        captured_ns, stamped = clock.capture_time(5 * S + number * S // 30, now_ns + TRAVEL_NS, held_up=held_up)
        assert stamped
        assert abs(captured_ns - (10**15 + number * S // 30 + TRAVEL_NS)) <= 1
        ages_ms.append((now_ns + TRAVEL_NS - captured_ns) / MS)
        now_ns += S // 5
    assert ages_ms[-1] == pytest.approx(buffered * 200, abs=250)


def test_after_being_held_up_the_clocks_are_known_and_followed_again() -> None:
    clock = StreamClock()
    for i in range(1000):  # 40 s, of which 10 to 30 s are held up by 3 s, and then it is made up for
        true_ns = 10**15 + i * 40 * MS
        late_ns = 3 * S if 250 <= i < 750 else max(0, 10**15 + 33 * S + i - true_ns) if 750 <= i < 825 else 0
        captured_ns, stamped = clock.capture_time(i * 40 * MS, true_ns + late_ns, held_up=late_ns > 0)
        assert (captured_ns, stamped) == (true_ns, True)


def test_what_was_held_up_from_the_first_frame_on_is_still_told_by_the_quickest() -> None:
    clock = StreamClock()
    ages_ms = []
    for i in range(10):
        arrived_ns = 10**15 + i * 40 * MS + abs(5 - i) * 30 * MS
        ages_ms.append((arrived_ns - clock.capture_time(i * 40 * MS, arrived_ns, held_up=True)[0]) // MS)
    assert ages_ms == [0, 0, 0, 0, 0, 0, 30, 60, 90, 120]


def test_frames_that_are_coded_with_the_help_of_later_ones_stay_in_order() -> None:
    """They are shown before these, but come after them."""
    clock, captured = StreamClock(), []
    for group in range(50):
        for place, late in ((1, 110), (2, 130), (3, 20)):  # the third comes first
            number = 3 * group + place
            captured.append(clock.capture_time(number * 40 * MS, 10 * S + (number * 40 + late) * MS)[0])
    assert captured == sorted(captured)
    assert {after - before for before, after in pairwise(captured[6:])} == {40 * MS}
