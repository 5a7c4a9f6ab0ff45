from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from googlenet_edge.cli.journal import JournalFormatter, is_journal, with_priority


def test_only_the_stream_that_the_journal_reads_is_its_own(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w") as stream, (tmp_path / "other").open("w") as other:
        status = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert is_journal(stream, environment)
        assert not is_journal(other, environment)
        assert not is_journal(stream, {})
        assert not is_journal(stream, {"JOURNAL_STREAM": "nonsense"})
    assert not is_journal(stream, environment), "closed"


def test_each_line_has_the_priority_of_its_level() -> None:
    levels = [logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG]
    assert [with_priority("x", level) for level in levels] == ["<2>x", "<3>x", "<4>x", "<6>x", "<7>x"]
    record = logging.LogRecord("capture", logging.WARNING, "", 0, "lost:\n%s", ("why",), None)
    assert JournalFormatter("%(name)s: %(message)s").format(record) == "<4>capture: lost:\n<4>why"


def test_the_command_writes_priorities_where_the_journal_reads_it() -> None:
    read_end, write_end = os.pipe()
    status = os.fstat(write_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "googlenet_edge", "-v", "run", "no-bundle", "demo:"],
            env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}", "PYTHONWARNINGS": "error"},
            stderr=write_end,
            stdout=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
    finally:
        os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    assert done.returncode == 1
    assert all(line[:3] in ("<3>", "<4>", "<6>") for line in lines), lines
    assert lines[-1].startswith("<3>error: ")
    assert "no-bundle" in lines[-1]


def test_a_run_under_the_journal_writes_no_line_for_each_result(tiny_bundle: Path) -> None:
    read_end, write_end = os.pipe()
    status = os.fstat(write_end)
    command = [sys.executable, "-m", "googlenet_edge", "run", str(tiny_bundle), "demo:", "--size", "96x96"]
    try:
        done = subprocess.run(
            [*command, "--frames", "20", "--threads", "1"],
            env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}", "PYTHONWARNINGS": "error"},
            stdout=write_end,
            stderr=write_end,
            timeout=120,
            check=False,
        )
    finally:
        os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as stream:
        text = stream.read()
    assert done.returncode == 0, text
    assert "frame limit after 20 frames" in text
    assert "latency in ms" in text
    assert not [line for line in text.splitlines() if line.startswith("#")], "no line a result"
    assert "\x1b" not in text
