from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from googlenet_edge.atomic import atomic_file, check_writable
from googlenet_edge.errors import OutputError


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_bytes(b"old")
    with atomic_file(path, what="JSON file") as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["figures.json"]


def write_half_and_raise(path: Path, error: BaseException) -> None:
    with atomic_file(path, what="JSON file") as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, raised: type[BaseException]) -> None:
    path = tmp_path / "figures.json"
    path.write_bytes(b"old")
    with pytest.raises(raised):
        write_half_and_raise(path, raised())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["figures.json"]


def test_an_error_of_the_system_while_writing_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    with pytest.raises(OutputError, match="No space left on device"):
        write_half_and_raise(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["missing/figures.json", "folder", "file/figures.json", "zero\0byte"])
def test_what_cannot_be_written_is_said_before_and_after(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / name
    with pytest.raises(OutputError, match=r"JSON file .* cannot be written"):
        check_writable(path, what="JSON file")
    with pytest.raises(OutputError, match=r"JSON file .* cannot be written"), atomic_file(path, what="JSON file"):
        pass
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_asking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "figures.json", what="JSON file")
    assert not list(tmp_path.iterdir())


def test_pipes_and_devices_are_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="not a plain file"):
        check_writable(pipe, what="JSON file")
    with pytest.raises(OutputError, match="not a plain file"), atomic_file(pipe, what="JSON file") as file:
        file.write(b"x")
    assert pipe.is_fifo()
