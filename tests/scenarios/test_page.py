"""The page of a scenario's report in a real browser: what is drawn is what the report says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from googlenet_edge.latency.page import write_page
from googlenet_edge.latency.recorder import Samples
from googlenet_edge.latency.report import samples_path, write_document, write_samples
from googlenet_edge.latency.report_file import read_report
from googlenet_edge.scenarios.camera import CameraConfig, run_camera
from googlenet_edge.scenarios.document import camera_report, offline_report, query_report
from googlenet_edge.scenarios.offline import MemoryNow, OfflineConfig, run_offline
from googlenet_edge.scenarios.queries import MULTI_STREAM, SINGLE_STREAM, QueryConfig, run_queries
from googlenet_edge.scenarios.rig import WarmUpConfig, warm_up
from googlenet_edge.scenarios.sustained import find_sustained_rate
from tests.latency.page.browser import Opened
from tests.scenarios.scripted import MS, Scripted
from tests.scenarios.test_report import QUICK, facts_of

Script = Callable[..., Scripted]
Show = Callable[..., Opened]


@dataclass(frozen=True)
class Shown:
    """A report, and its page in the browser."""

    document: dict[str, Any]
    opened: Opened

    def figure(self, name: str) -> str:
        """Return a figure of the headline as it is shown."""
        return self.opened.page.locator(f"[data-figure={name}]").inner_text()

    @property
    def scenario(self) -> dict[str, Any]:
        """What the report says of its scenario."""
        found: dict[str, Any] = self.document["scenario"]
        return found


@pytest.fixture
def shown(tmp_path: Path, show: Show) -> Callable[[Mapping[str, object], Samples], Shown]:
    """Return a function that writes a report with its samples, makes its page and opens that."""

    def write(document: Mapping[str, object], samples: Samples) -> Shown:
        path = tmp_path / "report.json"
        write_document(path, document)
        write_samples(samples_path(path), samples)
        write_page(tmp_path / "report.html", read_report(path))
        opened = show(tmp_path / "report.html", viewport={"width": 1000, "height": 900})
        assert opened.messages == []
        return Shown(json.loads(path.read_text(encoding="utf-8")), opened)

    return write


@pytest.mark.parametrize(("name", "config"), [("single-stream", SINGLE_STREAM), ("multi-stream", MULTI_STREAM)])
def test_queries_are_shown_with_their_estimate(
    script: Script, shown: Callable[..., Shown], name: str, config: QueryConfig
) -> None:
    scripted = script(lambda n, _f: 70 * MS if n % 20 == 3 else (10 + n % 7) * MS)
    result = run_queries(scripted.rig, config)
    page = shown(query_report(name, result, facts_of(scripted)), result.samples)
    scenario, estimate = page.scenario, page.scenario["estimate"]
    assert float(page.figure("figure")) == pytest.approx(scenario["latency_ms"], abs=0.06)
    assert float(page.figure("estimate")) == pytest.approx(estimate["latency_ms"], abs=0.06)
    assert float(page.figure("rate")) == pytest.approx(scenario["frames_per_second"], abs=0.05)
    drawn = page.opened.value("""() => {
      const svg = document.querySelector("#percentiles svg.wide"), mark = svg.querySelector(".estimate");
      const box = mark.querySelector("path").getBoundingClientRect();
      return [+mark.dataset.percent, valueAt(svg, box.y), valueAt(svg, box.y + box.height)];
    }""")
    assert drawn[0] == scenario["percent"]
    assert drawn[1] == pytest.approx(estimate["latency_ms"], abs=0.6), "a pixel or two, with the line's width"
    assert drawn[2] == pytest.approx(scenario["latency_ms"], abs=0.6)
    text = page.opened.page.inner_text("section[aria-labelledby=scenario-title]")
    assert f"with 99 % confidence the true p{scenario['percent']} is at most" in text
    assert "no MLPerf result: official runs take 600 s or more" in text
    assert f"{page.document['warmup']['frames']} queries in" in text
    assert "query latency" in page.opened.page.inner_text("#percentiles")
    asked = "queries" if name == "single-stream" else "queries of 8 frames"
    assert f"Half of the {asked} were done within" in page.opened.page.inner_text("#percentiles figcaption")
    assert page.opened.page.locator("#timeline rect.warm-up").count() == 0, "its time begins behind the warm-up"


def test_too_few_queries_have_no_estimate_on_the_page(script: Script, shown: Callable[..., Shown]) -> None:
    scripted = script(lambda _n, _f: 100 * MS)
    config = QueryConfig(min_duration_ns=0, max_duration_ns=2_000 * MS)
    result = run_queries(scripted.rig, config)
    page = shown(query_report("single-stream", result, facts_of(scripted)), result.samples)
    assert page.figure("estimate") == "-"
    assert page.opened.page.locator(".estimate").count() == 0
    assert "20 queries, and it takes 64" in page.opened.page.inner_text("section[aria-labelledby=scenario-title]")


def test_the_bars_of_offline_are_as_high_as_the_throughput(script: Script, shown: Callable[..., Shown]) -> None:
    scripted = script(lambda _n, frames: (5 + 2 * frames + max(0, 8 * (frames - 8))) * MS, max_batch=16)
    config = OfflineConfig(min_duration_ns=300 * MS)
    result = run_offline(scripted.rig, config, memory=lambda: MemoryNow(100 << 20, 400 << 20))
    assert result.best is not None
    page = shown(offline_report(result, facts_of(scripted)), result.best.samples)
    bars = page.opened.value("""() => {
      const svg = document.querySelector("#throughput svg.wide");
      return [...svg.querySelectorAll("g.size")].map(mark => {
        const rect = mark.querySelector("rect");
        return [+mark.dataset.batch, rect.getAttribute("class"), valueAt(svg, rect.getBoundingClientRect().y)];
      });
    }""")
    assert [batch for batch, _, _ in bars] == [one["batch"] for one in page.scenario["sizes"]] == [1, 2, 4, 8, 16]
    for (batch, kind, height), said in zip(bars, page.scenario["sizes"], strict=True):
        assert height == pytest.approx(said["frames_per_second"], rel=0.01, abs=1)
        assert (kind == "bar best") == (batch == page.scenario["best_batch"] == 8)
    assert float(page.figure("throughput")) == pytest.approx(page.scenario["frames_per_second"], abs=0.05)
    assert page.figure("batch") == "8"
    assert "Half of the batches of 8 were done within" in page.opened.page.inner_text("#percentiles figcaption")
    assert "batch latency" in page.opened.page.inner_text("#percentiles")


def test_a_camera_is_shown_with_its_misses_and_its_search(script: Script, shown: Callable[..., Shown]) -> None:
    scripted = script(lambda n, _f: 70 * MS if 100 < n < 200 and n % 20 == 3 else 10 * MS)
    warmed_up = warm_up(scripted.rig, WarmUpConfig())
    config = CameraConfig(fps=40.0, duration_ns=5_000 * MS, deadline_ns=30 * MS)
    result = run_camera(scripted.rig, config)
    sustained = find_sustained_rate(scripted.rig, 100.0, CameraConfig(), QUICK)
    page = shown(camera_report(result, warmed_up, sustained, facts_of(scripted)), result.samples)
    scenario = page.scenario
    assert int(page.figure("missed")) == scenario["missed"] > 0
    assert float(page.figure("peak")) == pytest.approx(scenario["peak_age"]["max_ms"], abs=0.06)
    assert float(page.figure("sustained")) == pytest.approx(scenario["sustained"]["fps"], rel=1e-3)
    trials = page.opened.value("""() => {
      const svg = document.querySelector("#trials svg.wide");
      return [...svg.querySelectorAll("circle.trial")].map(mark => {
        const has = name => mark.classList.contains(name);
        return [valueAt(svg, middle(mark)[1]), has("held"), has("confirming")];
      });
    }""")
    said = scenario["sustained"]["trials"]
    assert len(trials) == len(said) > 3
    for (rate, held, confirming), trial in zip(trials, said, strict=True):
        assert rate == pytest.approx(trial["fps"], rel=0.01)
        assert (held, confirming) == (trial["sustained"], trial["confirming"])
    deadline = page.opened.value("""() => {
      const svg = document.querySelector("#timeline svg.wide"), line = svg.querySelector("line.limit");
      return valueAt(svg, line.getBoundingClientRect().y);
    }""")
    assert deadline == pytest.approx(30, abs=0.5)
    assert page.opened.page.locator("#timeline svg.wide path.dropped").count() == 1
    text = page.opened.page.inner_text("section[aria-labelledby=scenario-title]")
    assert f"{scenario['late']} results were out later than 30.00 ms after arrival" in text
    page.opened.page.set_viewport_size({"width": 390, "height": 800})
    assert page.opened.page.evaluate("document.documentElement.scrollWidth") == 390
