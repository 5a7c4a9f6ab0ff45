"""Real things to read frames from: video files, an HTTP server and RTSP servers on the loopback interface."""

from __future__ import annotations

import http.server
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

SYSTEM_PYTHON = Path("/usr/bin/python3")
GRAY_STEP = 8
MakeVideo = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def jpeg(level: int) -> bytes:
    """A grey JPEG of 160x120."""
    return cv2.imencode(".jpg", np.full((120, 160, 3), level, np.uint8))[1].tobytes()


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """Writes a video of 160x120 whose frame i is grey of level 8 i."""

    def make(name: str = "clip.mp4", *, frames: int = 30, fourcc: str = "mp4v") -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*fourcc), 10, (160, 120))
        assert writer.isOpened()
        for i in range(frames):
            writer.write(np.full((120, 160, 3), GRAY_STEP * i, np.uint8))
        writer.release()
        return path

    return make


ODD_PARTS = {
    "/no-length": b"--frame\r\nContent-Type: image/jpeg\r\n\r\n%b\r\n",
    "/no-dashes": b"frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n",
    "/no-type": b"\r\n--another boundary\r\nContent-Length: %d\r\n\r\n%b",
    "/wrong-length": b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 7%d\r\n\r\n%b\r\n",
    "/noise": bytes(i for i in range(256) if i != 37) * 3
    + b"\xff\xd8--frame\nContent-type:image/jpg\n\n%b\xff\xff\xd8\xd8",
    "/nothing": b"%b",
}
"""How cameras part their pictures, and what they should not do."""
_NAMES = ("mjpeg", "unnamed", "stall", "trickle", "end", "login", "broken", "flaky", "torn", "one", "late", "colours")
PATHS = {f"/{name}" for name in _NAMES}
LATE_S = 2.5
"""Silence of /late."""
COLOURS = ((0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255), (0, 0, 0), (40, 120, 220), (128, 128, 128))
"""BGR."""


