from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from googlenet_edge.errors import InputError, OutputError
from googlenet_edge.latency.comparison.read import read_run
from googlenet_edge.latency.machine import machine_info
from googlenet_edge.latency.recorder import LatencyRecorder
from googlenet_edge.latency.recover import Recovered, recover, write_recovered
from googlenet_edge.latency.report import RunFacts, report_document
from googlenet_edge.latency.report_file import CameraSamples, read_report, report_from
from googlenet_edge.latency.sample_file import in_use, is_raw, set_aside
from googlenet_edge.latency.sample_format import columns_named
from googlenet_edge.latency.sample_store import SampleStore, SampleStoreConfig
from googlenet_edge.latency.summary import NOTHING_MEASURED, LatencySummary, WarmUp
from googlenet_edge.latency.trace_store import RunAbout, TraceStore
from googlenet_edge.types import FrameTrace

MS = 1_000_000
START_NS = 990 * MS
TraceMaker = Callable[..., FrameTrace]


def about(*names: str | None) -> RunAbout:
    facts = RunFacts(
        machine=machine_info(),
        source={"description": "demo:", "live": False, "dropped": 0, "skipped": 0},
        captured="when it was rendered",
        run={"version": "1.0", "warmup_frames": 3},
    )
    cameras = [{"name": name, "description": f"{name}:", "live": False, "captured": "when"} for name in names]
    return RunAbout(report_document(NOTHING_MEASURED, facts), tuple(cameras), camera=names[0] if names else None)


def kept(
    path: Path, traces: Sequence[FrameTrace], told: RunAbout, *, warmup: int = 0, chunk: int = 256
) -> tuple[LatencySummary, LatencyRecorder]:
    """Record as a run does, in memory and on disk; return what the run itself would have reported."""
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=warmup)
    with TraceStore(path, told, config=SampleStoreConfig(chunk_samples=chunk)) as store:
        store.begin(START_NS)
        for trace in traces:
            store.keep(trace, warmup=recorder.in_warmup)
            recorder.record(trace)
    return recorder.summarize(), recorder


def cut_off(path: Path) -> None:
    """Take the end of the file away, as if its process had been killed before it was closed."""
    path.write_bytes(path.read_bytes()[:-40])


def stages(document: Recovered) -> dict[str, object]:
    latency = document.document["latency"]
    assert isinstance(latency, dict)
    found: dict[str, object] = latency["stages"]
    return found


def test_the_report_is_the_one_that_the_run_would_have_written(tmp_path: Path, make_trace: TraceMaker) -> None:
    path = tmp_path / "r-samples.raw"
    numbers = [0, 1, 3, 4, 7, 8, 9]  # 2, 5 and 6 were dropped, 2 of them in the warm-up
    devices: list[tuple[tuple[str, int], ...]] = [(), (), (("h2d", 5),), (("h2d", 6), ("compute", 90)), (), (), ()]
    traces = [make_trace(i, inference_ms=2 + i, device=device) for i, device in zip(numbers, devices, strict=True)]
    traces[3:6] = [structs.replace(trace, postprocess_ns=7 + trace.sequence) for trace in traces[3:6]]
    summary, recorder = kept(path, traces, about(None), warmup=3)
    assert summary.stage("postprocess").count == 3
    cut_off(path)

    found = recover(path)
    summary = replace(summary, dropped=3, dropped_in_warmup=1)
    wanted = report_document(summary, RunFacts(machine=machine_info(), source={}, captured=""))
    for key in ("frames", "warmup", "latency"):
        assert found.document[key] == wanted[key], key
    [(name, samples)] = found.samples
    assert name is None
    assert samples.columns == recorder.samples().columns
    assert samples.rows.tolist() == recorder.samples().rows.tolist()
    assert samples.complete
    run = found.document["run"]
    assert isinstance(run, dict)
    assert (run["ended"], run["frames"], run["version"]) == ("killed", 7, "1.0")
    assert "did not live" in run["error"]
    assert any("was not closed" in note for note in found.notes)


def test_it_can_be_written_and_is_read_and_compared_like_any_other(tmp_path: Path, make_trace: TraceMaker) -> None:
    path = tmp_path / "r-samples.raw"
    kept(path, [make_trace(i) for i in range(50)], about(None), warmup=5)
    cut_off(path)
    found = recover(path)
    write_recovered(found, tmp_path / "r.json")
    report = read_report(tmp_path / "r.json")
    assert report.document.run.ended == "killed"
    assert report.complete
    assert [camera.frames for camera in report.document.cameras] == [50]
    assert read_run(tmp_path / "r.json").lacking is None
    shown = report_from(path, found.document, tuple(CameraSamples(*each) for each in found.samples))
    assert shown.document == report.document


