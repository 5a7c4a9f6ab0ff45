from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from googlenet_edge.cli.compare import SLOWER
from googlenet_edge.cli.main import VERBS, main
from googlenet_edge.latency.machine import machine_info
from googlenet_edge.latency.recorder import LatencyRecorder
from googlenet_edge.latency.report import RunFacts, samples_path, write_report, write_samples
from googlenet_edge.types import FrameTrace

Reporter = Callable[..., Path]
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERBS, "compare", "compare")


@pytest.fixture
def report(tmp_path: Path) -> Reporter:
    """Return a function that writes a report, and samples, of a run with a stage of about so many milliseconds."""

    def write(name: str, milliseconds: float, *, seed: int = 0, samples: bool = True, precision: str = "fp32") -> Path:
        path = tmp_path / f"{name}.json"
        recorder = LatencyRecorder(started_ns=0, warmup_frames=0)
        now = 0
        for i, factor in enumerate(np.exp(0.02 * np.random.default_rng(seed).standard_normal(900))):
            inferred = now + 1_200_000 + int(milliseconds * 1e6 * factor)
            recorder.record(FrameTrace(i, now, now + 200_000, now + 1_200_000, inferred, inferred + 300_000))
            now = inferred + 300_000
        source, classifier = {"description": "film.mp4"}, {"precision": precision, "threads": "2"}
        write_report(path, recorder.summarize(), RunFacts(machine_info(), source, "", classifier))
        if samples:
            write_samples(samples_path(path), recorder.samples())
        return path

    return write


def test_the_table_says_what_is_slower_and_what_it_rests_on(report: Reporter, capsys: Captured) -> None:
    a, b = report("a", 10), report("b", 11, seed=1, precision="fp16")
    assert main(["compare", str(a), str(b)]) == 0
    shown, errors = capsys.readouterr()
    assert errors == ""
    lines = {line.split("p50")[0].strip(): line for line in shown.splitlines() if " p50 " in line}
    assert lines["inference"].rstrip().endswith("slower")
    assert lines["emit"].rstrip().endswith("no difference shown")
    assert all(len(line) <= 80 for line in lines.values())
    assert "frames/s" in shown
    for words in (
        "intervals from the raw samples within the runs",
        "with 95 % confidence all 25 intervals together",
        "verdicts are about these runs",
        "warning: not alike: classifier.precision: fp32 -> fp16",
        "say so: --expect precision",
    ):
        assert words in shown
    assert main(["compare", str(a), str(b), "--expect", "precision"]) == 0
    shown, _ = capsys.readouterr()
    assert "compared: classifier.precision: fp32 -> fp16" in shown
    assert "warning" not in shown