def _picture(path: str, i: int) -> bytes:
    if path == "/broken" or (path == "/flaky" and i % 5 == 3):
        return b"no picture"
    if path == "/colours":
        return cv2.imencode(".jpg", np.full((48, 64, 3), COLOURS[i % len(COLOURS)], np.uint8))[1].tobytes()
    if path == "/sizes":
        return cv2.imencode(".jpg", np.full((120, 160 + i, 3), 90, np.uint8))[1].tobytes()
    whole = jpeg(i % 32 * GRAY_STEP)
    return whole[: len(whole) // 2] if path == "/torn" and i % 5 == 3 else whole


class _Handler(http.server.BaseHTTPRequestHandler):
    """Paths: /mjpeg and those of ODD_PARTS; /one (a picture, then silence), /late (silence first), /stall (10 frames,
    then silence), /trickle (10 frames, then a byte at a time), /end (10 frames), /login (needs me:S3cret!pw), /broken
    (MJPEG without pictures), /flaky (every fifth is none), /torn (every fifth is half), /colours, /sizes (each of
    another width), /unnamed (without a content type), /busy (no room for the first two requests), /html, /notes.txt,
    /jpg, and the files that a test gave the server, slowly and without their length if their name ends in .ts; anything
    else is 404.
    """

    server: HttpCamera

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        self.server.requests.append(self.path)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/login" and self.headers.get("Authorization") != "Basic bWU6UzNjcmV0IXB3":
            self._head(401, "text/plain", ("WWW-Authenticate", 'Basic realm="camera"'))
        elif path == "/busy" and self.server.busy:
            self.server.busy -= 1
            self.send_error(503)
        elif path in (*PATHS, "/sizes", "/busy", *ODD_PARTS):
            self._mjpeg(path)
        elif path == "/html":
            self._head(200, "text/html")
            self.wfile.write(b"<html>the camera's own page</html>")
        elif path == "/notes.txt":
            text = b"a page of plain text\n" * 500
            self._head(200, "text/plain", ("Content-Length", str(len(text))))
            self.wfile.write(text)
        elif path == "/jpg":
            picture = jpeg(50)
            self._head(200, "image/jpeg", ("Content-Length", str(len(picture))))
            self.wfile.write(picture)
        elif path.endswith(".ts"):  # a transmission, which has no length
            self._head(200, "video/mp2t")
            data = self.server.files[path]
            for at in range(0, len(data), 1880):
                self.wfile.write(data[at : at + 1880])
                if self.server.ended.wait(0.01):
                    return
        elif path in self.server.files:
            self._head(200, "video/mp4", ("Content-Length", str(len(self.server.files[path]))))
            self.wfile.write(self.server.files[path])
        else:
            self.send_error(404)

    def _head(self, status: int, kind: str, *more: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), *more):
            self.send_header(name, value)
        self.end_headers()

    def _mjpeg(self, path: str) -> None:
        if path == "/unnamed":  # it does not say what it is
            self.send_response(200)
            self.end_headers()
        else:
            self._head(200, "multipart/x-mixed-replace; boundary=frame")
        if path == "/late" and self.server.ended.wait(LATE_S):
            return
        for i in range(100_000):
            if path in ("/stall", "/trickle", "/end") and i == 10:
                while path != "/end" and not self.server.ended.wait(0.02):
                    if path == "/trickle":
                        self.wfile.write(b"x")
                return
            picture = _picture(path, i)
            part = ODD_PARTS.get(path, b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n")
            if path == "/one":
                part = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n%b\r\n"
            self.wfile.write(part % ((len(picture), picture) if b"%d" in part else picture))
            self.server.sent = i
            if self.server.ended.wait(1e9 if path == "/one" else 0.02):
                return


class HttpCamera(http.server.ThreadingHTTPServer):
    """See :class:`_Handler`."""

    daemon_threads = True
    colours = COLOURS

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ended = threading.Event()
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.busy = 2
        self.sent = -1
        """Number of the picture that was sent last."""

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error."""

    def uri(self, path: str, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.server_port}{path}"


@pytest.fixture
def http_camera() -> Iterator[HttpCamera]:
    with HttpCamera() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


@contextmanager
def rtsp_process(login: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    script = Path(__file__).with_name("rtsp_server.py")
    with subprocess.Popen([SYSTEM_PYTHON, script, login], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


StartRtsp = Callable[[str], "tuple[subprocess.Popen[str], int]"]


@pytest.fixture(scope="session")
def _rtsp_possible() -> None:
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, text=True, timeout=20, check=False)
    except OSError as error:
        pytest.skip(f"no RTSP server: {error}")
    if done.returncode:
        pytest.skip(f"no RTSP server (apt install python3-gi gir1.2-gst-rtsp-server-1.0): {done.stderr[-200:]}")


@pytest.fixture
def start_rtsp(_rtsp_possible: None) -> Iterator[StartRtsp]:
    """Starts an RTSP server process with login none, basic or digest; gives the process and its port."""
    with ExitStack() as stack:

        def start(login: str) -> tuple[subprocess.Popen[str], int]:
            return stack.enter_context(rtsp_process(login))

        yield start


@pytest.fixture(scope="session")
def rtsp_port(_rtsp_possible: None) -> Iterator[int]:
    """The port of an RTSP server without login that all tests share."""
    with rtsp_process("none") as (_, port):
        yield port


@pytest.fixture(scope="session")
def rtsp_digest_port(_rtsp_possible: None) -> Iterator[int]:
    """The port of an RTSP server with digest login that all tests share."""
    with rtsp_process("digest") as (_, port):
        yield port


@pytest.fixture
def ticking() -> Callable[[], int]:
    """A clock that moves on by 1000 ns each time it is read."""
    lock, now = threading.Lock(), 0

    def clock() -> int:
        nonlocal now
        with lock:
            now += 1000
            return now

    return clock


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits until a condition holds that another thread brings about; fails after a minute."""

    def wait(condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < limit, "it never happened"
            time.sleep(0.005)

    return wait
