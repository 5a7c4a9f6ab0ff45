"""``run`` with several sources, and what they have in the results and the report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.cli import run as run_verb
from googlenet_edge.errors import SourceError, UsageError

COLORS = {"red": (0, 0, 200), "green": (0, 200, 0)}


@pytest.fixture
def videos(tmp_path: Path) -> dict[str, Path]:
    """A video of 30 frames of each colour."""
    found = {}
    for name, color in COLORS.items():
        found[name] = tmp_path / f"{name}.avi"
        writer = cv2.VideoWriter(str(found[name]), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
        for _ in range(30):
            writer.write(np.full((120, 160, 3), color, np.uint8))
        writer.release()
    return found


@pytest.fixture
def run() -> Callable[..., int]:
    """Return a function that parses arguments and runs the verb in this process."""

    def call(*arguments: object) -> int:
        parser = argparse.ArgumentParser()
        run_verb.configure(parser)
        return run_verb.run(parser.parse_args([str(argument) for argument in arguments]))

    return call


def test_results_and_report_tell_the_cameras_apart(
    run: Callable[..., int],
    tiny_bundle: Path,
    videos: dict[str, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    code = run(
        tiny_bundle, f"door={videos['red']}", videos["green"], "--threads", 1, "--warmup", 2,
        "--jsonl", out / "r.jsonl", "--video", out / "v.avi", "--report", out / "report.json", "--samples",
        "--batch-wait", 5,
    )  # fmt: skip
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "r.jsonl", "report-samples-camera2.csv", "report-samples-door.csv", "report.json",
        "v-camera2.avi", "v-door.avi",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (out / "r.jsonl").read_text().splitlines()]
    for camera, label in (("door", "red"), ("camera2", "green")):
        of_camera = [line for line in lines if line["camera"] == camera]
        assert [line["sequence"] for line in of_camera] == list(range(30))
        assert {line["label"] for line in of_camera} == {label}

    report = json.loads((out / "report.json").read_text())
    assert [(camera["name"], camera["frames"], camera["measured"]) for camera in report["cameras"]] == [
        ("door", 30, 28),
        ("camera2", 30, 28),
    ]
    assert report["cameras"][0]["description"].endswith("red.avi")
    assert report["cameras"][0]["outages"] == {"lost": 0, "reconnected": 0, "attempts": 0, "down_s": 0}
    assert set(report["cameras"][0]["stages"]) == set(report["latency"]["stages"])
    assert report["fairness"]["jain_index"] == 1.0
    assert report["run"]["frames"] == 60
    assert sum(int(size) * count for size, count in report["run"]["batches"].items()) == 60
    assert len((out / "report-samples-door.csv").read_text().splitlines()) == 29

    printed = capfd.readouterr().out
    assert "end of stream after 60 frames" in printed
    assert "fairness 1.000" in printed
    assert any(line.startswith("door ") and " 30 " in line for line in printed.splitlines())


def test_a_camera_that_is_lost_ends_alone_and_is_named_at_the_end(
    run: Callable[..., int],
    tiny_bundle: Path,
    videos: dict[str, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = videos["red"].read_bytes()
    videos["red"].write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=r"door: .*truncated"):
        run(
            tiny_bundle, f"door={videos['red']}", f"yard={videos['green']}", "--threads", 1, "--warmup", 0,
            "--report", tmp_path / "r.json",
        )  # fmt: skip
    report = json.loads((tmp_path / "r.json").read_text())
    door, yard = report["cameras"]
    assert (door["ended"], yard["ended"]) == ("source lost", "end of stream")
    assert (yard["frames"], yard["error"]) == (30, None)
    assert "truncated" in door["error"]
    assert "truncated" in report["run"]["error"]
    assert "door ended: source lost" in capfd.readouterr().out


def test_one_source_with_a_name_has_it_in_the_results(
    run: Callable[..., int], tiny_bundle: Path, videos: dict[str, Path], tmp_path: Path
) -> None:
    assert run(tiny_bundle, f"door={videos['red']}", "--threads", 1, "--jsonl", tmp_path / "r", "--frames", 3) == 0
    assert [json.loads(line)["camera"] for line in (tmp_path / "r").read_text().splitlines()] == ["door"] * 3


def test_the_report_of_one_source_has_it_as_its_one_camera(
    run: Callable[..., int], tiny_bundle: Path, videos: dict[str, Path], tmp_path: Path
) -> None:
    run(
        tiny_bundle, videos["red"], "--threads", 1, "--smoothing", 200, "--min-probability", 0.9, "--reconnect",
        "forever", "--report", tmp_path / "r.json", "--quiet",
    )  # fmt: skip
    report = json.loads((tmp_path / "r.json").read_text())
    assert [camera["name"] for camera in report["cameras"]] == [None]
    assert report["fairness"] is None
    assert report["run"]["smoothing_ms"] == 200
    assert report["run"]["min_probability"] == 0.9
    assert report["run"]["reconnect_attempts"] == "forever"
    assert (report["run"]["delivery"], report["run"]["on_output_error"], report["sinks"]) == ("auto", "stop", [])
    age = report["cameras"][0]["frame_age_ms"]
    assert 0 < age["p50"] <= age["p99"] <= age["max"]


def test_unsure_results_are_no_labels(
    run: Callable[..., int], tiny_bundle: Path, videos: dict[str, Path], tmp_path: Path
) -> None:
    run(tiny_bundle, videos["red"], "--threads", 1, "--min-probability", 1, "--jsonl", tmp_path / "r", "--frames", 2)
    lines = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert [(line["label"], line["top"][0]["label"]) for line in lines] == [(None, "red")] * 2


def test_newest_frame_is_forced_on_files_and_every_frame_on_live_ones(
    run: Callable[..., int], tiny_bundle: Path, videos: dict[str, Path], tmp_path: Path
) -> None:
    run(tiny_bundle, videos["red"], "--threads", 1, "--newest-frame", "--report", tmp_path / "r.json", "--quiet")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["run"]["delivery"] == "newest"
    assert report["run"]["frames"] + report["cameras"][0]["dropped"] + report["cameras"][0]["unfinished"] == 30
    run(
        tiny_bundle, videos["red"], "--threads", 1, "--every-frame", "--fps", "native", "--quiet", "--report",
        tmp_path / "r.json",
    )  # fmt: skip
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["cameras"][0]["live"], report["run"]["frames"]) == (True, 30)


def test_outputs_that_cannot_be_written_are_dropped_and_told(
    run: Callable[..., int],
    tiny_bundle: Path,
    videos: dict[str, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = run(
        tiny_bundle, videos["red"], "--threads", 1, "--jsonl", "/dev/full", "--on-output-error", "drop", "--report",
        tmp_path / "r.json",
    )  # fmt: skip
    assert code == 0
    sinks = {sink["sink"]: sink for sink in json.loads((tmp_path / "r.json").read_text())["sinks"]}
    assert (sinks["jsonl"]["dropped"], sinks["jsonl"]["failures"], sinks["terminal"]["dropped"]) == (30, 1, 0)
    assert "No space left" in sinks["jsonl"]["last_error"]
    assert "jsonl: failed once, 30 results dropped" in capfd.readouterr().out


def test_results_are_added_to_what_is_there(
    run: Callable[..., int], tiny_bundle: Path, videos: dict[str, Path], tmp_path: Path
) -> None:
    for _ in range(2):
        run(tiny_bundle, videos["red"], "--threads", 1, "--frames", 4, "--jsonl", tmp_path / "r", "--append", "--quiet")
    assert len((tmp_path / "r").read_text().splitlines()) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--append"], "neither --jsonl nor --events"),
        (["door=demo:", "door=demo:"], "twice"),
        (["--video", "a.mp4", "--report", "a-camera2.mp4"], "which is also --video"),
        (["--jsonl", "red.avi"], "which is the source"),
    ],
)
def test_what_does_not_fit_together_is_wrong_usage(
    run: Callable[..., int],
    tiny_bundle: Path,
    videos: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(videos["red"].parent)
    sources = [] if arguments[0].startswith("door") else ["red.avi", "green.avi"]
    with pytest.raises(UsageError, match=message):
        run(tiny_bundle, *sources, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--every-frame", "--newest-frame"],
        ["--reconnect", "-1"],
        ["--reconnect", "always"],
        ["--buffers", "1"],
        ["--transport", "sctp"],
        ["--latency", "-1"],
        ["--batch-wait", "2000"],
        ["--smoothing", "0"],
        ["--min-probability", "1.5"],
        ["--on-output-error", "ignore"],
        ["--fps", "slow"],
    ],
)
def test_wrong_words_are_wrong_usage(run: Callable[..., int], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("bundle", "demo:", *arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("rate", [[], ["--fps", "native", "--every-frame"]])
def test_each_camera_has_a_video_at_its_own_rate(
    run: Callable[..., int], tiny_bundle: Path, videos: dict[str, Path], tmp_path: Path, rate: list[str]
) -> None:
    slow = tmp_path / "slow.avi"
    writer = cv2.VideoWriter(str(slow), cv2.VideoWriter.fourcc(*"MJPG"), 12, (160, 120))
    for _ in range(6):
        writer.write(np.full((120, 160, 3), COLORS["red"], np.uint8))
    writer.release()
    sources = [f"fast={videos['green']}", f"slow={slow}"]
    assert run(tiny_bundle, *sources, "--threads", 1, "--quiet", "--video", tmp_path / "v.avi", *rate) == 0
    rates = [cv2.VideoCapture(str(tmp_path / f"v-{name}.avi")).get(cv2.CAP_PROP_FPS) for name in ("fast", "slow")]
    assert rates == [25, 12]


def test_an_option_goes_to_the_sources_that_have_it_and_the_start_says_so(
    run: Callable[..., int], tiny_bundle: Path, videos: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"clip={videos['red']}", "scene=demo:", "--size", "160x120", "--threads", 1, "--frames", 6]
    assert run(tiny_bundle, *arguments) == 0
    out = capfd.readouterr().out
    assert "--size applies to scene; not to clip" in out
    assert "scene = demo: moving camera, seed 0, 160x120" in out
    with pytest.raises(UsageError, match="--size: does not apply to video files; leave it out"):
        run(tiny_bundle, videos["red"], "--size", "160x120")


def test_no_figure_is_cut_off_at_the_edge_of_a_narrow_terminal(
    run: Callable[..., int],
    tiny_bundle: Path,
    videos: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "the-door-beside-the-loading-bay-of-hall-7"
    assert run(tiny_bundle, f"{name}={videos['red']}", videos["green"], "--threads", 1, "--warmup", 2) == 0
    out = capfd.readouterr().out
    assert "…" not in out
    assert any(line.split()[:2] == [name, "30"] for line in out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["@cameras", "--jsonl", "cameras"], "--jsonl: got cameras, which is what names the sources"),
        (["@cameras", "--report", "cameras"], "--report: got cameras, which is what names the sources"),
        (["stills", "--report", "stills/a.png"], "--report: got stills/a.png, which is a picture"),
        (["stills/*.png", "--jsonl", "stills/a.png"], "--jsonl: got stills/a.png, which is a picture"),
    ],
)
def test_no_output_replaces_what_the_run_reads(
    run: Callable[..., int],
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cameras").write_text("a=stills\nb=demo:\n")
    Path("stills").mkdir()
    cv2.imwrite("stills/a.png", np.zeros((64, 64, 3), np.uint8))
    before = Path("cameras").read_bytes(), Path("stills/a.png").read_bytes()
    with pytest.raises(UsageError, match=message):
        run(tiny_bundle, *arguments)
    assert before == (Path("cameras").read_bytes(), Path("stills/a.png").read_bytes())
