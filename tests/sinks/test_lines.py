from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.lines import LineFile


def run(code: str, **options: object) -> subprocess.Popen[str]:
    head = "import os, resource, sys\nfrom pathlib import Path\nfrom googlenet_edge.errors import OutputError\n"
    head += "from googlenet_edge.sinks.lines import LineFile\n"
    return subprocess.Popen([sys.executable, "-c", head + code], text=True, **options)  # type: ignore[call-overload, no-any-return]


def test_a_file_is_replaced_or_added_to(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for append, expected in ((False, "one\n"), (True, "one\none\n"), (False, "one\n")):
        file = LineFile(path, what="test", append=append)
        file.write("one")
        file.close()
        assert path.read_text() == expected


def test_a_line_that_a_crash_cut_short_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text('{"whole": 1}\n{"ha')
    file = LineFile(path, what="test", append=True)
    assert path.read_text().endswith('{"ha'), "nothing is written before there is a line"
    file.write("next")
    file.write("last")
    file.close()
    assert path.read_text().splitlines() == ['{"whole": 1}', '{"ha', "next", "last"]


@pytest.mark.parametrize("before", ["", "whole\n"])
def test_adding_to_whole_lines_makes_no_empty_one(before: str, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text(before)
    file = LineFile(path, what="test", append=True)
    file.write("next")
    file.close()
    assert path.read_text() == before + "next\n"


def test_half_a_line_is_taken_back_and_writing_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """The process may make no file above 100 bytes, as on a disk that is full in the middle of a line."""
    path = tmp_path / "lines"
    code = f"""
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
file = LineFile({str(path)!r}, what="test")
for i in range(4):
    try:
        file.write(str(i) * 29)
    except OutputError as error:
        print("refused:", error)
        print(Path({str(path)!r}).stat().st_size)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.write("4" * 29)
file.close()
"""
    process = run(code, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    refused, size = output.splitlines()
    assert "File too large" in refused
    assert size == "90"
    assert path.read_text().splitlines() == [digit * 29 for digit in "0124"]


def test_half_a_line_on_a_pipe_is_ended_before_the_next() -> None:
    """A pipe that does not wait takes as much as it has room for; what it has taken cannot be taken back."""
    code = """
os.set_blocking(1, False)
file = LineFile("-", what="test")
try:
    file.write("x" * 1_000_000)
except OutputError:
    print("full", file=sys.stderr, flush=True)
sys.stdin.readline()
file.write("next")
file.write("last")
"""
    process = run(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stderr.readline() == "full\n"
    taken = os.read(process.stdout.fileno(), 1_000_000)
    assert set(taken) == {ord("x")}
    process.stdin.write("\n")
    process.stdin.flush()
    output, _ = process.communicate(timeout=60)
    half, *lines = output.splitlines()
    assert set(half) <= {"x"}
    assert lines == ["next", "last"]


def test_a_file_that_was_rotated_away_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    file = LineFile(path, what="test")
    file.write("one")
    path.rename(tmp_path / "lines.1")
    file.write("two")
    file.reopen()
    assert not path.exists(), "it is opened with the next line, so a signal handler may ask for it"
    file.write("three")
    file.reopen()
    file.write("four")
    file.close()
    assert (tmp_path / "lines.1").read_text() == "one\ntwo\n"
    assert path.read_text() == "three\nfour\n"


def test_a_file_that_is_copied_and_truncated_goes_on_at_its_new_end(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    file = LineFile(path, what="test")
    file.write("one")
    os.truncate(path, 0)
    file.write("two")
    file.close()
    assert path.read_bytes() == b"two\n"


def test_a_file_that_cannot_be_opened_anew_is_an_error_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = LineFile(folder / "lines", what="test")
    file.write("one")
    folder.rename(tmp_path / "away")  # a disk that is taken out
    file.reopen()
    for _ in range(2):
        with pytest.raises(OutputError, match="No such file or directory"):
            file.write("two")
    (tmp_path / "away").rename(folder)
    file.write("three")
    file.close()
    assert (folder / "lines").read_text() == "one\nthree\n"


def test_standard_output_is_not_opened_anew(capfd: pytest.CaptureFixture[str]) -> None:
    file = LineFile("-", what="test")
    file.reopen()
    file.write("one")
    file.close()
    assert capfd.readouterr().out == "one\n"


def test_a_named_pipe_without_a_reader_is_an_error_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OutputError, match=r"no program reads .*; start the reader first"):
        LineFile(fifo, what="test")


def test_a_named_pipe_waits_for_its_slow_reader(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    code = f"file = LineFile({str(fifo)!r}, what='test')\nfile.write('x' * 500_000)\n"
    process = run(code)
    os.set_blocking(reading, True)
    read = 0
    while read < 500_001:
        read += len(os.read(reading, 100_000))
    os.close(reading)
    assert process.wait(60) == 0


def test_with_patience_a_reader_that_stops_reading_holds_nothing_up(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(fifo, what="test", patience_s=0.05)
    written = 0
    try:
        while written < 1000:
            file.write(f"{written} " + "x" * 10_000)
            written += 1
    except OutputError as error:
        assert "does not read on" in str(error)  # noqa: PT017 - how many it takes before is the system's choice
    assert 1 <= written < 1000
    began = time.monotonic()
    for _ in range(1000):  # would take 50 s if each waited
        with pytest.raises(OutputError, match="does not read on"):
            file.write("refused")
    assert time.monotonic() - began < 25
    read = bytearray()
    while len(read) < written * 10_000:
        read += os.read(reading, 100_000)
    file.write("next")
    read += os.read(reading, 100_000)
    os.close(reading)
    file.close()
    *whole, half, last = read.decode().splitlines()
    assert [line.split()[0] for line in whole] == [str(i) for i in range(written)]
    assert half.startswith(str(written))
    assert last == "next"


def test_a_reader_that_is_started_again_gets_whole_lines(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    first = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(fifo, what="test")
    file.write("one")
    assert os.read(first, 1000) == b"one\n"
    os.close(first)
    with pytest.raises(OutputError, match="has closed it"):
        file.write("two")
    with pytest.raises(OutputError, match="no program reads"):
        file.write("three")
    second = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    file.write("four")
    assert os.read(second, 1000) == b"four\n"
    os.close(second)
    file.close()
