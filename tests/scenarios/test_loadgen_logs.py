"""Summaries as LoadGen 6.0.17 wrote them are read to the figure, and damaged ones are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from googlenet_edge.errors import OutputError
from googlenet_edge.scenarios.loadgen_logs import LoadGenSummary, check_logs, log_folder, read_summary

SINGLE = """\
================================================
MLPerf Results Summary
================================================
SUT name : PySUT
Scenario : SingleStream
Mode     : PerformanceOnly
90.0th percentile latency (ns) : 2142619
Result is : VALID
  Min duration satisfied : Yes
  Min queries satisfied : Yes
  Early stopping satisfied: Yes
Early Stopping Result:
 * Processed at least 64 queries (735).
 * Would discard 51 highest latency queries.
 * Early stopping 90.0th percentile estimate: 2184061
 * Early stopping 99.0th percentile estimate: 3892926

================================================
Additional Stats
================================================
QPS w/ loadgen overhead         : 467.73
QPS w/o loadgen overhead        : 468.95

Min latency (ns)                : 2066226
Max latency (ns)                : 3892926
Mean latency (ns)               : 2132446
50.00 percentile latency (ns)   : 2112495
90.00 percentile latency (ns)   : 2142619
"""

TOO_FEW = """\
Scenario : MultiStream
Mode     : PerformanceOnly
99.0th percentile latency (ns) : 8124182
Result is : INVALID
  Min duration satisfied : NO
  Min queries satisfied : NO
  Early stopping satisfied: NO
Recommendations:
 * The test exited early, before enough queries were issued.
   See the detailed log for why this may have occurred.
Early Stopping Result:
 * Only processed 235 queries.
 * Need to process at least 662 queries for early stopping.

Per-query latency:  
Min latency (ns)                : 7078685
Max latency (ns)                : 8686466
Mean latency (ns)               : 7104183
"""  # noqa: W291  # LoadGen writes these two spaces


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mlperf_log_summary.txt"


def test_a_single_stream_summary_is_read_with_the_estimate_of_its_own_percentile(path: Path) -> None:
    path.write_text(SINGLE)
    assert read_summary(path) == LoadGenSummary(
        scenario="SingleStream",
        valid=True,
        min_duration_met=True,
        min_queries_met=True,
        early_stopping_met=True,
        queries=735,
        percent=90.0,
        percentile_ns=2142619,
        estimate_ns=2184061,
        mean_ns=2132446,
        max_ns=3892926,
    )


def test_a_summary_of_too_few_queries_has_no_estimate(path: Path) -> None:
    path.write_text(TOO_FEW)
    summary = read_summary(path)
    assert (summary.valid, summary.estimate_ns, summary.queries, summary.percentile_ns) == (False, None, 235, 8124182)
    assert (summary.min_duration_met, summary.min_queries_met, summary.early_stopping_met) == (False, False, False)


@pytest.mark.parametrize("text", [SINGLE, TOO_FEW])
def test_a_summary_that_ends_early_is_refused_wherever_it_ends(path: Path, text: str) -> None:
    lines = text.splitlines(keepends=True)
    needed = 1 + next(number for number, line in enumerate(lines) if line.startswith("Mean latency"))
    for kept in range(needed):
        path.write_text("".join(lines[:kept]))
        with pytest.raises(OutputError, match=r"cannot be read: .*missing"):
            read_summary(path)


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("Result is : VALID", "Result is : PROBABLY"),
        ("Min queries satisfied : Yes", "Min queries satisfied : 1"),
        ("Max latency (ns)                : 3892926", "Max latency (ns)                : 3.9e6"),
        (" * Early stopping 90.0th percentile estimate: 2184061\n", ""),
        ("Early stopping satisfied: Yes", "Early stopping satisfied: NO"),
    ],
)
def test_a_summary_of_another_form_is_refused(path: Path, line: str, other: str) -> None:
    assert line in SINGLE
    path.write_text(SINGLE.replace(line, other))
    with pytest.raises(OutputError, match="cannot be read"):
        read_summary(path)


def test_a_missing_summary_is_named(path: Path) -> None:
    with pytest.raises(OutputError, match=re.escape(f"{str(path)!r} cannot be read: No such file")):
        read_summary(path)


def test_an_empty_folder_takes_the_logs_and_a_link_to_it_stays_one(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    with log_folder(link) as logs:
        (logs.path / "mlperf_log_summary.txt").write_text(SINGLE)
        assert not any(folder.iterdir()), "nothing is there before it is whole"
        logs.keep()
    assert link.is_symlink()
    assert [file.name for file in folder.iterdir()] == ["mlperf_log_summary.txt"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "link"]


def test_logs_that_are_not_kept_leave_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with log_folder(tmp_path / "logs") as logs:
            (logs.path / "mlperf_log_summary.txt").write_text(SINGLE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_used_is_refused_and_left_alone(tmp_path: Path) -> None:
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "other").touch()
    file.touch()
    for taken in (full, file):
        with pytest.raises(OutputError, match="expected a free name or an empty folder"):
            check_logs(taken)
    with pytest.raises(OutputError, match=r"logs .*: the folder cannot be written: No such file or directory"):
        check_logs(tmp_path / "missing" / "logs")
    with pytest.raises(OutputError, match="cannot be written"):
        check_logs(Path("logs\0"))
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["file", "full", "other"]
