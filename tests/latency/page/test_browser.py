"""The page in a real browser: what is drawn is what the report says, and nothing leaves the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from googlenet_edge.latency.page import write_page
from googlenet_edge.latency.page.outliers import fence_ns, tracks
from googlenet_edge.latency.report_file import read_report
from googlenet_edge.latency.subject import RUN
from tests.latency.page.browser import Opened
from tests.latency.report_files import Run, steady, write_run

HOSTILE = "<script>window.hacked = 1</script><img src=http://127.0.0.1:9/x onerror='window.hacked = 2'>"
EVENT = {"kind": "throttled", "from_s": 2.0, "to_s": 3.0, "text": "GPU at 510 MHz"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 800 frames with outliers, a throttled second, drops and a hostile name."""
    path = tmp_path_factory.mktemp("page") / "report.json"
    slow = dict.fromkeys(range(0, 802, 40), 5.5) | {100: 30.0, 250: 60.0, 411: 45.0}
    run = Run(
        {None: steady(802, slow=slow)},
        description=HOSTILE,
        sequences=lambda i: i if i < 500 else i + 2,
        dropped=2,
        device=(("h2d", 200_000), ("compute", 3_000_000)),
    )
    write_run(path, run, events=[EVENT])
    write_page(path.with_suffix(".html"), read_report(path))
    return path


@pytest.fixture(scope="module")
def document(report: Path) -> Any:
    return json.loads(report.read_text())


@pytest.fixture
def opened(show: Callable[..., Opened], report: Path) -> Opened:
    return show(report.with_suffix(".html"), viewport={"width": 1000, "height": 900})


def test_the_page_opens_without_a_complaint_and_without_a_request(opened: Opened, report: Path) -> None:
    opened.page.mouse.move(400, 700)
    opened.page.click("#theme")
    assert opened.messages == []
    assert opened.requests == [report.with_suffix(".html").as_uri()]
    assert opened.page.title() == "Latency of signs, int8, onnxruntime"
    assert opened.page.evaluate("window.hacked") is None
    assert HOSTILE in opened.page.inner_text(".source")


def test_the_page_may_ask_nobody_for_anything(opened: Opened) -> None:
    refused = opened.page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', error => error.name)")
    assert refused == "TypeError"
    assert any("Content Security Policy" in message for message in opened.messages)


def test_the_headline_has_the_reports_figures(opened: Opened, document: Any) -> None:
    stages = document["latency"]["stages"]
    shown = opened.value("() => Object.fromEntries([...document.querySelectorAll('[data-figure]')].map("
                         "element => [element.dataset.figure, parseFloat(element.textContent)]))")  # fmt: skip
    assert shown == {
        "p50": pytest.approx(stages[RUN.stage]["p50_ms"], abs=0.005),
        "p99": pytest.approx(stages[RUN.stage]["p99_ms"], abs=0.005),
        "max": pytest.approx(stages[RUN.stage]["max_ms"], abs=0.05),
        "fps": pytest.approx(document["frames"]["fps"], abs=0.05),
        "dropped": 2,
        "age": pytest.approx(stages["capture_to_emitted"]["p99_ms"], abs=0.005),
        "accuracy": 98.0,
    }


def test_the_percentiles_are_drawn_where_the_report_has_them(opened: Opened, document: Any) -> None:
    drawn = opened.value("""() => {
      const svg = document.querySelector("#percentiles svg.wide");
      return [...svg.querySelectorAll(".percentile")].map(mark => {
        const [x, y] = middle(mark.querySelector("circle"));
        const tick = [...svg.querySelectorAll("text.x")].find(text => +text.dataset.value === +mark.dataset.percent);
        return [+mark.dataset.percent, valueAt(svg, y), tick ? middle(tick)[0] - x : null];
      });
    }""")
    said = document["latency"]["stages"][RUN.stage]
    assert [percent for percent, _, _ in drawn] == [50, 90, 95, 99]
    for percent, value, away in drawn:
        assert value == pytest.approx(said[f"p{percent}_ms"], abs=0.15), f"p{percent}, half a pixel"
        assert percent == 95 or abs(away) < 1.5, "above its tick"


