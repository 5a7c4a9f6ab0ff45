from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.sinks.label_events import EventConfig, LabelEvent, LabelEvents
from googlenet_edge.types import FrameTrace, Prediction

MS = 1_000_000
NAMES = ("crane", "crane", "stop")  # two classes may share a label
CONFIG = EventConfig(appear_probability=0.6, leave_probability=0.4, appear_ms=100, leave_ms=200, gap_ms=1000)


def seen(sequence: int, ms: int, *probabilities: float) -> Prediction:
    """Return the result of a frame captured at ``ms``, with the probabilities of classes 0, 1 and 2."""
    order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])
    captured = ms * MS
    return Prediction(
        tuple(NAMES[i] for i in order),
        tuple(order),
        tuple(probabilities[i] for i in order),
        FrameTrace(sequence, captured, captured + 1, captured + 2, captured + 3),
    )


def feed(config: EventConfig, *frames: tuple[float, ...]) -> list[tuple[int, LabelEvent]]:
    """Return the events with the number of the frame that decided them; frames are 50 ms apart, -1 is the end."""
    events = LabelEvents(config)
    found = [(i, event) for i, frame in enumerate(frames) for event in events.add(seen(i, 50 * i, *frame))]
    return found + [(-1, event) for event in events.end()]


def test_a_label_appears_after_its_time_and_leaves_after_its_time() -> None:
    found = feed(CONFIG, (0.1,), (0.7,), (0.9,), (0.6,), (0.5,), (0.3,), (0.3,), (0.3,), (0.3,), (0.3,))
    assert found == [
        (3, LabelEvent("appeared", None, "crane", 0, 50 * MS, 1, 3, 100 * MS, 0.9)),
        (8, LabelEvent("left", "left", "crane", 0, 200 * MS, 1, 4, 150 * MS, 0.9)),
    ]


def test_a_break_before_it_appears_begins_the_time_again() -> None:
    found = feed(CONFIG, (0.7,), (0.7,), (0.5,), (0.7,), (0.7,), (0.7,))
    assert [(i, event.event, event.first_sequence) for i, event in found] == [(5, "appeared", 3), (-1, "left", 3)]


def test_a_short_break_does_not_make_a_label_leave() -> None:
    found = feed(CONFIG, (0.7,), (0.7,), (0.7,), (0.1,), (0.1,), (0.1,), (0.4,), (0.1,))
    assert [(i, event.event, event.reason, event.last_sequence) for i, event in found] == [
        (2, "appeared", None, 2),
        (-1, "left", "end", 6),
    ]


def test_without_times_one_frame_is_enough() -> None:
    found = feed(EventConfig(appear_ms=0, leave_ms=0), (0.9,), (0.1,))
    assert [(i, event.event, event.duration_ns) for i, event in found] == [(0, "appeared", 0), (1, "left", 0)]


def test_what_leaves_comes_before_what_appears() -> None:
    found = feed(EventConfig(appear_ms=0, leave_ms=0), (0.9, 0.0, 0.1), (0.1, 0.0, 0.9))
    assert [(i, event.event, event.label) for i, event in found[:3]] == [
        (0, "appeared", "crane"),
        (1, "left", "crane"),
        (1, "appeared", "stop"),
    ]


def test_classes_that_share_a_label_are_two() -> None:
    found = feed(EventConfig(appear_ms=0, leave_ms=0), (0.9, 0.1), (0.1, 0.9))
    assert [(event.event, event.class_id) for _, event in found] == [
        ("appeared", 0), ("left", 0), ("appeared", 1), ("left", 1)
    ]  # fmt: skip


def test_a_class_outside_the_best_ones_leaves() -> None:
    events = LabelEvents(EventConfig(appear_ms=0, leave_ms=0))
    events.add(seen(0, 0, 0.9))
    only_the_other = Prediction(("stop",), (2,), (0.9,), FrameTrace(1, 50 * MS, 50 * MS, 50 * MS, 50 * MS))
    assert [(event.event, event.class_id) for event in events.add(only_the_other)] == [("left", 0), ("appeared", 2)]


