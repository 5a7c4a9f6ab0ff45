from __future__ import annotations

import pytest

from tools.bench_measuring import WATCH, figures, main

RUNS = {
    "nothing": [500.0, 510.0, 490.0],
    "stamps": [503.0, 514.0, 492.0],
    "recorder": [510.0, 520.0, 500.0],
    "samples": [512.0, 521.0, 503.0],
    WATCH: [30.0, 60.0, 30.0],
}


def test_costs_are_differences_within_a_round_and_the_watch_is_shared_among_the_frames() -> None:
    lines, promise = figures(RUNS, fps=30)
    assert [" ".join(line.split()) for line in lines] == [
        "stamps and trace 3.0 (2.0 to 4.0)",
        "statistics 7.0 (6.0 to 8.0)",
        "raw samples on disk 2.0 (1.0 to 3.0)",
        "machine watch, at 30 frames/s 1.0 (1.0 to 2.0)",
        "(the frame itself) 500.0 (490.0 to 510.0)",
    ]
    assert promise.spread.values == (13.0, 13.0, 14.0)
    assert promise.kept


def test_the_promise_is_missed_above_20_us() -> None:
    slow = {**RUNS, "samples": [520.1, 540.0, 530.0]}
    _, promise = figures(slow, fps=30)
    assert not promise.kept


def test_all_sides_run_and_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rounds", "1", "--frames", "50", "--seconds", "0.2"]) == 0
    shown = capsys.readouterr().out
    assert "50 frames a side and round, 1 rounds" in shown
    assert "all measuring, per frame: " in shown
    assert all(name in shown for name in ("stamps and trace", "statistics", "raw samples on disk", "machine watch"))


@pytest.mark.parametrize("wrong", [["--rounds", "0"], ["--check", "--rounds", "4"], ["--fps", "0"]])
def test_wrong_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(wrong)
    assert "expected" in capsys.readouterr().err
