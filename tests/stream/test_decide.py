from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.stream.config import StreamConfig
from googlenet_edge.stream.decide import Average, Decider, asked_top_k
from googlenet_edge.types import FrameTrace, Prediction

MS = 1_000_000
LABELS = ("bend", "crane", "crane", "stop")
HALF_LIFE_MS = 400


def seen(ms: float, probabilities: Sequence[float], *, sequence: int = 0) -> Prediction:
    """Return what a classifier says of a frame that was captured at this time, with all classes, best first."""
    order = np.argsort(-np.asarray(probabilities), kind="stable").tolist()
    at = round(ms * MS)
    return Prediction(
        tuple(LABELS[i] for i in order),
        tuple(order),
        tuple(float(probabilities[i]) for i in order),
        FrameTrace(sequence, at, at + 1, at + 2, at + 3),
    )


def smoothing(**values: object) -> Decider:
    return Decider(StreamConfig(smoothing_ms=HALF_LIFE_MS, top_k=4, **values))  # type: ignore[arg-type]


def of_class(prediction: Prediction, class_id: int) -> float:
    return prediction.probabilities[prediction.class_ids.index(class_id)]


def test_without_settings_the_prediction_stays_as_it_is() -> None:
    prediction = seen(0, (0.1, 0.2, 0.3, 0.4))
    assert Decider(StreamConfig(top_k=4)).decide(prediction) is prediction


def test_the_result_has_as_many_classes_as_were_asked_for_and_the_raw_one_too() -> None:
    config = StreamConfig(smoothing_ms=HALF_LIFE_MS, top_k=2)
    decider = Decider(config)
    assert asked_top_k(config, 4) == 4
    decider.decide(seen(0, (0.7, 0.1, 0.1, 0.1)))
    decided = decider.decide(seen(40, (0.1, 0.1, 0.1, 0.7), sequence=1))
    assert (len(decided.labels), len(decided.class_ids), len(decided.probabilities)) == (2, 2, 2)
    assert decided.raw is not None
    assert (decided.raw.labels, decided.raw.class_ids) == (("stop", "bend"), (3, 0))
    assert decided.raw.raw is None
    assert decided.trace.sequence == 1
    assert set(decided.labels) == {"bend", "stop"}


def test_without_smoothing_only_the_best_classes_are_asked_for() -> None:
    assert asked_top_k(StreamConfig(top_k=3), 1000) == 3


def test_the_first_frame_and_the_first_after_a_reset_count_alone() -> None:
    decider = smoothing()
    first = seen(0, (0.4, 0.3, 0.2, 0.1))
    assert decider.decide(first).probabilities == first.probabilities
    decider.decide(seen(50, (0.1, 0.2, 0.3, 0.4)))
    decider.reset()
    again = seen(60, (0.0, 0.0, 0.0, 1.0))
    assert decider.decide(again).probabilities == again.probabilities
    Decider(StreamConfig()).reset()  # nothing to forget


def test_one_wrong_frame_does_not_change_the_label() -> None:
    decider = smoothing()
    for i in range(20):
        decider.decide(seen(40 * i, (0.9, 0.05, 0.03, 0.02)))
    decided = decider.decide(seen(800, (0.0, 0.0, 0.0, 1.0)))
    assert decided.label == "bend"
    assert decided.raw is not None
    assert decided.raw.label == "stop"


@pytest.mark.parametrize("fps", [5, 25, 30, 120])
def test_a_change_is_followed_half_way_in_one_half_life_at_any_frame_rate(fps: int) -> None:
    decider = smoothing()
    period_ms = 1000 / fps
    frames = round(20 * HALF_LIFE_MS / period_ms)
    for i in range(frames):
        decider.decide(seen(i * period_ms, (1, 0, 0, 0)))
    shares = [
        of_class(decider.decide(seen((frames + i) * period_ms, (0, 0, 0, 1))), 3) for i in range(4 * frames // 20 + 1)
    ]
    expected = [1 - 0.5 ** ((i + 1) * period_ms / HALF_LIFE_MS) for i in range(len(shares))]
    assert shares == pytest.approx(expected, abs=1e-4)


def test_the_first_frames_count_alike() -> None:
    decider = smoothing()
    for i, probabilities in enumerate([(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0)]):
        decided = decider.decide(seen(5_000 + i, probabilities))  # a millisecond apart
    assert decided.probabilities == pytest.approx((1 / 3, 1 / 3, 1 / 3, 0), abs=0.01)


@pytest.mark.parametrize("later_ms", [0, -1, -5000])
def test_a_frame_with_an_equal_or_earlier_stamp_counts_like_the_one_before(later_ms: int) -> None:
    decider = smoothing()
    decider.decide(seen(9_000, (1, 0, 0, 0)))
    assert of_class(decider.decide(seen(9_000 + later_ms, (0, 0, 0, 1))), 3) == 0.5
    # A clock that goes on from an earlier time is not a gap.
    assert of_class(decider.decide(seen(9_001, (0, 0, 0, 1))), 3) == pytest.approx(2 / 3, abs=0.01)


def test_after_a_gap_of_ten_half_lives_the_past_counts_for_less_than_a_thousandth() -> None:
    decider = smoothing()
    for i in range(100):
        decider.decide(seen(10 * i, (1, 0, 0, 0)))
    assert of_class(decider.decide(seen(990 + 10 * HALF_LIFE_MS, (0, 0, 0, 1))), 3) > 0.999
    assert of_class(decider.decide(seen(1e15, (0, 0, 1, 0))), 2) == 1


def test_of_equal_probabilities_the_lower_class_id_comes_first() -> None:
    decider = smoothing()
    decider.decide(seen(0, (0.1, 0.4, 0.4, 0.1)))
    decided = decider.decide(seen(40, (0.3, 0.2, 0.2, 0.3)))
    assert [decided.class_ids.index(i) < decided.class_ids.index(j) for i, j in ((0, 3), (1, 2))] == [True, True]


@pytest.mark.parametrize(("probability", "unsure"), [(0.49, True), (0.5, False), (0.51, False)])
def test_a_best_probability_below_the_asked_one_is_unsure(probability: float, unsure: bool) -> None:
    decided = Decider(StreamConfig(min_probability=0.5)).decide(seen(0, (probability, 0.2, 0.2, 0.1)))
    assert decided.unsure is unsure
    assert decided.label == "bend", "the best guess stays"


def test_it_is_the_smoothed_probability_that_is_unsure() -> None:
    decider = smoothing(min_probability=0.6)
    assert not decider.decide(seen(0, (1, 0, 0, 0))).unsure
    decided = decider.decide(seen(1, (0, 0, 0, 1)))
    assert decided.unsure
    assert decided.raw is not None
    assert not decided.raw.unsure


def test_a_prediction_without_all_classes_is_refused() -> None:
    best = Prediction(("stop", "bend"), (3, 0), (0.6, 0.3), FrameTrace(7, 0, 0, 0, 0))
    with pytest.raises(InputError, match=r"got the best 2 classes of frame 7, expected all"):
        smoothing().decide(best)


def test_another_number_of_classes_is_refused() -> None:
    average = Average(MS)
    average.add(np.zeros(3), 0)
    with pytest.raises(InputError, match="got 4 probabilities, expected 3"):
        average.add(np.zeros(4), 0)


STEPS_MS = st.one_of(st.integers(-50, 200), st.integers(0, 10**7))
WEIGHTS = st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any)
FRAMES = st.lists(st.tuples(STEPS_MS, WEIGHTS), min_size=1, max_size=40)


