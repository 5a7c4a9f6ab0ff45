from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.capture.source import open_source
from googlenet_edge.errors import BackendError
from googlenet_edge.runtime.backend import Backend
from tools import bench_loop
from tools.loopbench import sections
from tools.loopbench.camera import FPS, Camera
from tools.loopbench.clip import NUMBERS, SIZE_PX, make_clip, numbered_jpegs, read_number
from tools.loopbench.figures import Promise, Spread, percentile, ratios
from tools.loopbench.job import Job, JobError, run_job
from tools.loopbench.marks import Marks
from tools.loopbench.sides import SIDES
from tools.loopbench.standin import TimedBackend

CROP = np.zeros((1, 224, 224, 3), np.uint8)


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    return numbered_jpegs()


def test_a_measurement_from_beginning_to_end(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--bundle", str(tiny_bundle), "--folder", str(tmp_path / "clips"), "--rounds", "1", "--peers"]
    assert (
        bench_loop.main([*arguments, "--seconds", "0.2", "--warmup", "2", "--device-ms", "8", "--only", "device"]) == 0
    )
    printed = capsys.readouterr().out
    for said in ("inference alone", "our loop", "plain loop", "the stand-in's sleeps", "our rate / inference alone: "):
        assert said in printed
    assert [path.name for path in (tmp_path / "clips").iterdir()] == ["clip-27.mp4"]


def test_the_other_comparisons(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "run_job", lambda job: SIDES[job.side](job))  # in this process: quicker
    arguments = ["--bundle", str(tiny_bundle), "--folder", str(tmp_path), "--rounds", "1", "--peers"]
    assert bench_loop.main([*arguments, "--seconds", "0.05", "--warmup", "1", "--only", "cpu", "overhead"]) == 0
    printed = capsys.readouterr().out
    for said in ("ONNX Runtime: our rate / what the processor time", "/ plain loop: ", "in the loop, on top of that"):
        assert said in printed


def test_a_promise_that_is_missed_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    promises = [Promise("rate", Spread((0.94, 0.96, 0.95)), at_least=0.95), Promise("age", Spread((9.0,)), at_most=8)]
    monkeypatch.setattr(bench_loop, "measure", lambda _: promises)
    assert bench_loop.main(["--bundle", "b", "--check"]) == 1
    printed = capsys.readouterr().out
    assert "kept    rate: 0.950 (0.940 to 0.960), at least 0.95" in printed
    assert "MISSED  age: 9.0 (9.0 to 9.0), at most 8.0" in printed
    assert bench_loop.main(["--bundle", "b"]) == 0
    promises.pop()
    assert bench_loop.main(["--bundle", "b", "--check"]) == 0


def test_what_cannot_be_measured_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_loop.main(["--bundle", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    job = Job("plain", str(tmp_path / "none"), str(tmp_path / "none.mp4"), str(tmp_path / "lines"))
    with pytest.raises(JobError, match=r"(?s)plain: the process ended with exit code 1: .*BundleError.*none"):
        run_job(job)


def test_ratios_percentiles_and_spreads() -> None:
    assert ratios([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]).text() == "2.00 (1.00 to 3.00)"
    assert [percentile([3.0, 1.0, 2.0, 4.0], percent) for percent in (0, 50, 75, 99)] == [1.0, 2.0, 3.0, 4.0]


def test_marks_are_means_between_the_first_and_the_last_measured_frame() -> None:
    marks = Marks(warmup=2, frames=2)
    for _ in range(3):
        marks.mark()
    with pytest.raises(RuntimeError, match="got 3 results, expected 4"):
        marks.run()
    began = time.monotonic()
    while time.monotonic() - began < 0.02:  # processor time, not sleep
        pass
    marks.mark()
    assert marks.full
    assert marks.run().wall_ms >= 10


def test_the_clip_is_720p_and_made_once(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, 5)
    made_ns = clip.stat().st_mtime_ns
    assert make_clip(tmp_path, 5).stat().st_mtime_ns == made_ns
    with open_source(clip) as source:
        assert [frame.image.shape for frame in source] == [(SIZE_PX[1], SIZE_PX[0], 3)] * 5


def test_the_numbers_in_the_pictures_survive_jpeg(jpegs: list[bytes]) -> None:
    assert len(jpegs) == NUMBERS
    for number in (0, 1, 85, 170, 255):
        picture = cv2.imdecode(np.frombuffer(jpegs[number], np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert read_number(picture.astype(np.uint8)) == number
    with pytest.raises(ValueError, match="has no number"):
        read_number(np.zeros((720, 1280, 3), np.uint8))


def test_the_stand_in_keeps_its_timetable(tiny_bundle: Path) -> None:
    backend = TimedBackend(Bundle.open(tiny_bundle), device_ms=5)
    typed: Backend = backend
    first, second = typed.submit(CROP), typed.submit(CROP)
    with pytest.raises(BackendError, match="while 2 are under way"):
        typed.submit(CROP)
    assert [ticket.result()[1].shape for ticket in (first, second)] == [(1, 5), (1, 5)]
    assert first.ready_ns is not None
    assert second.ready_ns == first.ready_ns + 5_000_000  # back to back, however late the sleeps ended
    assert time.monotonic_ns() >= second.ready_ns


def test_the_stand_in_gives_back_what_has_not_begun(tiny_bundle: Path) -> None:
    backend = TimedBackend(Bundle.open(tiny_bundle), device_ms=200)
    first, second = backend.submit(CROP), backend.submit(CROP, hold=True)
    assert not first.withdraw()
    assert second.withdraw()
    with pytest.raises(BackendError, match="withdrawn"):
        second.result()
    assert not first.done()
    third = backend.submit(CROP)  # the slot is free
    assert third.begin_ns == first.end_ns


def test_ages_are_counted_from_the_cameras_own_times(tiny_bundle: Path, tmp_path: Path, jpegs: list[bytes]) -> None:
    before = threading.active_count()
    with Camera(jpegs) as camera:
        job = Job("live_ours", str(tiny_bundle), camera.url, str(tmp_path / "lines"), device_ms=5, seconds=1.0)
        emitted = SIDES["live_ours"](job).emitted
        ages_ms = [camera.age_ms(*each) for each in emitted]
        numbers = [number for number, _ in emitted]
    assert len(numbers) >= 5
    steps = [(after - number) % NUMBERS for number, after in pairwise(numbers)]
    assert min(steps) >= 1  # in order, none twice
    assert sum(steps) < 10 * FPS
    assert min(ages_ms) >= 5  # none is younger than its inference is long
    assert max(ages_ms) < 5000
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == before
