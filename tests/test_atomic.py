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
    with pytest.raises(OutputError, match="not a regular file"):
        check_writable(pipe, what="JSON file")
    with pytest.raises(OutputError, match="not a regular file"), atomic_file(pipe, what="JSON file") as file:
        file.write(b"x")
    assert pipe.is_fifo()


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    file = tmp_path / "there" / "figures.json"
    (tmp_path / "second").symlink_to(file)
    link = tmp_path / "link"
    link.symlink_to("second")
    for content in (b"made", b"replaced"):  # a link may lead to a file that is yet to be made
        check_writable(link, what="JSON file")
        with atomic_file(link, what="JSON file") as opened:
            opened.write(content)
            assert [entry.name for entry in file.parent.iterdir() if entry != file] == [
                f".figures.json.{os.getpid()}.partial"
            ]
        assert (link.is_symlink(), file.read_bytes()) == (True, content)
        assert [entry.name for entry in file.parent.iterdir()] == ["figures.json"]


def refuse(path: Path, why: str) -> None:
    with pytest.raises(OutputError, match=f"cannot be written: .*{why}"):
        check_writable(path, what="JSON file")
    with pytest.raises(OutputError, match=f"cannot be written: .*{why}"), atomic_file(path, what="JSON file") as file:
        file.write(b"x")


def test_links_to_devices_and_open_files_are_not_replaced(tmp_path: Path) -> None:
    link = tmp_path / "link"
    with (tmp_path / "open").open("wb") as file:
        for target in ("/dev/null", f"/proc/self/fd/{file.fileno()}", f"/dev/fd/{file.fileno()}", "/dev/stdout"):
            link.symlink_to(target)
            refuse(link, "not a regular file")
            assert link.readlink() == Path(target)
            link.unlink()
        refuse(Path(f"/proc/self/fd/{file.fileno()}"), "not a regular file")
    assert [entry.name for entry in tmp_path.iterdir()] == ["open"]


@pytest.mark.parametrize("name", ["", ".", "..", "/"])
def test_a_path_without_a_name_is_one_message(name: str) -> None:
    refuse(Path(name), "it is a folder")


def test_a_loop_of_links_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    refuse(tmp_path / "a", "Too many levels of symbolic links")