def test_all_cameras_of_the_run_are_in_one_report(tmp_path: Path, make_trace: TraceMaker) -> None:
    told = about("front", "back")
    front, back = ([make_trace(i, inference_ms=ms) for i in range(20)] for ms in (2, 50))
    files = [tmp_path / f"r-samples-{name}.raw" for name in ("front", "back")]
    overall = LatencyRecorder(started_ns=START_NS)
    for file, name, traces in zip(files, ("front", "back"), (front, back), strict=True):
        kept(file, traces, replace(told, camera=name), warmup=2)
    numbered = [(i, trace) for traces in (front, back) for i, trace in enumerate(traces)]
    for number, trace in sorted(numbered, key=lambda each: each[1].emitted_ns or 0):
        overall.record(trace, warmup=number < 2)
    for file in files:
        found = recover(file)
        wanted = report_document(overall.summarize(), RunFacts(machine=machine_info(), source={}, captured=""))
        assert found.document["latency"] == wanted["latency"]
        cameras = found.document["cameras"]
        assert isinstance(cameras, list)
        assert [(camera["name"], camera["frames"]) for camera in cameras] == [("front", 20), ("back", 20)]
        fair = found.document["fairness"]
        assert isinstance(fair, dict)
        assert fair["jain_index"] == 1
    write_recovered(recover(files[0]), tmp_path / "r.json")
    assert [each.camera for each in read_report(tmp_path / "r.json").samples] == ["front", "back"]


def test_a_camera_whose_file_is_gone_or_of_another_run_is_said_to_be_lacking(
    tmp_path: Path, make_trace: TraceMaker
) -> None:
    told, other = about("front", "back"), about("front", "back")
    front, back = (tmp_path / f"r-samples-{name}.raw" for name in ("front", "back"))
    kept(front, [make_trace(i) for i in range(20)], told)
    for left in (False, True):
        if left:
            kept(back, [make_trace(i) for i in range(7)], replace(other, camera="back"))
        found = recover(front)
        assert [name for name, _ in found.samples] == ["front"]
        assert any("raw samples of back are not beside it" in note for note in found.notes)


def test_samples_that_were_damaged_are_not_counted_as_dropped_frames(tmp_path: Path, make_trace: TraceMaker) -> None:
    path = tmp_path / "r-samples.raw"
    kept(path, [make_trace(i) for i in range(30)], about(None), chunk=10)
    data = bytearray(path.read_bytes())
    second = [at for at in range(len(data)) if data[at : at + 8] == b"\x93recROWS"][1]
    data[second + 60] ^= 1
    path.write_bytes(data)
    found = recover(path)
    frames = found.document["frames"]
    assert isinstance(frames, dict)
    assert (frames["measured"], frames["dropped"]) == (20, 0)
    assert any("10 samples lost" in note for note in found.notes)


def test_the_warm_up_of_a_benchmark_comes_from_its_start(tmp_path: Path, make_trace: TraceMaker) -> None:
    path = tmp_path / "r-samples.raw"
    kept(path, [make_trace(i) for i in range(9)], replace(about(), warmup=WarmUp(40, 900 * MS, 30 * MS)))
    found = recover(path)
    assert found.document["warmup"] == {"frames": 40, "duration_ms": 900.0, "first_frame_ms": 30.0}
    run = found.document["run"]
    assert isinstance(run, dict)
    assert (run["frames"], run["ended"]) == (49, "without a report")
    assert found.document["cameras"] == []


def test_a_run_without_a_frame_has_a_report_without_one(tmp_path: Path) -> None:
    path = tmp_path / "r-samples.raw"
    kept(path, [], about(None))
    found = recover(path)
    assert stages(found) == {}
    assert report_from(path, found.document, ()).document.frames.measured == 0


def test_a_run_that_goes_on_can_be_looked_at(tmp_path: Path, make_trace: TraceMaker) -> None:
    path = tmp_path / "r-samples.raw"
    with TraceStore(path, about(None)) as store:
        store.begin(START_NS)
        store.keep(make_trace(0))
        store.flush()
        assert in_use(path)
        run = recover(path).document["run"]
        assert isinstance(run, dict)
        assert (run["ended"], run["error"], run["frames"]) == ("still going on", None, 1)
    assert not in_use(path)


