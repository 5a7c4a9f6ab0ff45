"""Runs one job in a process of its own, which ends with the job, with a stop, or with this process."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final, TypeVar

import googlenet_edge
from googlenet_edge.errors import InputError
from googlenet_edge.scenarios.matrix.jobs import Answer, Failed, Job, Phase, decode_message, encode

__all__ = ["JobFailedError", "JobStoppedError", "expect_answer", "run_job"]

_Expected = TypeVar("_Expected", bound=Answer)

_logger = logging.getLogger(__name__)

_SCRIPT: Final = Path(__file__).with_name("child.py")
_STARTING_S: Final = 120.0
"""Until its first message: loading Python and numpy, from a slow card."""
_LOOK_MS: Final = 100
"""How often a wait looks for the stop event."""
_GRACE_S: Final = 0.3
"""For an interrupted process, to remove what it was writing; then it is killed."""
_GONE_S: Final = 5.0
_LAST_WORDS_BYTES: Final = 4096


class JobFailedError(Exception):
    """A job could not be done; the message says why."""


class JobStoppedError(Exception):
    """The stop event was set while the job was under way; its process is gone."""


def run_job(
    job: Job, *, stop: threading.Event, descriptors: Sequence[int] = (), on_phase: Callable[[str], None] | None = None
) -> Answer:
    """Do a job and return what came of it. ``descriptors`` are open files that the job names.

    The process is in a session of its own, so that Ctrl-C in a terminal reaches it through ``stop`` alone. Raises
    :class:`JobFailedError`, :class:`JobStoppedError`, and OSError where the process cannot be started.
    """
    home = str(Path(googlenet_edge.__file__).parents[1])
    paths = [str(Path(entry).absolute()) for entry in (*sys.path, home)]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=tuple(descriptors),
            start_new_session=True,
            bufsize=0,
        )
        try:
            # Its standard input stays open: the end of it is the end of the process.
            _pipe(process.stdin).write(json.dumps(paths).encode() + b"\n" + encode(job))
            answer = _follow(process, stop, on_phase, errors)
        except BrokenPipeError:
            raise JobFailedError(_how_it_ended(process, errors)) from None
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
            return answer
        finally:
            _end(process)


def expect_answer(kind: type[_Expected], answer: Answer) -> _Expected:
    """Return the answer if it is of this kind. Raises :class:`JobFailedError` otherwise."""
    if not isinstance(answer, kind):
        raise JobFailedError(f"its process answered with {type(answer).__name__}, expected {kind.__name__}")
    return answer


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise InputError("process: got no pipe to it, expected one")
    return pipe


def _follow(
    process: subprocess.Popen[bytes],
    stop: threading.Event,
    on_phase: Callable[[str], None] | None,
    errors: IO[bytes],
) -> Answer:
    descriptor = _pipe(process.stdout).fileno()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    phase, begun, limit_s = "starting", time.monotonic(), _STARTING_S
    received = b""
    while True:
        if stop.is_set():
            raise JobStoppedError
        if not poll.poll(_LOOK_MS):
            if time.monotonic() - begun > limit_s:
                raise JobFailedError(f"no sign of life for {limit_s:.0f} s ({phase}); its process was ended")
            continue
        chunk = os.read(descriptor, 1 << 20)
        if not chunk:
            raise JobFailedError(_how_it_ended(process, errors))
        *lines, received = (received + chunk).split(b"\n")
        for line in lines:
            message = decode_message(line)
            if isinstance(message, Failed):
                if message.traceback is not None:
                    _logger.error("a job failed\n%s", message.traceback)
                raise JobFailedError(message.reason)
            if not isinstance(message, Phase):
                return message
            phase, begun, limit_s = message.text, time.monotonic(), message.limit_s
            if on_phase is not None:
                on_phase(phase)


def _how_it_ended(process: subprocess.Popen[bytes], errors: IO[bytes]) -> str:
    try:
        code = process.wait(_GONE_S)
    except subprocess.TimeoutExpired:
        return "its process closed its pipe and went on; it was ended"
    if code == -signal.SIGKILL:
        return "its process was killed (SIGKILL), by the kernel for want of memory, most likely: use smaller batches"
    how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES))
    words = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    return f"its process {how}" + (f"; its last words: {words[-1].strip()}" if words else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process, by force if it does not end by itself, with what it has started; close the pipes."""
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            try:
                process.wait(_GONE_S)
            except subprocess.TimeoutExpired:
                _logger.warning("process %d cannot be ended", process.pid)
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
