from __future__ import annotations

import html.parser
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from googlenet_edge.errors import OutputError
from googlenet_edge.latency.page import render_page, write_page
from googlenet_edge.latency.page.markup import element, table
from googlenet_edge.latency.report_file import read_report
from tests.latency.report_files import FrameTimes, Run, steady, write_run

HOSTILE = "<script>alert(1)</script> \"'><img src=http://127.0.0.1/x onerror=alert(2)> $title ${body} \x00 \udcff"
VOID = {"meta", "link", "line", "rect", "path", "circle", "br"}


class Page(html.parser.HTMLParser):
    """Reads the page strictly: each element is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID and (not self._open or self._open[-1] != tag):
            return
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def headings(self) -> list[str]:
        names = [attributes["id"] for tag, attributes in self.elements if tag == "h2"]
        return [str(name).removesuffix("-title") for name in names]


def page(path: Path) -> Page:
    return Page(render_page(read_report(path)))


def test_the_page_shows_what_is_there_and_leaves_out_what_is_not(tmp_path: Path) -> None:
    plain = page(write_run(tmp_path / "a.json", Run({None: steady(302)}, samples=False)))
    assert plain.headings() == ["percentiles", "stages", "machine", "definitions"]
    assert any("run with --samples" in text for text in plain.text)
    full = page(
        write_run(
            tmp_path / "b.json",
            Run({"door": steady(302, slow={70: 90.0}), "yard": steady(302)}, device=(("compute", 1_000_000),)),
            sinks=[{"sink": "events", "dropped": 3, "failures": 1, "last_error": "disk full"}],
            state={"before": {"power_mode": "MAXN", "mhz": 1500}, "after": {"power_mode": "MAXN", "mhz": 1100}},
            energy={"seconds": 9.0, "frames": 50, "rails": [{"name": "VDD_IN", "meter": "hwmon", "watts": 7.2}]},
            what_comes_later={"name": "unheard of"},
        )
    )
    assert full.headings() == [
        "percentiles", "histogram", "timeline", "stages", "cameras", "sinks", "machine", "more",
        "definitions",
    ]  # fmt: skip
    for text in ("disk full", "MAXN", "1100", "VDD_IN", "7.2", "unheard of", "inference, +85.50 ms"):
        assert any(text in each for each in full.text), text


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    def damage(value: Any) -> Any:
        """Put hostile text into each string of a report that a stranger may have written."""
        if isinstance(value, dict):
            return {key: damage(each) for key, each in value.items()} | {f"{HOSTILE} {len(value)}": HOSTILE}
        if isinstance(value, list):
            return [damage(each) for each in value]
        return HOSTILE if isinstance(value, str) else value

    path = write_run(tmp_path / "a.json", Run({None: steady(302)}))
    document = json.loads(path.read_text())
    for key in ("run", "source", "classifier", "machine"):
        document[key] = damage(document[key])
    document["definitions"][HOSTILE] = HOSTILE
    document["latency"]["stages"][HOSTILE] = document["latency"]["stages"]["queue"]
    document["cameras"] = [{**document["cameras"][0], "description": HOSTILE, "ended": HOSTILE, "error": HOSTILE}] * 2
    document["cameras"][1] = {**document["cameras"][1], "name": HOSTILE}
    document["events"] = [{"kind": HOSTILE, "from_s": 0.1, "to_s": 9.0, "text": HOSTILE}]
    document[HOSTILE] = {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]}
    for samples in tmp_path.glob("*.csv"):
        samples.unlink()
    path.write_text(json.dumps(document))
    found = page(path)
    scripts = [attributes for tag, attributes in found.elements if tag == "script"]
    assert scripts == [{}], "our own script alone"
    assert not [tag for tag, _ in found.elements if tag == "img"]
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert any("<script>alert(1)</script>" in text and "$title" in text for text in found.text)
    write_page(tmp_path / "a.html", read_report(path))
    assert "\x00" not in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_hostile_names_stay_text_in_what_the_script_reads(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script>"
    path = write_run(tmp_path / "a.json", Run({"door": steady(60), "yard": steady(60)}))
    document = json.loads(path.read_text())
    document["cameras"][0]["name"] = "<script>"
    path.write_text(json.dumps(document))
    (tmp_path / "a-samples-door.csv").rename(tmp_path / "a-samples-<script>.csv")
    text = render_page(read_report(path))
    assert name not in text
    assert "frame 5 of \\u003cscript>" in text
    assert text.count("<script>") == 1


def test_a_report_without_a_measured_frame_says_so(tmp_path: Path) -> None:
    found = page(write_run(tmp_path / "a.json", Run({None: steady(1)})))
    assert found.headings() == ["machine", "definitions"]
    assert "No frame was measured" in found.text


@pytest.mark.parametrize("frames", [3, 4])
def test_very_short_runs_are_drawn(tmp_path: Path, frames: int) -> None:
    assert page(write_run(tmp_path / "a.json", Run({None: steady(frames)}))).headings()[0] == "percentiles"


def test_latencies_that_are_all_the_same_or_nothing_are_drawn(tmp_path: Path) -> None:
    same = [FrameTimes(i * 10.0) for i in range(50)]
    assert "histogram" in page(write_run(tmp_path / "a.json", Run({None: same}))).headings()
    nothing = [FrameTimes(i * 10.0, 0, 0, 0, 0) for i in range(50)]
    assert "histogram" in page(write_run(tmp_path / "b.json", Run({None: nothing}))).headings()


def test_a_long_run_stays_below_a_megabyte_and_loses_no_outlier(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    times = 4 + rng.gamma(2, 0.2, 60_000)
    times[rng.random(60_000) < 0.2] *= rng.uniform(3, 60)
    times *= rng.uniform(0.9, 1.1, 60_000)
    frames = [FrameTimes(i * 33.3, inference_ms=float(ms)) for i, ms in enumerate(times)]
    path = write_run(tmp_path / "a.json", Run({None: frames}))
    write_page(tmp_path / "a.html", read_report(path))
    assert (tmp_path / "a.html").stat().st_size < 1_000_000
    slowest = json.loads(path.read_text())["latency"]["stages"]["capture_to_result"]
    assert f"frame {slowest['max_sequence']}:" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_a_clock_that_jumped_is_told(tmp_path: Path) -> None:
    frames = steady(60)
    plain = write_run(tmp_path / "a.json", Run({None: frames}))
    frames[20] = FrameTimes(5200.0, queue_ms=-4999.0)
    jumped = write_run(tmp_path / "b.json", Run({None: frames}))
    note = "Frames with a result from before their capture: 1."
    assert note in "".join(page(jumped).text)
    assert note not in "".join(page(plain).text)


def test_one_outlier_is_not_called_the_1_slowest(tmp_path: Path) -> None:
    shown = page(write_run(tmp_path / "a.json", Run({None: steady(60, slow={30: 90.0})}))).text
    assert "The outlier" in shown
    assert "The 1 slowest" not in shown
    shown = page(write_run(tmp_path / "b.json", Run({None: steady(60, slow={30: 90.0, 40: 80.0})}))).text
    assert "The 2 slowest" in shown


def test_warnings_stand_above_the_plots(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a.json", Run({None: steady(20)}))
    document = json.loads(path.read_text())
    document["state"] = {"before": {}, "after": None, "concerns": ["clocks are not fixed"]}
    document["run"]["error"] = "camera lost"
    path.write_text(json.dumps(document))
    text = " ".join(page(path).text)
    assert "p95 needs 130, p99 needs 662" in text
    assert "clocks are not fixed" in text
    assert "camera lost" in text


def test_a_long_run_says_what_is_exact_and_what_is_drawn_from_a_sample(tmp_path: Path) -> None:
    text = " ".join(page(write_run(tmp_path / "a.json", Run({None: steady(402)}, capacity=50))).text)
    assert "a histogram of all 400 measured frames" in text
    assert "50 of 400 frames, drawn at random." in text
    exact = " ".join(page(write_run(tmp_path / "b.json", Run({None: steady(402)}))).text)
    assert "histogram of all" not in exact
    assert "drawn at random" not in exact


def test_a_page_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    report = read_report(write_run(tmp_path / "a.json", Run({None: steady(20)})))
    with pytest.raises(OutputError, match=r"page .* cannot be written"):
        write_page(tmp_path / "no" / "a.html", report)


def test_text_is_escaped_as_text_and_as_attribute() -> None:
    assert element("p", "<b>", title='"&') == '<p title="&quot;&amp;">&lt;b&gt;</p>'
    assert "<td" not in element("p", table([], [("a", "<td>")])).replace('<td class="num">', "")
