from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.latency.watch.sensors.rail import Channel
from googlenet_edge.latency.watch.timeline import Episode, EpisodeLog, Timeline

CHANNELS = [Channel("cpu0", "MHz"), Channel("cpu-thermal", "C")]


def test_each_look_is_a_span_as_long_as_there_is_room() -> None:
    timeline = Timeline(CHANNELS, capacity=4)
    for second in range(3):
        timeline.add([1500.0 + second, None], second)
    spans = timeline.spans()
    assert [(span.started_ns, span.ended_ns) for span in spans] == [(0, 0), (1, 1), (2, 2)]
    assert [span.lowest[0] for span in spans] == [1500.0, 1501.0, 1502.0]
    assert all(math.isnan(span.lowest[1]) and math.isnan(span.highest[1]) for span in spans)


@given(st.lists(st.one_of(st.none(), st.floats(-50, 150)), min_size=1, max_size=300))
def test_no_extreme_is_lost_however_long_the_run(values: list[float | None]) -> None:
    timeline = Timeline([CHANNELS[1]], capacity=8)
    for at_ns, value in enumerate(values):
        timeline.add([value], at_ns)
    spans = timeline.spans()
    assert timeline.looks == len(values)
    assert len(spans) <= 8
    assert (spans[0].started_ns, spans[-1].ended_ns) == (0, len(values) - 1)
    for span in spans:
        inside = [value for value in values[span.started_ns : span.ended_ns + 1] if value is not None]
        assert inside == [] or (span.lowest[0], span.highest[0]) == (min(inside), max(inside))
        assert inside != [] or math.isnan(span.lowest[0])
    lengths = [span.ended_ns - span.started_ns + 1 for span in spans]
    assert set(lengths[:-1]) <= {lengths[0]} and lengths[-1] <= lengths[0]  # noqa: PT018
    assert all(one.ended_ns + 1 == other.started_ns for one, other in itertools.pairwise(spans))


def test_a_machine_without_sensors_has_an_empty_timeline() -> None:
    timeline = Timeline([], capacity=2)
    for at_ns in range(9):
        timeline.add([], at_ns)
    assert timeline.looks == 9
    assert timeline.spans()[-1].ended_ns == 8


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="got capacity 5"):
        Timeline(CHANNELS, capacity=5)
    with pytest.raises(InputError, match="got 1 values, expected 2"):
        Timeline(CHANNELS).add([1.0], 0)


def test_an_episode_holds_the_time_between_the_looks_around_it() -> None:
    log = EpisodeLog()
    for at_ns, causes in ((0, []), (10, ["heat"]), (20, ["heat"]), (30, []), (40, [])):
        log.add(causes, at_ns)
    assert log.episodes() == (Episode("heat", 0, 30, looks=2),)


def test_what_goes_on_at_the_end_ends_with_the_last_look() -> None:
    log = EpisodeLog()
    log.add(["heat"], 5)
    log.add(["heat", "power"], 10)
    assert log.episodes() == (Episode("heat", 5, 10, looks=2), Episode("power", 5, 10, looks=1))


def test_causes_are_told_apart_and_may_come_back() -> None:
    log = EpisodeLog()
    for at_ns, causes in ((0, ["a"]), (1, ["b"]), (2, ["a"]), (3, [])):
        log.add(causes, at_ns)
    assert [(one.cause, one.started_ns, one.ended_ns) for one in log.episodes()] == [
        ("a", 0, 1),
        ("b", 0, 2),
        ("a", 1, 3),
    ]


def test_beyond_the_most_episodes_are_only_counted() -> None:
    log = EpisodeLog(most=3)
    for at_ns in range(20):
        log.add(["x"] if at_ns % 2 else [], at_ns)
    log.add([], 20)
    assert (len(log.episodes()), log.dropped) == (3, 7)
