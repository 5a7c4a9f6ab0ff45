"""What reads reports knows the figures of scenarios: comparison, CSV, Prometheus' text and the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from googlenet_edge.cli.compare import SLOWER
from googlenet_edge.cli.main import main
from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.compare import CompareConfig, Comparison, compare_runs
from googlenet_edge.latency.comparison.figures import FPS, SUSTAINED, Figure, batch_rate
from googlenet_edge.latency.comparison.read import Run, read_run
from googlenet_edge.latency.prometheus import prometheus_text
from googlenet_edge.latency.recorder import Samples
from googlenet_edge.latency.report import samples_path, write_document, write_samples
from googlenet_edge.latency.report_csv import report_csv
from googlenet_edge.latency.report_file import read_report
from googlenet_edge.scenarios.camera import CameraConfig, run_camera
from googlenet_edge.scenarios.document import camera_report, offline_report, query_report
from googlenet_edge.scenarios.offline import OfflineConfig, run_offline
from googlenet_edge.scenarios.queries import MULTI_STREAM, SINGLE_STREAM, run_queries
from googlenet_edge.scenarios.rig import WarmUpConfig, warm_up
from googlenet_edge.scenarios.sustained import find_sustained_rate
from tests.scenarios.scripted import MS, Scripted
from tests.scenarios.test_report import QUICK, facts_of

Script = Callable[..., Scripted]
Keep = Callable[[str, Mapping[str, object], Samples], Path]


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Return a function that writes a report, with its samples."""

    def write(name: str, document: Mapping[str, object], samples: Samples) -> Path:
        path = tmp_path / f"{name}.json"
        write_document(path, document)
        write_samples(samples_path(path), samples)
        return path

    return write


@pytest.fixture
def queries(script: Script, keep: Keep) -> Callable[..., Path]:
    """Return a function that does queries which take about so long."""

    def run(name: str, milliseconds: float, config: Any = SINGLE_STREAM, scenario: str = "single-stream") -> Path:
        scripted = script(lambda n, _f: round((milliseconds + n * 7 % 11 / 10) * MS))
        result = run_queries(scripted.rig, replace(config, min_duration_ns=1_000 * MS, min_queries=700))
        return keep(name, query_report(scenario, result, facts_of(scripted)), result.samples)

    return run


@pytest.fixture
def offline(script: Script, keep: Keep) -> Callable[..., Path]:
    """Return a function that measures batch sizes up to 8, of which larger ones than ``best`` take far longer."""

    def run(name: str, best: int, frame_ms: int = 2) -> Path:
        def batch_ns(n: int, frames: int) -> int:
            return (5 + frame_ms * frames + 9 * max(0, frames - best)) * MS + n % 5 * MS // 10

        scripted = script(batch_ns, max_batch=8)
        result = run_offline(scripted.rig, OfflineConfig(min_duration_ns=2_000 * MS), memory=lambda: None)
        assert result.best is not None
        return keep(name, offline_report(result, facts_of(scripted)), result.best.samples)

    return run


@pytest.fixture
def camera(script: Script, keep: Keep) -> Callable[..., Path]:
    """Return a function that takes the frames of a camera."""

    def run(name: str, milliseconds: float) -> Path:
        scripted = script(lambda n, _f: round((milliseconds + n * 7 % 11 / 10) * MS))
        warmed_up = warm_up(scripted.rig, WarmUpConfig())
        result = run_camera(scripted.rig, CameraConfig(fps=50.0, duration_ns=20_000 * MS))
        sustained = find_sustained_rate(scripted.rig, 60.0, CameraConfig(), QUICK)
        return keep(name, camera_report(result, warmed_up, sustained, facts_of(scripted)), result.samples)

    return run


def compared(*paths: Path, config: CompareConfig | None = None) -> Comparison:
    runs: list[Run] = [read_run(path) for path in paths]
    half = len(runs) // 2
    return compare_runs(runs[:half], runs[half:], config or CompareConfig())


def said(comparison: Comparison) -> dict[Figure, tuple[str | None, str | None]]:
    return {one.figure: (one.verdict, one.no_verdict) for one in comparison.figures}


def test_queries_are_compared_by_their_latency_and_the_rate_of_frames(queries: Callable[..., Path]) -> None:
    a, b = queries("a", 10, MULTI_STREAM, "multi-stream"), queries("b", 12, MULTI_STREAM, "multi-stream")
    verdicts = said(compared(a, b))
    assert verdicts[Figure("capture_to_emitted", 99)] == ("slower", None)
    assert verdicts[FPS] == ("slower", None)
    run = read_run(a)
    scenario = run.document.scenario
    assert scenario is not None
    assert run.values[FPS] == run.document.frames_per_second
    assert run.values[FPS] == pytest.approx(8e9 / (10.5 * MS), rel=0.02), "frames, of which a query has eight"
    assert 1e9 / run.samples_ns[FPS].mean() == pytest.approx(run.values[FPS], rel=1e-3)


def test_reports_of_different_scenarios_are_refused(
    queries: Callable[..., Path], camera: Callable[..., Path], offline: Callable[..., Path]
) -> None:
    a, others = queries("a", 10), (camera("b", 5), offline("c", 4))
    for other, name in zip(others, ("camera", "offline"), strict=True):
        with pytest.raises(
            InputError, match=f"is of `bench --scenario {name}` and .* of `bench --scenario single-stream`: their"
        ):
            compared(a, other)