@pytest.mark.parametrize(("apart_ms", "reasons"), [(1000, []), (1001, ["gap"])])
def test_a_gap_lets_all_labels_leave(apart_ms: int, reasons: list[str]) -> None:
    events = LabelEvents(CONFIG)
    for i in range(3):
        events.add(seen(i, 50 * i, 0.9))
    assert [event.reason for event in events.add(seen(3, 100 + apart_ms, 0.9))] == reasons


def test_a_gap_begins_the_time_before_appearing_again() -> None:
    events = LabelEvents(CONFIG)
    events.add(seen(0, 0, 0.9))
    assert events.add(seen(1, 5000, 0.9)) == ()
    assert [event.first_sequence for event in events.add(seen(2, 5100, 0.9))] == [1]


def test_a_loss_lets_all_labels_leave_and_begins_the_time_before_appearing_again() -> None:
    events = LabelEvents(CONFIG)
    for i in range(3):
        events.add(seen(i, 50 * i, 0.9, 0.1))
    assert [(event.class_id, event.reason) for event in events.lost()] == [(0, "lost")]
    assert events.lost() == ()
    assert events.add(seen(3, 150, 0.9)) == ()
    assert [event.first_sequence for event in events.add(seen(4, 250, 0.9))] == [3]


def test_the_end_says_each_label_once() -> None:
    events = LabelEvents(EventConfig(appear_ms=0))
    events.add(seen(0, 0, 0.9))
    assert [event.reason for event in events.end()] == ["end"]
    assert events.end() == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"appear_probability": 0.3}, "leave not above appear"),
        ({"appear_probability": 1.1}, "at most 1"),
        ({"leave_probability": 0.0}, "above 0"),
        ({"leave_probability": float("nan")}, "above 0"),
        ({"appear_ms": -1}, "appear_ms=-1"),
        ({"leave_ms": -1}, "leave_ms=-1"),
        ({"gap_ms": 0}, "gap_ms=0"),
    ],
)
def test_wrong_settings_are_errors(values: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EventConfig(**values)  # type: ignore[arg-type]


def test_a_label_must_not_hide_behind_the_best_ones() -> None:
    EventConfig(leave_probability=0.51).check_top_k(1)
    EventConfig(leave_probability=0.4).check_top_k(2)
    with pytest.raises(InputError, match="best 1 labels of a frame"):
        EventConfig(leave_probability=0.5).check_top_k(1)


# Capture times may stand still or go back: cameras' own stamps do.
STEPS_MS = st.integers(-100, 1500)
FRAMES = st.lists(st.tuples(STEPS_MS, *[st.floats(0, 1)] * 3), max_size=60)
CONFIGS = st.builds(
    lambda pair, appear_ms, leave_ms, gap_ms: EventConfig(max(pair), min(pair), appear_ms, leave_ms, gap_ms),
    st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)),
    st.integers(0, 500),
    st.integers(0, 500),
    st.integers(1, 1200),
)


@given(config=CONFIGS, frames=FRAMES)
def test_events_alternate_and_their_figures_hold(config: EventConfig, frames: list[tuple[float, ...]]) -> None:
    events = LabelEvents(config)
    of_class: dict[int, list[LabelEvent]] = defaultdict(list)
    now_ms = 10_000
    for i, (step_ms, *probabilities) in enumerate(frames):
        now_ms += int(step_ms)
        for event in events.add(seen(i, now_ms, *probabilities)):
            of_class[event.class_id].append(event)
    for event in events.end():
        of_class[event.class_id].append(event)
    for class_id, found in of_class.items():
        assert [event.event for event in found] == ["appeared", "left"] * (len(found) // 2)
        for appeared, left in zip(found[::2], found[1::2], strict=True):
            assert appeared.first_sequence == left.first_sequence <= appeared.last_sequence <= left.last_sequence
            assert config.appear_ms * MS <= appeared.duration_ns <= left.duration_ns
            assert left.captured_ns - appeared.captured_ns == left.duration_ns
            own = [frame[1 + class_id] for frame in frames[left.first_sequence : left.last_sequence + 1]]
            assert left.best_probability == max(own) >= config.appear_probability
        for left, appeared in zip(found[1::2], found[2::2], strict=False):
            assert left.last_sequence < appeared.first_sequence
