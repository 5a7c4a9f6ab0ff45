from __future__ import annotations

import pytest

from googlenet_edge.sinks.sink import RateMeter, printable


def test_rate_counts_intervals_of_the_last_second() -> None:
    meter = RateMeter()
    assert meter.fps is None
    meter.add(0)
    assert meter.fps is None
    for i in range(1, 100):
        meter.add(i * 20_000_000)
    assert meter.fps == pytest.approx(50.0)
    for i in range(30):
        meter.add(2_000_000_000 + i * 100_000_000)
    assert meter.fps == pytest.approx(10.0)


def test_rate_below_one_a_second() -> None:
    meter = RateMeter()
    for i in range(5):
        meter.add(i * 4_000_000_000)
    assert meter.fps == pytest.approx(0.25)


def test_two_results_at_one_time_have_no_rate() -> None:
    meter = RateMeter()
    meter.add(5)
    meter.add(5)
    assert meter.fps is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Überholverbot", "Überholverbot"), ("a\x1b[2Jb\nc", "a?[2Jb?c"), ("\udc80", "?"), ("日本", "日本")],
)
def test_printable_takes_away_what_steers_a_terminal(text: str, expected: str) -> None:
    assert printable(text) == expected