def test_what_is_said_of_queries_names_them_as_the_table_does(
    queries: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (str(queries(name, milliseconds)) for name, milliseconds in (("a", 10), ("b", 12)))
    assert main(["compare", a, b, "--fail-if-slower", "5%"]) == SLOWER
    shown = capsys.readouterr().out
    assert "failed: query latency p50 is slower by at least" in shown
    assert "capture_to_emitted" not in shown


def test_batch_sizes_are_compared_by_their_throughput(offline: Callable[..., Path]) -> None:
    comparison = compared(offline("a", 4), offline("b", 4, frame_ms=3))
    verdicts = said(comparison)
    assert verdicts[batch_rate(4)] == ("slower", None)
    assert verdicts[Figure("capture_to_emitted", 50)] == ("slower", None)
    assert verdicts[batch_rate(2)] == (None, "no raw samples of it")
    assert FPS not in verdicts
    (four,) = (one for one in comparison.figures if one.figure == batch_rate(4))
    assert four.baseline == pytest.approx(4e9 / (13.2 * MS), rel=0.01)
    assert four.figure.name == "frames/s in batches of 4"


def test_another_best_batch_size_leaves_the_rates(offline: Callable[..., Path]) -> None:
    a, b = offline("a", 4), offline("b", 8)
    comparison = compared(a, b)
    assert set(said(comparison)) == {batch_rate(size) for size in (1, 2, 4, 8)}
    assert any("the best were batches of 4 and batches of 8" in warning for warning in comparison.warnings)
    with pytest.raises(InputError, match="none, as their times are of batches of 4 and of batches of 8"):
        compared(a, b, config=CompareConfig(stages=("inference",)))


def test_cameras_are_compared_by_age_and_the_time_between_results(camera: Callable[..., Path]) -> None:
    comparison = compared(camera("a", 10), camera("b", 12))
    verdicts = said(comparison)
    assert verdicts[Figure("capture_to_emitted", 99)] == ("slower", None)
    assert verdicts[Figure("peak_age", 50)] == ("slower", None)
    assert verdicts[Figure("result_interval", 50)][0] in ("no difference shown", "slower", "faster")
    assert verdicts[SUSTAINED] == (None, "one figure a run; give three or more runs a side")
    many = compared(
        *(camera(f"c{i}", 10 + i / 50) for i in range(3)), *(camera(f"d{i}", 14 + i / 50) for i in range(3))
    )
    assert said(many)[SUSTAINED] == ("slower", None)


def test_all_figures_are_in_the_csv(
    queries: Callable[..., Path], camera: Callable[..., Path], offline: Callable[..., Path]
) -> None:
    def lines(path: Path) -> dict[tuple[str, str], tuple[float, str]]:
        rows = csv.DictReader(io.StringIO(report_csv(read_report(path).document)))
        return {(row["stage"], row["statistic"]): (float(row["value"]), row["unit"]) for row in rows}

    path = queries("a", 10)
    scenario: Any = read_report(path).document.scenario
    found = lines(path)
    assert found["single-stream", "latency_ms"] == (scenario.latency_ms, "ms")
    assert found["single-stream", "estimate"] == (scenario.estimate.latency_ms, "ms")
    assert found["single-stream", "frames_per_second"] == (scenario.frames_per_second, "frames/s")
    path = camera("b", 30)
    scenario = read_report(path).document.scenario
    found = lines(path)
    assert found["camera", "missed"] == (scenario.missed, "frames")
    assert found["camera", "sustained"] == (scenario.sustained.fps, "frames/s")
    assert found["peak_age", "p99"] == (scenario.peak_age.p99_ms, "ms")
    path = offline("c", 4)
    scenario = read_report(path).document.scenario
    found = lines(path)
    assert {found[f"batch {one.batch}", "frames_per_second"] for one in scenario.sizes} == {
        (one.frames_per_second, "frames/s") for one in scenario.sizes
    }


def test_all_figures_are_in_the_text_for_prometheus(
    queries: Callable[..., Path], camera: Callable[..., Path], offline: Callable[..., Path]
) -> None:
    parser = pytest.importorskip("prometheus_client.parser")

    def metrics(path: Path) -> dict[str, dict[str, float]]:
        text = prometheus_text(read_report(path).document)
        return {
            family.name.removeprefix("googlenet_edge_"): {
                ",".join(sample.labels.values()): sample.value for sample in family.samples
            }
            for family in parser.text_string_to_metric_families(text)
        }

    path = queries("a", 10, MULTI_STREAM, "multi-stream")
    document = read_report(path).document
    scenario: Any = document.scenario
    found = metrics(path)
    assert found["query_latency_seconds"] == {"0.99": pytest.approx(scenario.latency_ms / 1e3)}
    assert found["query_latency_bound_seconds"] == {"0.99,0.99": pytest.approx(scenario.estimate.latency_ms / 1e3)}
    assert found["frames_per_second"] == {"": pytest.approx(scenario.frames_per_second)}
    assert "multi-stream" in next(iter(found["run_info"]))
    path = camera("b", 30)
    scenario = read_report(path).document.scenario
    found = metrics(path)
    assert found["frames_missed"] == {"": scenario.missed}
    assert found["frames_late"] == {"": scenario.late}
    assert found["deadline_seconds"] == {"": 0.02}
    assert found["sustained_frames_per_second"] == {"": pytest.approx(scenario.sustained.fps)}
    path = offline("c", 4)
    scenario = read_report(path).document.scenario
    found = metrics(path)
    assert found["batch_frames_per_second"] == {str(one.batch): one.frames_per_second for one in scenario.sizes}
    assert found["best_batch_frames"] == {"": 4}
