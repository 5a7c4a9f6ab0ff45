"""What ``run`` and ``bench`` say of the machine beside their figures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from googlenet_edge.cli import bench_scenario as bench_scenario_verb
from googlenet_edge.cli import run as run_verb
from googlenet_edge.cli.main import main
from googlenet_edge.latency.schema import report_schema
from googlenet_edge.latency.watch.run import RunWatch, WatchConfig
from googlenet_edge.latency.watch.state import MachineState
from tests.latency.watch.trees import build_tree

RUN = ["run", "BUNDLE", "demo:", "--frames", "30", "--threads", "1", "--backend", "onnxruntime"]
BENCH = ["bench", "BUNDLE", "--backend", "onnxruntime", "--threads", "1", "--size", "64x48", "--frame-count", "3"]
BENCH += ["--min-duration", "0.05"]
SINGLE = [*BENCH, "--scenario", "single-stream", "--min-queries", "10"]
COMMANDS = {
    "run": RUN,
    "several sources": ["run", "BUNDLE", "a=demo:", "b=demo:", *RUN[3:]],
    "single-stream": SINGLE,
    "multi-stream": [*BENCH, "--scenario", "multi-stream", "--min-queries", "5"],
    "offline": [*BENCH, "--scenario", "offline", "--max-batch", "2"],
    "camera": [*BENCH, "--scenario", "camera", "--no-search"],
}


def report_of(bundle: Path, folder: Path, command: list[str]) -> dict[str, Any]:
    """Run a command with a report, and return that."""
    path = folder / "report.json"
    words = [str(bundle) if word == "BUNDLE" else word for word in command]
    assert main([*words, "--report", str(path)]) == 0
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def valid(document: dict[str, Any]) -> bool:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(json.loads(report_schema())).validate(document)
    return True


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that has the commands watch another machine, and returns where its files are."""

    def build(name: str) -> Path:
        root = build_tree(name, tmp_path)
        for verb in (run_verb, bench_scenario_verb):
            monkeypatch.setattr(
                verb,
                "new_watch",
                lambda arguments: RunWatch(
                    WatchConfig(power=not arguments.no_power, idle_s=arguments.idle_power or 0.0), root=root
                ),
            )
        return root

    return build


@pytest.mark.parametrize("name", COMMANDS)
def test_each_report_has_the_machine_before_during_and_after(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    document = report_of(tiny_bundle, tmp_path, COMMANDS[name])
    assert valid(document)
    state, watch, energy = document["state"], document["watch"], document["energy"]
    before, after = MachineState.from_dict(state["before"]), MachineState.from_dict(state["after"])
    assert before.taken_ns < after.taken_ns
    assert 1 <= before.usable_cores <= document["machine"]["cores"]
    assert watch["looks"] >= 2
    assert watch["error"] is None
    assert watch["started_s"] <= 0.1, "it begins before the first frame is done"
    assert watch["started_s"] + watch["seconds"] >= energy["from_s"] + energy["seconds"] - 0.01
    assert energy["frames"] > 0
    assert not any(thread.name == "machine-sampler" for thread in threading.enumerate())
    shown = capsys.readouterr().out
    assert f"machine: {document['machine']['board'] or document['machine']['cpu']}" in shown
    if energy["joules"] is None:
        assert energy["not_measured"], "it says why"
        assert f"power: not measured ({energy['not_measured'][0]['meter']}: " in shown
    else:
        assert energy["joules_per_frame"] > 0
        assert " J per frame, over " in shown


@pytest.mark.parametrize(("name", "frames_each"), [("run", 1), ("single-stream", 1), ("multi-stream", 8)])
def test_joules_per_frame_are_of_the_measured_frames(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], board: Callable[[str], Path], name: str,
    frames_each: int,
) -> None:  # fmt: skip
    board("orin-nano")
    document = report_of(tiny_bundle, tmp_path, [*COMMANDS[name], "--idle-power", "0.05"])
    assert valid(document)
    energy, watts = document["energy"], 4.984 * 1.856  # the board's voltage and current, always the same
    assert energy["frames"] == frames_each * document["frames"]["measured"]
    assert energy["watts"] == pytest.approx(watts, rel=1e-6)
    assert energy["joules_per_frame"] == pytest.approx(watts * energy["seconds"] / energy["frames"], rel=0.02)
    assert energy["joules_per_frame_above_idle"] == pytest.approx(0.0, abs=1e-6)
    assert energy["included"] == ["VDD_IN"]
    shown = capsys.readouterr().out
    assert "machine: NVIDIA Jetson Orin Nano" in shown
    assert "power: 9.25 W, " in shown


def test_throttling_during_a_run_is_in_its_report_and_told(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], board: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    counter = board("orin-nano") / "sys/class/hwmon/hwmon3/oc3_event_cnt"
    end = RunWatch.end

    def count_and_end(watch: RunWatch) -> None:
        counter.write_text("30\n")
        end(watch)

    monkeypatch.setattr(RunWatch, "end", count_and_end)
    document = report_of(tiny_bundle, tmp_path, RUN)
    cause = "momentary current too high"
    assert [one["cause"] for one in document["watch"]["throttled"]] == [cause]
    assert [(one["kind"], one["what"]) for one in document["state"]["differences"]] == [("throttled", cause)]
    shown = capsys.readouterr().out
    assert shown.count(f"slowed down by {cause}: ") == 1
    assert f"; it was slowed down, in {document['watch']['looks']} looks" in shown


@pytest.mark.parametrize("name", ["run", "single-stream"])
def test_without_power_the_report_says_that_it_was_left_out(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], board: Callable[[str], Path], name: str
) -> None:
    board("orin-nano")
    document = report_of(tiny_bundle, tmp_path, [*COMMANDS[name], "--no-power"])
    assert valid(document)
    energy = document["energy"]
    assert (energy["joules"], energy["rails"]) == (None, [])
    assert energy["not_measured"] == [{"meter": "all meters", "reason": "left out, as was asked for"}]
    assert "power: not measured (all meters: left out, as was asked for)" in capsys.readouterr().out


def test_layers_have_the_machine_but_no_energy(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "layers.json"
    arguments = ["--layers", "--iterations", "3", "--warmup", "1", "--backend", "onnxruntime", "--json", str(path)]
    assert main(["bench", str(tiny_bundle), *arguments]) == 0
    document = json.loads(path.read_text())
    assert document["machine"]["cpu"]
    assert document["watch"]["looks"] >= 2
    assert MachineState.from_dict(document["state"]["after"]).usable_cores
    assert "energy" not in document
    shown = capsys.readouterr().out
    assert "machine: " in shown
    assert "power: " not in shown


@pytest.mark.parametrize("command", [RUN, SINGLE])
def test_idle_power_and_no_power_exclude_each_other(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    words = [str(tiny_bundle) if word == "BUNDLE" else word for word in command]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--no-power", "--idle-power", "3"])
    assert ended.value.code == 2
    assert "not allowed with argument --no-power" in capsys.readouterr().err
