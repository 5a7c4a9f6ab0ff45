"""Cameras for the tests: server processes on 127.0.0.1 that can be killed, frozen and brought back on their port."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

HERE = Path(__file__).parent
SYSTEM_PYTHON = Path("/usr/bin/python3")
START_S = 30.0
"""Longest wait for a server's port, on a machine that is busy."""


@dataclass
class StreamServer:
    """One camera on the network. Its numbers go on by the clock, also while it is away."""

    kind: Literal["mjpeg", "rtsp"]
    camera: int = 1
    fps: float = 30.0
    size: tuple[int, int] = (640, 360)
    port: int = 0
    codec: Literal["h264", "h265"] = "h264"
    """Of RTSP."""
    epoch_ns: int = field(default_factory=time.monotonic_ns)
    process: subprocess.Popen[str] | None = None
    _skipped: set[int] = field(default_factory=set)
    _stopped: bool = False

    def start(self) -> StreamServer:
        """Start the process, on the port that it had, and wait until it listens."""
        interpreter = SYSTEM_PYTHON if self.kind == "rtsp" else sys.executable
        arguments: list[object] = [self.camera, self.epoch_ns, self.fps, *self.size, self.port]
        arguments += [self.codec] if self.kind == "rtsp" else []
        self.process = subprocess.Popen(
            [interpreter, HERE / f"{self.kind}_server.py", *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.port = int(self._answer())
        return self

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/cam" if self.kind == "mjpeg" else f"rtsp://127.0.0.1:{self.port}/cam"

    @property
    def pids(self) -> tuple[int, ...]:
        """The process, where there is one."""
        return () if self.process is None else (self.process.pid,)

    @property
    def period_s(self) -> float:
        return 1 / self.fps

    def number_at(self, time_ns: int) -> int:
        """The number that is due at a time of the monotonic clock."""
        return int((time_ns - self.epoch_ns) * self.fps / 1e9)

    def tell(self, line: str) -> str:
        """Send a command (see the servers) and return the answer."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        assert not answer.startswith("unknown"), answer
        return answer

    def skipped(self) -> set[int]:
        """The numbers that were due and never sent, so far, while it ran."""
        if self.process is not None and not self._stopped:
            answer = self.tell("skipped")
            self._skipped |= set() if answer == "none" else set(map(int, answer.split()))
        return self._skipped

    def stop(self) -> None:
        """SIGSTOP: the connections stay, nothing comes."""
        assert self.process is not None
        self._stopped = True
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self._stopped = False

    def revive(self) -> None:
        """Bring it back, whether it was killed or stopped."""
        if self.process is None:
            self.start()
        self.go_on()

    def kill(self) -> None:
        """Kill -9, as a power cut does it; the port stays for the next start."""
        if self.process is None:
            return
        with suppress(AssertionError, OSError):  # it may have ended by itself
            self.skipped()
        self.process.kill()
        self._stopped = False
        self.process.wait(START_S)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process = None

    def __enter__(self) -> StreamServer:
        return self if self.process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def _answer(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, f"the {self.kind} server ended: {self.process.poll()}"
        return line


def why_no_rtsp() -> str | None:
    """Say why there is no RTSP server on this machine; None where there is one."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    try:
        done = subprocess.run(
            [SYSTEM_PYTHON, "-c", probe], capture_output=True, text=True, timeout=START_S, check=False
        )
    except OSError as error:
        return f"no RTSP server: {error}"
    if done.returncode:
        return f"no RTSP server (apt install python3-gi gir1.2-gst-rtsp-server-1.0): {done.stderr[-200:]}"
    return None


def has_element(name: str) -> bool:
    """Whether GStreamer has this element."""
    try:
        done = subprocess.run(["gst-inspect-1.0", "--exists", name], timeout=START_S, check=False)
    except OSError:
        return False
    return done.returncode == 0
