from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tools import check_loadgen
from tools.check_loadgen import Compared

pytest.importorskip("mlperf_loadgen", reason="needs mlcommons-loadgen, of which there are wheels for x86-64 only")


@pytest.fixture(autouse=True)
def few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: replace(config, min_queries=70, percent=90) for name, config in check_loadgen.SCENARIOS.items()}
    monkeypatch.setattr(check_loadgen, "SCENARIOS", few)


def test_both_scenarios_are_compared_and_the_logs_kept(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--bundle", str(tiny_bundle), "--seconds", "0.01", "--logs", str(tmp_path / "logs")]
    # A query of this bundle takes about a millisecond, so that LoadGen's own microseconds are some percent of it.
    assert check_loadgen.main([*arguments, "--limit-percent", "50"]) == 0
    printed = capsys.readouterr().out
    for said in ("single-stream: 70 queries", "multi-stream: 70 queries", "says VALID", "early-stopping estimate"):
        assert said in printed
    assert printed.count("agrees") == 8
    for name in ("single-stream", "multi-stream"):
        assert (tmp_path / "logs" / name / "mlperf_log_summary.txt").is_file()


def test_figures_that_differ_by_more_than_the_limit_fail(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--bundle", str(tiny_bundle), "--seconds", "0.01", "--scenarios", "single-stream"]
    assert check_loadgen.main([*arguments, "--limit-percent", "1e-9"]) == 1
    assert "DIFFERS by more than 1e-09 %" in capsys.readouterr().out


def test_a_figure_that_only_one_side_has_differs() -> None:
    assert Compared("p90", None, None).difference == 0
    assert Compared("p90", 1.0, None).difference == float("inf")
    assert Compared("p90", 200.0, 203.0).difference == pytest.approx(0.015)


def test_a_missing_bundle_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_loadgen.main(["--bundle", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