def test_where_a_report_is_wanted_raw_samples_are_told_by_what_they_are(tmp_path: Path) -> None:
    with SampleStore(tmp_path / "r-samples.raw", columns_named(["a"])) as store:
        store.append([1])
    with pytest.raises(InputError, match=r"got the raw samples that a run left.* --json REPORT.json. makes one"):
        read_report(tmp_path / "r-samples.raw")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with SampleStore(tmp_path / "other.raw", columns_named(["a"]), about=about().to_json()) as store:
        store.append([1])
    with SampleStore(tmp_path / "nothing.raw", columns_named(["a"])) as store:
        store.append([1])
    for name in ("other.raw", "nothing.raw"):
        with pytest.raises(InputError, match=r"got other than a run's frames, expected what a run has left"):
            recover(tmp_path / name)
    (tmp_path / "text").write_text(json.dumps({"a": 1}))
    assert not is_raw(tmp_path / "text")
    assert not is_raw(tmp_path / "is not there")
    with pytest.raises(InputError, match="another kind of file"):
        recover(tmp_path / "text")


def test_what_a_killed_run_has_left_is_set_aside_once(tmp_path: Path, make_trace: TraceMaker) -> None:
    path, aside = tmp_path / "r-samples.raw", tmp_path / "r-samples-killed.raw"
    assert set_aside(path) is None
    kept(path, [], about(None))
    assert set_aside(path) is None, "there is nothing in it"
    for count in (3, 5):
        kept(path, [make_trace(i) for i in range(count)], about(None))
        assert set_aside(path) == aside
        assert not path.exists()
        assert len(recover(aside).samples[0][1].rows) == count
    path.write_text("something else")
    assert set_aside(path) is None
    with TraceStore(path, about(None)) as store:
        store.begin(START_NS)
        store.keep(make_trace(0))
        store.flush()
        assert set_aside(path) is None, "its run goes on"


def test_cameras_that_were_set_aside_are_still_found(tmp_path: Path, make_trace: TraceMaker) -> None:
    told = about("a", "b")
    for name in ("a", "b"):
        path = tmp_path / f"r-samples-{name}.raw"
        kept(path, [make_trace(i) for i in range(4)], replace(told, camera=name))
        set_aside(path)
    found = recover(tmp_path / "r-samples-b-killed.raw")
    assert [name for name, _ in found.samples] == ["a", "b"]
    assert found.notes == ()


def test_a_frame_before_the_run_begins_is_refused(tmp_path: Path, make_trace: TraceMaker) -> None:
    with TraceStore(tmp_path / "raw", about(None)) as store, pytest.raises(InputError, match="before begin"):
        store.keep(make_trace(0))


@pytest.mark.parametrize("tolerant", [True, False])
def test_a_disk_that_gets_full_is_one_warning_or_one_error(
    tmp_path: Path,
    make_trace: TraceMaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tolerant: bool,
) -> None:
    def no_room(*_: object) -> int:
        raise OSError(28, "No space left on device")

    store = TraceStore(tmp_path / "raw", about(None), tolerant=tolerant, config=SampleStoreConfig(chunk_samples=2))
    errors = []
    with store, caplog.at_level(logging.WARNING):
        store.begin(START_NS)
        store.keep(make_trace(0))
        store.keep(make_trace(1))
        monkeypatch.setattr("os.pwrite", no_room)
        for i in range(2, 20):
            try:
                store.keep(make_trace(i, device=(("compute", 5),) if i > 9 else ()))
            except OutputError as error:
                errors.append(str(error))
    assert len(errors) == (0 if tolerant else 1)
    assert all("No space left on device" in error for error in errors)
    assert len(caplog.records) == (1 if tolerant else 0)
    assert len(recover(tmp_path / "raw").samples[0][1].rows) == 2


def test_discarding_removes_the_file_and_may_come_after_a_failure(tmp_path: Path, make_trace: TraceMaker) -> None:
    store = TraceStore(tmp_path / "raw", about(None))
    store.begin(START_NS)
    store.keep(make_trace(0))
    assert store.kept == 1
    store.discard()
    assert not (tmp_path / "raw").exists()
    store.discard()
