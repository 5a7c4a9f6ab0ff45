"""A file, pipe or standard output that takes whole lines at once."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from googlenet_edge.errors import OutputError

__all__ = ["LineFile"]


class LineFile:
    """Writes each line whole and unbuffered to a file, which it replaces, or to standard output for ``"-"``."""

    def __init__(self, target: Path | str, *, what: str) -> None:
        """Open the output; ``what`` begins the errors. Raises :class:`OutputError`."""
        self._what = what
        self._target = "standard output" if str(target) == "-" else str(target)
        self._descriptor: int | None = None
        try:
            if str(target) == "-":
                # A copy of the descriptor: sys.stdout's buffer stays empty, so nothing is left to fail at exit.
                self._descriptor = os.dup(1)
            else:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)
                self._descriptor = os.open(target, flags, 0o666)
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
        # Lone surrogates (text that is not UTF-8) become backslash escapes, which JSON reads back.
        rest = memoryview(f"{line}\n".encode("utf-8", "backslashreplace"))
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise self._failure(error) from error

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

    def _failure(self, error: OSError) -> OutputError:
        if error.errno == errno.EPIPE:
            return OutputError(f"{self._what}: the program that read {self._target} has closed it; the run ends here")
        return OutputError(
            f"{self._what}: cannot write {self._target}: {error.strerror}; "
            "name a file in a folder that exists, that you may write to and that has room"
        )
