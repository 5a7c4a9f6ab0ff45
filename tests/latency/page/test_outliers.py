from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from googlenet_edge.latency.page.outliers import explain, fence_ns, tracks
from googlenet_edge.latency.report_file import read_report
from googlenet_edge.latency.subject import RUN
from googlenet_edge.types import Outages
from tests.latency.report_files import MS, FrameTimes, Run, steady, write_run

EVENT = {"kind": "throttled", "from_s": 0.95, "to_s": 1.05, "text": "GPU at 510 MHz"}


def found(path: Path, run: Run, **more: object) -> list[tuple[int, str, str | None]]:
    report = read_report(write_run(path / "r.json", run, **more))
    return [(each.sequence, each.where, each.cause) for each in explain(report, tracks(report), 10)]


def test_the_fence_is_three_quartile_distances_above_the_upper_one() -> None:
    durations = np.arange(1, 101, dtype=np.int64)[::-1]
    assert fence_ns(durations) == 75 + 3 * (75 - 25)
    assert fence_ns(np.array([7], dtype=np.int64)) == 7


def test_the_slowest_frames_come_first_with_where_their_time_went(tmp_path: Path) -> None:
    slow = found(tmp_path, Run({None: steady(102, slow={50: 70.0, 60: 90.0})}))
    assert slow == [(60, "inference, +85.50 ms", None), (50, "inference, +65.50 ms", None)]


def test_a_steady_run_has_none(tmp_path: Path) -> None:
    assert found(tmp_path, Run({None: steady(102)})) == []


def test_the_cause_is_what_the_report_says_of_that_time(tmp_path: Path) -> None:
    slow = found(tmp_path, Run({None: steady(202, slow={50: 70.0, 100: 90.0})}), events=[EVENT])
    assert slow == [
        (100, "inference, +85.50 ms", "throttled: GPU at 510 MHz"),
        (50, "inference, +65.50 ms", None),
    ]


def test_what_happened_to_another_camera_is_no_cause(tmp_path: Path) -> None:
    cameras: dict[str | None, list[FrameTimes]] = {"door": steady(202, slow={100: 90.0}), "yard": steady(202)}
    run = Run(cameras)
    assert found(tmp_path, run, events=[{**EVENT, "camera": "yard"}])[0][2] is None
    assert found(tmp_path, run, events=[{**EVENT, "camera": "door"}])[0][2] == "throttled: GPU at 510 MHz"


def test_a_frame_that_waited_behind_a_slow_one_says_so(tmp_path: Path) -> None:
    frames = steady(102, slow={50: 70.0})
    frames[51] = replace(frames[51], queue_ms=64.0)
    assert found(tmp_path, Run({None: frames}))[1] == (
        51,
        "queue, +63.00 ms",
        "waited behind frame 50, which took 70.00 ms of inference",
    )


def test_the_first_frame_after_an_outage_says_so(tmp_path: Path) -> None:
    frames = steady(102)
    later = [replace(each, captured_ms=each.captured_ms + 5000) for each in frames[60:]]
    later[0] = replace(later[0], inference_ms=80.0)
    run = Run({None: [*frames[:60], *later]}, outages=Outages(1, 1, 3, 5_000_000_000))
    assert [cause for _, _, cause in found(tmp_path, run)] == ["lost and back: no frame for 5.0 s before it"]
    still = found(tmp_path, replace(run, outages=Outages()))
    assert [cause for _, _, cause in still] == ["after a pause of the source: no frame for 5.0 s before it"]


def test_the_first_measured_frame_may_still_be_warming_up(tmp_path: Path) -> None:
    slow = found(tmp_path, Run({None: steady(102, slow={2: 50.0})}))
    assert slow[0][2] == "the first measured frame: the warm-up may have been too short"


def test_dropped_frames_are_told_but_not_as_the_cause(tmp_path: Path) -> None:
    run = Run({None: steady(102, slow={50: 70.0})}, sequences=lambda i: i if i < 50 else i + 3, dropped=3)
    assert found(tmp_path, run) == [
        (53, "inference, +65.50 ms", "not known; 3 frames were dropped just before it"),
    ]


def test_of_a_thinned_run_gaps_are_no_cause(tmp_path: Path) -> None:
    run = Run({None: steady(400, slow=dict.fromkeys(range(50, 400, 40), 70.0))}, capacity=200)
    causes = found(tmp_path, run)
    assert len(causes) > 1
    assert all(cause is None for _, _, cause in causes)


def test_durations_are_those_of_the_frames(tmp_path: Path) -> None:
    run = Run({None: [FrameTimes(i * 10.0, 1, 2, 4 + i) for i in range(20)]}, warmup=0)
    (track,) = tracks(read_report(write_run(tmp_path / "r.json", run)))
    assert track.duration_ns(RUN.stage).tolist() == [(7 + i) * MS for i in range(20)]
    assert track.at_s.tolist() == pytest.approx([(i * 10 + 7 + i) / 1e3 for i in range(20)])
