from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet_edge.bundle import Bundle
from tools import bench_forms
from tools.bench_forms import INCEPTION, WHOLE, Setting, Timed, macs_of, measure_apart, row_table, table
from tools.loopbench.job import JobError

PAPER = [Timed(20.0, {"conv1": 2.0, "inception3a": 6.0, "inception3b": 4.0}) for _ in range(3)]
OTHER = [Timed(whole, {"conv1": 2.0, "inception3a": 3.0, "inception3b": 2.0}) for whole in (10.0, 30.0, 12.0)]


@pytest.fixture
def bundles(tiny_bundle: Path) -> dict[str, Bundle]:
    return {"paper": Bundle.open(tiny_bundle), "factorized": Bundle.open(tiny_bundle)}


def test_ratios_are_of_rounds_and_the_modules_are_summed(bundles: dict[str, Bundle]) -> None:
    runs = {"paper": PAPER, "factorized": OTHER}
    whole = table(bundles, runs, WHOLE)
    assert whole[1].split()[0] == "paper"
    assert whole[1].endswith("1.000 (1.000 to 1.000)")
    assert whole[2].endswith("0.600 (0.500 to 1.500)"), "the median of 0.5, 1.5 and 0.6"
    assert "12.000 (10.000 to 30.000)" in whole[2]
    modules = table(bundles, runs, INCEPTION)
    assert "10.000 (10.000 to 10.000)" in modules[1]
    assert modules[2].endswith("0.500 (0.500 to 0.500)")


def test_rows_stand_side_by_side_and_a_row_that_one_form_lacks_is_a_dash(bundles: dict[str, Bundle]) -> None:
    lacking = [replace(timed, rows_ms={"inception3a": 3.0, "lrn1": 0.5}) for timed in OTHER]
    lines = [line.split() for line in row_table(bundles, {"paper": PAPER, "factorized": lacking})]
    assert lines[1:] == [
        ["conv1", "2.000", "-"],
        ["inception3a", "6.000", "3.000"],
        ["inception3b", "4.000", "-"],
        ["lrn1", "-", "0.500"],
    ]


def test_a_process_of_its_own_times_a_bundle(bundles: dict[str, Bundle]) -> None:
    bundle = bundles["paper"]
    timed = measure_apart(Setting(str(bundle.path), seconds=0.01, threads=1))
    assert timed.whole_ms > 0
    assert timed.rows_ms["fc"] > 0
    assert macs_of(bundle, "fc") == 15
    assert macs_of(bundle, WHOLE) == 15 + macs_of(bundle, "conv1")


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"(?s)none: exit code 1: .*got nothing there"):
        measure_apart(Setting(str(tmp_path / "none"), seconds=0.01, threads=1))


def test_bundles_that_are_there_are_measured_in_turns(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("paper", "factorized"):
        shutil.copytree(tiny_bundle, tmp_path / form)
    asked: list[str] = []

    def timed(setting: Setting) -> Timed:
        asked.append(Path(setting.bundle).name)
        return PAPER[0]

    monkeypatch.setattr(bench_forms, "measure_apart", timed)
    assert bench_forms.main(["--forms", "paper", "factorized", "--folder", str(tmp_path)]) == 0
    assert asked == ["paper", "factorized", "factorized", "paper"] * 2 + ["paper", "factorized"]
    assert "5 rounds" in capsys.readouterr().out


def test_fewer_than_five_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_forms.main(["--rounds", "4"])
    assert "at least 5" in capsys.readouterr().err