def test_the_curve_passes_through_the_reports_percentiles(opened: Opened, document: Any) -> None:
    drawn = opened.value("""() => {
      const svg = document.querySelector("#percentiles svg.wide"), curve = svg.querySelector("path.curve.main");
      const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
      const points = [];
      for (let at = 0; at < curve.getTotalLength(); at += 0.25) points.push(curve.getPointAtLength(at));
      return [...svg.querySelectorAll(".percentile circle")].map(mark => {
        const x = mark.cx.baseVal.value, y = mark.cy.baseVal.value;
        return Math.min(...points.map(point => Math.hypot(point.x - x, point.y - y))) * scale;
      });
    }""")
    assert max(drawn) < 1.5, "pixels"


def test_the_bars_are_as_high_as_there_are_frames(opened: Opened, report: Path) -> None:
    bars = opened.value("""() => {
      const svg = document.querySelector("#histogram svg.wide");
      return [...svg.querySelectorAll("g rect, rect.bar")].map(bar => {
        return [+bar.dataset.low, +bar.dataset.count, valueAt(svg, bar.getBoundingClientRect().y)];
      });
    }""")
    durations = tracks(read_report(report))[0].duration_ns(RUN.stage)
    assert sum(number for _, number, _ in bars) == len(durations) == 800
    lows = [low for low, _, _ in bars]
    widths = np.diff(lows).min()
    for low, number, height in bars[:-1]:
        inside = int(((durations >= round(low * 1e6)) & (durations < round((low + widths) * 1e6))).sum())
        assert number == inside
        assert height == pytest.approx(number, abs=1)


def test_the_timeline_has_every_outlier_at_its_time_and_height(opened: Opened, report: Path) -> None:
    track = tracks(read_report(report))[0]
    durations = track.duration_ns(RUN.stage)
    far = durations > fence_ns(durations)
    marks = opened.value("""() => {
      const svg = document.querySelector("#timeline svg.wide"), path = svg.querySelector("path.outlier");
      const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
      const ticks = [...svg.querySelectorAll("text.x")].map(text => [parseFloat(text.dataset.value), middle(text)[0]]);
      const [first, last] = [ticks[0], ticks[ticks.length - 2]];
      return path.getAttribute("d").match(/M[^l]+/g).map(move => {
        const [x, y] = move.slice(1).split(" ").map(Number);
        const at = (box.x + x * scale - first[1]) / (last[1] - first[1]) * (last[0] - first[0]) + first[0];
        return [at, valueAt(svg, box.y + (y + 4.5) * scale)];
      });
    }""")
    assert len(marks) == 3
    expected = sorted(zip(track.at_s[far].tolist(), (durations[far] / 1e6).tolist(), strict=True))
    for (at, value), (true_at, true_value) in zip(sorted(marks), expected, strict=True):
        assert at == pytest.approx(true_at, abs=0.02)
        assert value == pytest.approx(true_value, abs=0.3)
    rows = opened.page.locator("section[aria-labelledby=timeline-title] .wordy").first.locator("tbody tr")
    assert rows.first.inner_text().split("\t")[0] == "250"
    assert "throttled: GPU at 510 MHz" in rows.first.inner_text()


def test_the_stages_are_as_wide_as_their_means(opened: Opened, document: Any) -> None:
    widths = opened.value("""() => [...document.querySelectorAll("#stages-bar svg.wide rect.stage")].map(
      bar => [bar.dataset.stage, bar.getBoundingClientRect().width])""")
    whole = opened.value("() => document.querySelector('#stages-bar svg.wide').getBoundingClientRect().width")
    stages = document["latency"]["stages"]
    assert [name for name, _ in widths] == ["queue", "preprocess", "inference", "emit", "device h2d", "device compute"]
    for name, width in widths:
        share = stages[name]["mean_ms"] / stages["capture_to_emitted"]["mean_ms"]
        assert width == pytest.approx(share * whole - 2, abs=1.5)


