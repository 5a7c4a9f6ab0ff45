"""What is written and shown of a scenario is what was measured."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console
from rich.table import Table

from googlenet_edge.latency.comparison.read import read_run
from googlenet_edge.latency.machine import machine_info
from googlenet_edge.latency.report import samples_path, write_document, write_samples
from googlenet_edge.latency.report_file import read_report
from googlenet_edge.latency.report_format import ReportDocument
from googlenet_edge.latency.scenario_table import Shown, scenario_shown
from googlenet_edge.scenarios.camera import CameraConfig, run_camera
from googlenet_edge.scenarios.definitions import ScenarioFacts
from googlenet_edge.scenarios.document import camera_report, offline_report, query_report
from googlenet_edge.scenarios.offline import MemoryNow, OfflineConfig, run_offline
from googlenet_edge.scenarios.queries import MULTI_STREAM, SINGLE_STREAM, run_queries
from googlenet_edge.scenarios.rig import WarmUpConfig, warm_up
from googlenet_edge.scenarios.sustained import SearchConfig, find_sustained_rate
from tests.scenarios.scripted import IMAGES, MS, Scripted

QUICK = SearchConfig(trial_ns=500 * MS, confirm_ns=1_000 * MS, percent=90)


def facts_of(scripted: Scripted) -> ScenarioFacts:
    return ScenarioFacts(
        machine=machine_info(),
        classifier=scripted.classifier.describe(),
        frames="five grey squares",
        frame_count=len(IMAGES),
        contains=scripted.rig.work.contains,
        include_preprocess=True,
        version="1.2.3",
        ended_at="2030-01-01T00:00:00+00:00",
    )


def written(tmp_path: Path, document: Mapping[str, object]) -> dict[str, Any]:
    """Write a report, have it read by the readers of reports, and return what is in the file."""
    path = tmp_path / "report.json"
    write_document(path, document)
    read = read_report(path)
    assert read.document.source.description == "five grey squares"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def shown_of(document: Mapping[str, Any]) -> Shown:
    return scenario_shown(msgspec.convert(document, ReportDocument))


def text_of(shown: Shown) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=200)
    for part in shown:
        console.print(part)
    return stream.getvalue()


def rows_are_explained(shown: Shown) -> bool:
    """Whether each row of the table has its line under it."""
    (table,) = [part for part in shown if isinstance(part, Table)]
    lines = [part for part in shown if isinstance(part, str)]
    names = list(table.columns[0].cells)
    return bool(names) and all(any(line.startswith(f"{name} = ") for line in lines) for name in names)


@pytest.mark.parametrize(("name", "config"), [("single-stream", SINGLE_STREAM), ("multi-stream", MULTI_STREAM)])
def test_queries(script: Callable[..., Scripted], tmp_path: Path, name: str, config: Any) -> None:
    scripted = script(lambda n, _f: 70 * MS if n % 20 == 3 else 10 * MS)
    facts = facts_of(scripted)
    result = run_queries(scripted.rig, replace(config, min_duration_ns=1_000 * MS))
    document = written(tmp_path, query_report(name, result, facts))
    scenario = document["scenario"]
    each = config.samples_per_query
    assert (scenario["name"], scenario["samples_per_query"], scenario["percent"]) == (name, each, config.percent)
    assert result.percentile_ns is not None
    assert result.estimate.value_ns is not None
    assert scenario["latency_ms"] == result.percentile_ns / 1e6
    assert scenario["estimate"]["latency_ms"] == result.estimate.value_ns / 1e6
    assert scenario["estimate"]["confidence"] == 0.99
    assert scenario["estimate"]["discarded"] == result.estimate.discarded
    assert (scenario["minimums_met"], scenario["reliable"]) == (True, True)
    assert scenario["queries"] == result.summary.count == document["frames"]["measured"]
    assert scenario["frames"] == each * result.summary.count
    assert scenario["frames_per_second"] == pytest.approx(each * document["frames"]["fps"], abs=0.01)
    assert document["warmup"]["frames"] == result.warmed_up.warmup.frames
    assert document["run"]["ended"] == "minimums met"
    assert "crop and resize" in document["definitions"]["capture_to_emitted"]
    write_samples(samples_path(tmp_path / "report.json"), result.samples)
    assert read_run(tmp_path / "report.json").lacking is None, "it can be compared with another"
    shown = shown_of(document)
    text = text_of(shown)
    assert f"{name}: p{config.percent} of the query latency {result.percentile_ns / 1e6:.2f} ms" in text
    assert f"with 99 % confidence at most {result.estimate.value_ns / 1e6:.2f} ms" in text
    assert "no MLPerf result" in text
    assert "warm-up, not measured: " in text
    assert rows_are_explained(shown)


def test_too_few_queries_are_marked(script: Callable[..., Scripted], tmp_path: Path) -> None:
    scripted = script(lambda _n, _f: 100 * MS)
    config = replace(SINGLE_STREAM, min_duration_ns=0, max_duration_ns=2_000 * MS)
    result = run_queries(scripted.rig, config)
    document = written(tmp_path, query_report("single-stream", result, facts_of(scripted)))
    scenario = document["scenario"]
    assert (scenario["reliable"], scenario["estimate"]["latency_ms"], scenario["minimums_met"]) == (False, None, False)
    text = text_of(shown_of(document))
    assert "p90 of the query latency 100.00? ms" in text
    assert "no estimate with 99 % confidence: 20 queries, and it takes 64" in text
    assert "? = from too few samples to rely on; at 99 % confidence it takes: p90 64, p95 130, p99 662" in text


def test_a_camera(script: Callable[..., Scripted], tmp_path: Path) -> None:
    scripted = script(lambda n, _f: 70 * MS if 100 < n < 200 and n % 20 == 3 else 10 * MS)
    facts = facts_of(scripted)
    warmed_up = warm_up(scripted.rig, WarmUpConfig())
    config = CameraConfig(fps=40.0, duration_ns=5_000 * MS, deadline_ns=30 * MS)
    result = run_camera(scripted.rig, config)
    sustained = find_sustained_rate(scripted.rig, 100.0, CameraConfig(), QUICK)
    document = written(tmp_path, camera_report(result, warmed_up, sustained, facts))
    scenario = document["scenario"]
    assert result.dropped > 0 < result.late
    counts = (result.offered, result.summary.count, result.dropped, result.late, result.missed)
    assert tuple(scenario[key] for key in ("offered", "results", "dropped", "late", "missed")) == counts
    assert document["frames"]["dropped"] == result.dropped
    assert result.peak_age is not None
    assert scenario["peak_age"]["p50_ms"] == result.peak_age.percentile(50).duration_ns / 1e6
    assert scenario["peak_age"]["count"] == scenario["result_interval"]["count"] == result.summary.count - 1
    assert (scenario["deadline_ms"], scenario["kept_up"]) == (30, False)
    assert sustained.fps is not None
    assert scenario["sustained"]["fps"] == pytest.approx(sustained.fps, abs=0.001)
    assert len(scenario["sustained"]["trials"]) == len(sustained.trials)
    assert scenario["sustained"]["trials"][-1]["confirming"]
    shown = shown_of(document)
    text = text_of(shown)
    percent = 100 * result.missed / result.offered
    assert f"deadline 30 ms: {result.missed} ({percent:.1f} %) missed, {result.late} late and" in text
    assert f"highest sustained rate: {sustained.fps:.4g} frames/s" in text
    assert "sustained = no frame dropped, and the p90 of arrival to result within the deadline" in text
    for word in ("dropped", "late", "missed"):
        assert f"\n{word} = " in text
    assert rows_are_explained(shown)
    unsearched = camera_report(result, warmed_up, None, facts)["scenario"]
    assert isinstance(unsearched, dict)
    assert unsearched["sustained"] is None


def test_a_camera_that_nothing_is_sustained_of(script: Callable[..., Scripted], tmp_path: Path) -> None:
    scripted = script(lambda n, _f: (10 + n) * MS)
    warmed_up = warm_up(scripted.rig, WarmUpConfig())
    result = run_camera(scripted.rig, CameraConfig())
    sustained = find_sustained_rate(scripted.rig, 50.0, CameraConfig(), replace(QUICK, lowest_fps=40.0))
    document = written(tmp_path, camera_report(result, warmed_up, sustained, facts_of(scripted)))
    assert document["scenario"]["sustained"]["fps"] is None
    text = text_of(shown_of(document))
    assert "highest sustained rate: none (not even 40 frames/s)" in text


def test_offline(script: Callable[..., Scripted], tmp_path: Path) -> None:
    scripted = script(lambda _n, frames: (5 + 2 * frames + max(0, 8 * (frames - 8))) * MS, max_batch=16)
    facts = facts_of(scripted)
    used = iter(range(100 << 20, 1 << 40, 50 << 20))
    config = OfflineConfig(min_duration_ns=300 * MS)
    result = run_offline(scripted.rig, config, memory=lambda: MemoryNow(next(used), 400 << 20))
    document = written(tmp_path, offline_report(result, facts))
    scenario = document["scenario"]
    assert scenario["best_batch"] == 8
    assert scenario["frames_per_second"] == pytest.approx(8e3 / 21, abs=0.001)
    assert [one["batch"] for one in scenario["sizes"]] == [1, 2, 4, 8, 16]
    assert scenario["sizes"][3]["stages"]["capture_to_emitted"]["p50_ms"] == 21
    assert document["latency"]["stages"]["capture_to_emitted"]["p50_ms"] == 21, "the report's own is the best size's"
    assert scenario["sizes"][1]["memory_mib"] > scenario["sizes"][0]["memory_mib"]
    text = text_of(shown_of(document))
    assert f"offline: {8e3 / 21:.1f} frames/s with 8 at a time" in text
    assert "8 best" in text
    assert "frames/s = frames / (last result out - first batch begun)" in text


def test_what_was_left_out_is_told(script: Callable[..., Scripted], tmp_path: Path) -> None:
    scripted: Scripted = script(lambda _n, frames: scripted.stopping(MS) if frames == 4 else frames * MS)
    result = run_offline(scripted.rig, OfflineConfig(min_duration_ns=0), memory=lambda: None)
    facts = facts_of(scripted)
    document = written(tmp_path, offline_report(result, facts))
    assert document["scenario"]["left_out"][0] == {"batch": 4, "reason": "stopped"}
    assert document["scenario"]["sizes"][0]["memory_mib"] is None
    assert "batch size 32 left out: stopped" in text_of(shown_of(document))


@pytest.mark.parametrize("scenario", ["queries", "camera", "offline"])
def test_what_was_stopped_at_once_is_a_report_without_figures(
    script: Callable[..., Scripted], tmp_path: Path, scenario: str
) -> None:
    scripted: Scripted = script(lambda _n, _f: scripted.stopping(MS))
    facts = facts_of(scripted)
    if scenario == "queries":
        queries = run_queries(scripted.rig, SINGLE_STREAM)
        document = query_report("single-stream", queries, facts)
    elif scenario == "camera":
        warmed_up = warm_up(scripted.rig, WarmUpConfig())
        camera = run_camera(scripted.rig, CameraConfig())
        document = camera_report(camera, warmed_up, None, facts)
    else:
        offline = run_offline(scripted.rig, OfflineConfig())
        document = offline_report(offline, facts)
    content = written(tmp_path, document)
    assert (content["frames"]["measured"], content["latency"]["stages"]) == (0, {})
    assert content["run"]["ended"] == "stopped"
    what = "a batch size was measured to its end" if scenario == "offline" else "anything was measured"
    assert f"stopped before {what}" in text_of(shown_of(content))
