"""A file, pipe or standard output that takes whole lines at once."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
from pathlib import Path

from googlenet_edge.errors import OutputError

__all__ = ["LineFile"]


class LineFile:
    """Writes each line whole and unbuffered to a file, a pipe or, for ``"-"``, standard output.

    A line that cannot be written to its end, as on a disk that is full, is taken back from a file; on a pipe, where it
    cannot be, the next line begins on a line of its own. So writing may go on after an error: the next line opens the
    file anew.
    """

    def __init__(self, target: Path | str, *, what: str, append: bool = False, patience_s: float | None = None) -> None:
        """Open the output; a file is replaced or, with ``append``, added to. ``what`` begins the errors.

        A last line that a crash left without its end is ended before the first line is added. A program that reads too
        slowly from a pipe is waited for; with ``patience_s`` for that long, and then no more until it reads on: lines
        are refused then, but nothing is held up. Raises :class:`OutputError`, also for a named pipe without a reader,
        since waiting for one could not be interrupted.
        """
        self._what = what
        self._path = None if str(target) == "-" else target
        self._target = "standard output" if self._path is None else str(target)
        self._patience_s = patience_s
        self._stalled = False
        self._descriptor: int | None = None
        self._torn = False
        self._reopen = False
        try:
            self._descriptor = self._open(append=append)
        except OSError as error:
            raise self._failure(error) from error

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._descriptor is None

    def write(self, line: str) -> None:
        """Write the line and its end. Raises :class:`OutputError`."""
        if self._descriptor is None:
            raise OutputError(f"{self._what}: {self._target} is closed")
        done = 0
        data = b""
        try:
            if self._reopen:
                self._reopen = False
                old, self._descriptor = self._descriptor, self._open(append=True)
                os.close(old)
            # Lone surrogates (text that is not UTF-8) become backslash escapes, which JSON reads back.
            data = (b"\n" if self._torn else b"") + f"{line}\n".encode("utf-8", "backslashreplace")
            while done < len(data):
                done += self._write_some(self._descriptor, data[done:])
        except OSError as error:
            if error.errno == errno.EPIPE:
                self._torn = False  # the next reader has not seen the half line
            elif done and not self._take_back(done):
                self._torn = data[done - 1 : done] != b"\n"
            # The file may have been removed to make room, its disk taken out and put back, its reader started again.
            self.reopen()
            raise self._failure(error) from error
        self._torn = False

    def reopen(self) -> None:
        """Open the file anew, to add to it, with the next line: after its disk came back, or when it was rotated away.

        May be called from a signal handler. Where it cannot be opened, :meth:`write` raises until it can.
        """
        self._reopen = self._path is not None

    def close(self) -> None:
        """Close the output; a second call does nothing. Raises :class:`OutputError`."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                os.close(descriptor)
            except OSError as error:  # some file systems report a full disk only here
                raise self._failure(error) from error

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            if self._descriptor is not None:
                os.close(self._descriptor)

    def _open(self, *, append: bool) -> int:
        if self._path is None:
            # A copy of the descriptor: sys.stdout's buffer stays empty, so nothing is left to fail at exit.
            return os.dup(1)
        # O_APPEND: after a rotation by copying and truncating, writing goes on at the file's new end.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._path, flags if append else flags | os.O_TRUNC, 0o666)
        try:
            os.set_blocking(descriptor, True)  # only opening must not wait; a slow reader may be waited for
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._torn = self._ends_in_mid_line()
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _write_some(self, descriptor: int, data: bytes) -> int:
        if self._patience_s is None or stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.write(descriptor, data)
        room = select.poll()
        room.register(descriptor, select.POLLOUT)
        if not room.poll(0 if self._stalled else self._patience_s * 1000):
            self._stalled = True
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        done = os.write(descriptor, data[: select.PIPE_BUF])  # as much as there is room for, so that it does not wait
        self._stalled = False
        return done

    def _ends_in_mid_line(self) -> bool:
        try:
            with Path(self._target).open("rb") as file:
                if file.seek(0, os.SEEK_END) == 0:
                    return False
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except OSError:  # a file that may be written but not read
            return False

    def _take_back(self, written: int) -> bool:
        """Cut the last bytes from the end of a regular file, and say whether that was possible."""
        if self._descriptor is None:
            return False
        try:
            status = os.fstat(self._descriptor)
            if not stat.S_ISREG(status.st_mode):
                return False
            end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            if status.st_size != end:  # somebody else has written behind it
                return False
            os.ftruncate(self._descriptor, end - written)
            os.lseek(self._descriptor, end - written, os.SEEK_SET)
        except OSError:
            return False
        return True

    def _failure(self, error: OSError) -> OutputError:
        if error.errno == errno.EPIPE:
            return OutputError(f"{self._what}: the program that read {self._target} has closed it")
        if error.errno == errno.ETIMEDOUT and self._stalled:
            return OutputError(f"{self._what}: the program that reads {self._target} does not read on")
        if error.errno == errno.ENXIO:
            return OutputError(
                f"{self._what}: no program reads {self._target}; start the reader first, or use --on-output-error drop"
            )
        return OutputError(
            f"{self._what}: cannot write {self._target}: {error.strerror}; "
            "name a file in a folder that exists, that you may write to and that has room"
        )