def test_a_narrow_terminal_cuts_no_figure_off(
    report: Reporter, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = report("a", 10), report("b", 11, seed=1)
    shown = []
    for columns in ("200", "45"):
        monkeypatch.setenv("COLUMNS", columns)
        assert main(["compare", str(a), str(b)]) == 0
        shown.append([line.split() for line in capsys.readouterr().out.splitlines()])
    assert shown[0] == shown[1]


def test_exit_codes_for_a_limit(report: Reporter, capsys: Captured, tmp_path: Path) -> None:
    a, b, figures = report("a", 10), report("b", 11, seed=1), tmp_path / "figures.json"
    stages = ["--stages", "inference,emit"]
    assert main(["compare", str(a), str(b), *stages, "--fail-if-slower", "5%", "--json", str(figures)]) == SLOWER == 3
    assert "limit of 5 %: failed: inference p50 is slower by at least 9." in capsys.readouterr().out
    document = json.loads(figures.read_text())
    assert document["limit"]["failed"] is True
    assert [one["new"] for one in document["comparisons"]] == [[str(b)]]
    assert main(["compare", str(b), str(a), *stages, "--fail-if-slower", "5"]) == 0
    assert "limit of 5 %: kept: no figure is shown to be beyond it" in capsys.readouterr().out
    assert main(["compare", str(a), str(b), *stages, "--fail-if-slower", "20%", "--strict"]) == 0
    assert "every figure is surely within it" in capsys.readouterr().out
    assert main(["compare", str(a), str(b), *stages, "--fail-if-slower", "10%", "--strict"]) == SLOWER
    assert "inference p50 may be slower by up to 10." in capsys.readouterr().out
    assert main(["compare", str(a), str(b), *stages, "--fail-if-slower", "5%", "--ignore-ms", "2"]) == 0


def test_runs_of_both_sides(report: Reporter, capsys: Captured) -> None:
    old = [str(report(f"old{i}", 10 + 0.01 * i, seed=i, samples=False)) for i in range(3)]
    new = [str(report(f"new{i}", 11 + 0.01 * i, seed=10 + i, samples=False)) for i in range(3)]
    assert main(["compare", *old, "--new", *new, "--stages", "inference", "--percentiles", "p50,90"]) == 0
    shown, _ = capsys.readouterr()
    assert "intervals from how runs differ among themselves" in shown
    assert shown.count(" slower") == 2
    assert "no raw samples" not in shown


def test_each_further_report_is_compared_with_the_first(report: Reporter, capsys: Captured) -> None:
    paths = [str(report(name, 10, seed=i)) for i, name in enumerate("abc")]
    assert main(["compare", *paths, "--stages", "inference"]) == 0
    shown, _ = capsys.readouterr()
    assert shown.count(f"baseline: {paths[0]}") == 2
    assert f"new:      {paths[2]}" in shown
    assert "with 97.5 % confidence" in shown


def test_without_samples_it_says_how_to_get_a_verdict(report: Reporter, capsys: Captured) -> None:
    a, b = str(report("a", 10)), str(report("b", 20, samples=False))
    assert main(["compare", a, b, "--stages", "inference"]) == 0
    shown, _ = capsys.readouterr()
    assert "2.00" in shown
    assert "no verdict on inference p50, inference p90, inference p95, inference p99: no raw samples" in shown
    assert "for intervals and verdicts: measure with --report FILE --samples" in shown
    assert main(["compare", a, b, "--fail-if-slower", "5%"]) == 1
    assert "none can be shown to be slower" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "got one report, expected at least two"),
        (["a", "a"], "twice, expected different reports"),
        (["a", "b", "--strict"], "--strict: got no --fail-if-slower"),
        (["a", "b", "--ignore-ms", "0"], "--ignore-ms: got no --fail-if-slower"),
        (["a", "b", "--fail-if-slower", "5%", "--ignore-ms", "-1"], "--ignore-ms: got -1.0"),
        (["a", "b", "--percentiles", "75"], "got 75, expected some of 50, 90, 95, 99"),
        (["a", "b", "--confidence", "100%"], "confidence: got 1.0"),
        (["a", "b", "--stages", "wait"], "a longer wait is not slower"),
        (["a", "b", "--json", "b"], "which is one of the reports"),
    ],
)
def test_wrong_usage(report: Reporter, capsys: Captured, arguments: list[str], message: str) -> None:
    paths = {"a": str(report("a", 10)), "b": str(report("b", 10, seed=1))}
    before = Path(paths["b"]).read_bytes()
    assert main(["compare", *(paths.get(argument, argument) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err
    assert Path(paths["b"]).read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [["--fail-if-slower", "fast"], ["--fail-if-slower", "nan"], ["--percentiles", "x"], ["--stages", "a,,b"]],
)
def test_arguments_that_are_no_numbers_or_names(capsys: Captured, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "a.json", "b.json", *arguments])
    assert "expected" in capsys.readouterr().err


def test_bad_reports_end_in_one_message(report: Reporter, capsys: Captured, tmp_path: Path) -> None:
    a = report("a", 10)
    cut = tmp_path / "cut.json"
    cut.write_bytes(a.read_bytes()[:300])
    for path, message in ((cut, "cut off"), (tmp_path / "none.json", "No such file")):
        assert main(["compare", str(a), str(path)]) == 1
        shown, errors = capsys.readouterr()
        assert message in errors
        assert len(errors.splitlines()) == 1
        assert shown == ""


def test_settings_that_do_not_fit_the_reports(report: Reporter, capsys: Captured) -> None:
    a, b = str(report("a", 10)), str(report("b", 10, seed=1))
    assert main(["compare", a, b, "--stages", "decode"]) == 1
    assert "got 'decode', expected some of" in capsys.readouterr().err
    assert main(["compare", a, b, "--json", str(Path(a).parent / "no" / "x.json")]) == 1
    shown, errors = capsys.readouterr()
    assert "JSON file" in errors
    assert shown == "", "found out before anything is printed"


def test_figures_that_nothing_can_be_judged_by_are_written_all_the_same(
    report: Reporter, capsys: Captured, tmp_path: Path
) -> None:
    a, b, out = report("a", 10, samples=False), report("b", 11, samples=False), tmp_path / "figures.json"
    assert main(["compare", str(a), str(b), "--fail-if-slower", "5%", "--json", str(out)]) == 1
    assert "no figure has an interval" in capsys.readouterr().err
    document = json.loads(out.read_text())
    assert document["limit"] is None
    assert document["comparisons"][0]["figures"]


def test_what_reports_say_cannot_command_the_terminal(report: Reporter, capsys: Captured) -> None:
    a, b = report("a", 10), report("b", 10, seed=1, precision="\x1b[2J[red]fp16")
    document = json.loads(a.read_text())
    document["latency"]["stages"]["\x1b[2Jfast"] = document["latency"]["stages"]["emit"]
    for path in (a, b):
        content = json.loads(path.read_text())
        content["latency"]["stages"] = document["latency"]["stages"]
        path.write_text(json.dumps(content))
        samples_path(path).unlink()
    assert main(["compare", str(a), str(b)]) == 0
    shown, _ = capsys.readouterr()
    assert "\x1b" not in shown
    assert "[2J[red]fp16" in shown
    assert "[2Jfast" in shown


def test_the_verb_loads_no_numbers_library_before_it_runs() -> None:
    module = sys.modules["googlenet_edge.cli.compare"]
    assert not {"np", "numpy", "rich"} & set(vars(module))
