"""The power rails that ``tegrastats`` prints, for boards whose sensors cannot be read as files."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from googlenet_edge.latency.watch.sensors.board_rails import board_rails
from googlenet_edge.latency.watch.sensors.rail import Meter, Rail, Unreadable
from googlenet_edge.latency.watch.sensors.tegrastats import parse_tegrastats

__all__ = ["TegrastatsMeter", "open_tegrastats"]

_PROGRAMS = ("usr/bin/tegrastats", "usr/sbin/tegrastats", "bin/tegrastats", "home/nvidia/tegrastats")
_INTERVAL_MS = 500
_FIRST_LINE_S = 5.0
_END_S = 0.3
_METER = "tegrastats"


class TegrastatsMeter:
    """Runs tegrastats and keeps its newest line; see :class:`~googlenet_edge.latency.watch.sensors.rail.Meter`.

    A thread of its own reads the process's output. :meth:`close` ends the process and joins the thread, within about
    a second. A process that ends by itself gives no more readings: each is returned once.
    """

    def __init__(self, program: str) -> None:
        """Start the process; raises OSError where that fails. ``rails`` is empty where no power came within 5 s."""
        self._process = subprocess.Popen(
            [program, "--interval", str(_INTERVAL_MS)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C in the terminal ends the run, and the run ends this
        )
        self._lock = threading.Lock()
        self._newest: Mapping[str, int] = {}
        self._answered = threading.Event()
        self._thread = threading.Thread(target=self._follow, args=(self._process.stdout,), name=_METER, daemon=True)
        self._thread.start()
        try:
            self._answered.wait(_FIRST_LINE_S)
        except BaseException:  # Ctrl-C: nobody else could end the process
            self.close()
            raise
        with self._lock:
            names = list(self._newest)
        self.rails: Sequence[Rail] = board_rails(names, [_METER] * len(names))

    def read(self) -> list[int | None]:
        """Return the power of each rail in microwatts, by the newest line; None where there was none since."""
        with self._lock:
            newest, self._newest = self._newest, {}
        return [1000 * newest[rail.name] if rail.name in newest else None for rail in self.rails]

    def close(self) -> None:
        """End the process and its thread."""
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_END_S)
        self._thread.join(_END_S)
        if self._process.stdout is not None and not self._thread.is_alive():
            self._process.stdout.close()

    def _follow(self, lines: IO[str] | None) -> None:
        for line in lines or ():
            powers = parse_tegrastats(line).power_mw
            if powers:
                with self._lock:
                    self._newest = powers
                self._answered.set()
        self._answered.set()


def open_tegrastats(root: Path) -> Meter | Unreadable:
    """Return the rails that tegrastats prints, or why there are none. Takes up to 5 s for its first line."""
    program = next((found for name in _PROGRAMS if (found := shutil.which(root / name))), None)
    if program is None:
        return Unreadable(_METER, "there is no tegrastats: it comes with JetPack, and containers lack it")
    try:
        meter = TegrastatsMeter(program)
    except OSError as error:
        return Unreadable(_METER, f"it cannot be started: {error}")
    if meter.rails:
        return meter
    meter.close()
    return Unreadable(_METER, f"it printed no power within {_FIRST_LINE_S:g} s")
