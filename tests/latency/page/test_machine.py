from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from googlenet_edge.latency.page import render_page
from googlenet_edge.latency.report_file import read_report
from tests.latency.report_files import Run, steady, write_run

STATE = {
    "before": {"zones": [{"name": "cpu-thermal", "celsius": 48.5}]},
    "after": {"zones": [{"name": "cpu-thermal", "celsius": 84.0}]},
    "concerns": ["clocks are not locked"],
    "differences": [{"kind": "drift", "what": "temperature of cpu-thermal", "before": "48.5 C", "after": "84 C"}],
}
WATCH = {
    "seconds": 4.0,
    "looks": 5,
    "started_s": -0.5,
    "throttled": [{"cause": "heat: cpufreq", "from_s": 1.0, "to_s": 2.0, "looks": 2}],
    "timeline": {
        "from_s": [0.0, 1.0, 2.0],
        "to_s": [0.9, 1.9, 4.0],
        "channels": [
            {"name": "cpu-thermal", "unit": "C", "values": [[48.5, 50.0], None, [70.0, 84.0]]},
            {"name": "gpu-thermal", "unit": "C", "values": [None, None, None]},
        ],
    },
}
ENERGY = {
    "seconds": 4.0,
    "frames": 200,
    "joules": 28.8,
    "watts": 7.2,
    "joules_per_frame": 0.144,
    "joules_per_frame_above_idle": 0.05,
    "included": ["VDD_IN"],
    "rails": [
        {"name": "VDD_IN", "meter": "ina3221", "covers": "the module", "counted": True, "joules": 28.8, "watts": 7.2}
    ],
}


def shown(folder: Path, **sections: Any) -> str:
    run = Run({None: steady(202, slow={100: 90.0})})
    return render_page(read_report(write_run(folder / "r.json", run, **sections)))


def text_of(markup: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup))


def test_what_differed_stands_before_all_values(tmp_path: Path) -> None:
    text = text_of(shown(tmp_path, state=STATE))
    assert "temperature of cpu-thermal drift 48.5 C → 84 C" in text
    assert "zones cpu-thermal, celsius 48.5 84" in text
    assert "The machine before the run : clocks are not locked" in text


def test_a_machine_that_stayed_the_same_says_so(tmp_path: Path) -> None:
    assert "in the same state after the run as before it" in shown(tmp_path, state={**STATE, "differences": []})


def test_a_last_look_that_failed_is_told(tmp_path: Path) -> None:
    text = text_of(shown(tmp_path, state={**STATE, "after": None, "differences": []}))
    assert "The state after the run is not known: the last look at the machine failed." in text
    assert "same state" not in text


def test_throttling_is_on_the_timeline_and_the_cause_of_outliers(tmp_path: Path) -> None:
    markup = shown(tmp_path, watch=WATCH)
    assert "<title>throttled, 0.5 to 1.5 s</title>" in markup
    assert "throttled: heat: cpufreq" in text_of(markup)
    assert "throttled 0.5 s 1.5 s heat: cpufreq" in text_of(markup)
    calm = text_of(shown(tmp_path, watch={**WATCH, "throttled": []}))
    assert "Nothing was seen to slow the machine down, in 5 looks at it." in calm
    assert "throttled" not in calm


def test_clocks_and_temperatures_are_drawn_with_their_ends(tmp_path: Path) -> None:
    markup = shown(tmp_path, watch=WATCH)
    assert "cpu-thermal 48.5 °C 84 °C" in text_of(markup)
    assert 'aria-label="cpu-thermal from 48.5 to 84 C"' in markup
    assert "gpu-thermal" not in markup, "it could not be read"
    band = re.findall(r'<path class="band" d="([^"]+)"', markup)
    assert [path.count("M") for path in band] == [2], "the gap stays one"


def test_a_watch_that_ended_early_says_why(tmp_path: Path) -> None:
    text = text_of(shown(tmp_path, watch={**WATCH, "error": "driver hung", "throttled_dropped": 7}))
    assert "not watched to the end: driver hung" in text
    assert "7 further episodes of throttling were not kept" in text


def test_energy_says_what_it_contains(tmp_path: Path) -> None:
    markup = shown(tmp_path, energy=ENERGY)
    assert '<b data-figure="energy">0.144</b>' in markup
    assert (
        "0.144 J a frame, 0.05 J of it above the idle machine; 7.2 W on average over 4 s. Included: VDD_IN." in markup
    )
    assert "VDD_IN 7.2 28.8 yes ina3221: the module" in text_of(markup)


def test_energy_that_was_not_measured_says_why(tmp_path: Path) -> None:
    nothing = {"seconds": 4.0, "frames": 9, "not_measured": [{"meter": "rapl", "reason": "permission denied"}]}
    text = text_of(shown(tmp_path, energy=nothing))
    assert "Energy was not measured. rapl: permission denied" in text
    assert "J/frame" not in text


def test_what_a_watched_run_gives_is_read(tmp_path: Path) -> None:
    watch = pytest.importorskip("googlenet_edge.latency.watch.run")
    with watch.RunWatch() as watched:
        watched.start()
    document = watched.document(None, 200)
    path = write_run(tmp_path / "r.json", Run({None: steady(202)}), **json.loads(json.dumps(document)))
    read = read_report(path).document
    assert read.state is not None
    assert read.watch is not None
    assert read.energy is not None
    assert read.watch.looks == document["watch"]["looks"] >= 2
    assert "All " in text_of(render_page(read_report(path)))
