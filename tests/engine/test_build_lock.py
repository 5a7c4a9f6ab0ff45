from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from googlenet_edge.engine.build_lock import build_lock
from googlenet_edge.errors import EngineError

HOLDER = """
import sys
from pathlib import Path
from googlenet_edge.engine.build_lock import build_lock
with build_lock(Path(sys.argv[1])) as held:
    print(held, flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock, until its stdin is closed."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process


class Heard(logging.Handler):
    """Sets an event at the first message."""

    def __init__(self) -> None:
        super().__init__()
        self.event = threading.Event()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self.event.set()


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler = Heard()
    logger = logging.getLogger("googlenet_edge.engine.build_lock")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.mark.parametrize("killed", [False, True])
def test_a_second_process_waits_says_so_and_goes_on_when_the_first_one_ends(
    tmp_path: Path, heard: Heard, *, killed: bool
) -> None:
    got = threading.Event()

    def work() -> None:
        with build_lock(tmp_path) as held:
            if held:
                got.set()

    with holder(tmp_path) as other:
        waiter = threading.Thread(target=work)
        waiter.start()
        assert heard.event.wait(30)
        assert not got.is_set()
        assert heard.messages == [f"process {other.pid} builds an engine in {tmp_path}: waiting for it"]
        if killed:
            other.kill()
        other.communicate()
        waiter.join(30)
    assert got.is_set()


def test_a_lock_file_that_a_dead_process_left_is_no_obstacle(tmp_path: Path, heard: Heard) -> None:
    with holder(tmp_path) as other:
        other.kill()
    assert (tmp_path / ".lock").exists()
    with build_lock(tmp_path) as held:
        assert held
    assert heard.messages == []


def test_waiting_ends_when_it_is_stopped(tmp_path: Path, heard: Heard) -> None:
    stop = threading.Event()
    stop.set()
    with (
        build_lock(tmp_path),
        pytest.raises(EngineError, match="stopped while waiting"),
        build_lock(tmp_path, stop=stop),
    ):
        pytest.fail("the lock was given twice")


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), build_lock(tmp_path):
        raise ZeroDivisionError
    with build_lock(tmp_path) as held:
        assert held


def test_a_file_system_without_locks_is_said_and_no_obstacle(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with build_lock(tmp_path) as held:
        assert not held
    with build_lock(tmp_path / "missing") as held:
        assert not held
    assert "it cannot be locked (No locks available)" in heard.messages[0]
    assert "it cannot be locked (No such file or directory)" in heard.messages[1]


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path, heard: Heard) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / ".lock").symlink_to(mine)
    with build_lock(tmp_path) as held:
        assert not held
    assert mine.read_text() == "mine"
    assert "it cannot be locked (.lock there is a link: delete it)" in heard.messages[0]


def test_a_pipe_in_the_place_of_the_lock_is_not_waited_for(tmp_path: Path, heard: Heard) -> None:
    os.mkfifo(tmp_path / ".lock")
    with build_lock(tmp_path) as held:
        assert not held
    assert "not a regular file" in heard.messages[0]