def normal(weights: Sequence[int]) -> npt.NDArray[np.float32]:
    return (np.asarray(weights) / sum(weights)).astype(np.float32)


@given(frames=FRAMES, half_life_ms=st.floats(0.01, 1e6))
def test_what_comes_out_is_a_mean_of_what_went_in(frames: list[tuple[int, list[int]]], half_life_ms: float) -> None:
    decider = Decider(StreamConfig(smoothing_ms=half_life_ms, top_k=4))
    now_ms, inputs = 0, []
    for step_ms, weights in frames:
        now_ms += step_ms
        inputs.append(normal(weights))
        decided = decider.decide(seen(now_ms, inputs[-1].tolist()))
        values = np.empty(4)
        values[list(decided.class_ids)] = decided.probabilities
        assert math.isclose(sum(decided.probabilities), 1, abs_tol=1e-6)
        assert (values >= np.min(inputs, axis=0) - 1e-9).all()
        assert (values <= np.max(inputs, axis=0) + 1e-9).all()
        assert decided.labels == tuple(LABELS[i] for i in decided.class_ids)
        for (a, p), (b, q) in pairwise(zip(decided.class_ids, decided.probabilities, strict=True)):
            assert p > q or (p == q and a < b), "best first, and of equal ones the lower class id"
        raw = decided.raw
        assert raw is not None
        assert raw.probabilities == tuple(sorted(inputs[-1].tolist(), reverse=True))


@given(frames=FRAMES, half_life_ms=st.floats(1, 1e5), start_ms=st.integers(0, 10**9))
def test_only_differences_of_time_matter(
    frames: list[tuple[int, list[int]]], half_life_ms: float, start_ms: int
) -> None:
    early, late = (Decider(StreamConfig(smoothing_ms=half_life_ms, top_k=4)) for _ in range(2))
    now_ms = 0
    for step_ms, weights in frames:
        now_ms += step_ms
        probabilities = normal(weights).tolist()
        one, other = early.decide(seen(now_ms, probabilities)), late.decide(seen(start_ms + now_ms, probabilities))
        assert one.probabilities == other.probabilities


@given(weights=WEIGHTS, steps_ms=st.lists(STEPS_MS, max_size=30))
def test_a_still_scene_keeps_its_probabilities(weights: list[int], steps_ms: list[int]) -> None:
    decider, now_ms = smoothing(), 0
    probabilities = normal(weights)
    for step_ms in steps_ms:
        now_ms += step_ms
        decided = decider.decide(seen(now_ms, probabilities.tolist()))
        assert decided.probabilities == tuple(sorted(probabilities.astype(float).tolist(), reverse=True))


@given(steps_ms=st.lists(st.integers(1, 1000), min_size=1, max_size=20))
def test_each_frame_has_the_share_that_its_time_gives_it_or_an_equal_one(steps_ms: list[int]) -> None:
    average = Average(HALF_LIFE_MS * MS)
    average.add(np.array([0.0]), 0)
    now_ms, before = 0, 0.0
    for i, step_ms in enumerate(steps_ms, start=1):
        now_ms += step_ms
        after = float(average.add(np.array([2.0 * i]), now_ms * MS)[0])
        share = (after - before) / (2.0 * i - before)
        by_time = 1 - 0.5 ** (step_ms / HALF_LIFE_MS)
        assert share >= by_time - 1e-9
        assert share >= 1 / (i + 1) - 1e-9
        # No more than one of the two rules gives: the past weighs at least what one frame does.
        assert share <= max(by_time, 1 / (1 + 0.5 ** (step_ms / HALF_LIFE_MS))) + 1e-9
        before = after