def test_the_pointer_finds_the_nearest_frame(opened: Opened, document: Any) -> None:
    plot = opened.page.locator("#timeline svg.wide")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    at_s, run_s = document["latency"]["stages"][RUN.stage]["max_at_s"], 8.03
    opened.page.mouse.move(box["x"] + box["width"] * (0.06 + 0.92 * at_s / run_s), box["y"] + 24)
    tip = opened.page.locator("[data-plot=timeline] .tip")
    assert tip.is_visible()
    assert "frame 250: 63.00 ms" in tip.inner_text()
    opened.page.mouse.move(5, 5)
    assert not tip.is_visible()
    assert opened.messages == []


CONTRAST = """
() => {
  const parse = color => color.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255);
  const light = color => parse(color).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    if (["SCRIPT", "STYLE"].includes(element.tagName) || !element.checkVisibility()) continue;
    const style = getComputedStyle(element), svg = element instanceof SVGElement;
    const [a, b] = [light(svg ? style.fill : style.color), light(behind(element))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), element.textContent.slice(0, 40)]);
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(show: Callable[..., Opened], report: Path, scheme: str) -> None:
    opened = show(report.with_suffix(".html"), color_scheme=scheme, viewport={"width": 1000, "height": 900})
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 28)"}[scheme]
    ratios = opened.page.evaluate(CONTRAST)
    assert len(ratios) > 100
    assert min(ratios)[0] >= 4.5, min(ratios)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_switch_turns_the_page_over_and_back(show: Callable[..., Opened], report: Path, scheme: str) -> None:
    opened = show(report.with_suffix(".html"), color_scheme=scheme)
    colors = []
    for _ in range(3):
        colors.append(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        opened.page.click("#theme")
    assert colors[0] == colors[2] != colors[1]


def test_a_phone_shows_the_narrow_plots_and_never_scrolls_sideways(show: Callable[..., Opened], report: Path) -> None:
    opened = show(report.with_suffix(".html"), viewport={"width": 390, "height": 800})
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.page.locator("#percentiles svg.narrow").is_visible()
    assert not opened.page.locator("#percentiles svg.wide").is_visible()
    sizes = opened.value("""() => [...document.querySelectorAll("svg.narrow text")].map(
      text => parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getBoundingClientRect().width
        / text.ownerSVGElement.viewBox.baseVal.width)""")
    assert min(sizes) >= 11, "CSS pixels"


def test_without_scripts_all_of_it_is_there_but_the_switch(show: Callable[..., Opened], report: Path) -> None:
    opened = show(report.with_suffix(".html"), java_script_enabled=False)
    for name in ("percentiles", "histogram", "timeline", "stages-bar"):
        assert opened.page.locator(f"#{name} svg.wide").is_visible()
    assert not opened.page.locator("#theme").is_visible()


def test_it_prints_on_white_without_the_switch(show: Callable[..., Opened], report: Path) -> None:
    opened = show(report.with_suffix(".html"), color_scheme="dark")
    opened.page.click("#theme")
    opened.page.click("#theme")
    opened.page.emulate_media(media="print", color_scheme="dark")
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not opened.page.locator("#theme").is_visible()
    assert opened.page.pdf().startswith(b"%PDF")


def test_every_picture_says_in_words_what_it_shows_and_has_a_table(opened: Opened) -> None:
    pictures = opened.value("""() => [...document.querySelectorAll("figure")].map(figure => [
      figure.id, figure.querySelector("svg.wide").getAttribute("aria-label"),
      figure.querySelectorAll("details table tbody tr").length])""")
    assert [name for name, _, _ in pictures] == ["percentiles", "histogram", "timeline", "stages-bar"]
    assert all(label and rows > 2 for _, label, rows in pictures)


def test_a_long_run_is_drawn(show: Callable[..., Opened], tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    slow = {int(i): float(rng.uniform(20, 90)) for i in rng.integers(0, 20_000, 40)}
    path = write_run(tmp_path / "long.json", Run({None: steady(20_000, every_ms=100, slow=slow)}))
    write_page(tmp_path / "long.html", read_report(path))
    opened = show(tmp_path / "long.html")
    assert opened.messages == []
    drawn = opened.page.evaluate("document.querySelector('#timeline svg.wide path.outlier').dataset.count")
    assert int(drawn) == len([i for i in slow if i >= 2])
