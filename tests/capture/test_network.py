from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import googlenet_edge
from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.errors import SourceError, SourceLostError, UsageError

QUICK = SourceOptions(open_timeout_ms=10_000, read_timeout_ms=1000)
PATIENT = SourceOptions(open_timeout_ms=30_000, read_timeout_ms=30_000)  # for a busy machine
PATIENT_ALL = SourceOptions(open_timeout_ms=30_000, read_timeout_ms=30_000, every_frame=True)
BOUNDED_S = 20.0
"""Far above every limit set here, far below a wait without one."""
MakeVideo = Callable[..., Path]
Eventually = Callable[[Callable[[], bool]], None]


@contextmanager
def silent_server() -> Iterator[int]:
    """A server that accepts connections and never says a word."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# HTTP


def test_mjpeg_is_live_and_redacted(http_camera: Any, ticking: Callable[[], int]) -> None:
    with open_source(http_camera.uri("/mjpeg", "me:S3cret!pw@"), PATIENT, clock=ticking) as source:
        frames = [frame for frame, _ in zip(source, range(5), strict=False)]
        assert source.live
        assert source.description == f"http://***@127.0.0.1:{http_camera.server_port}/mjpeg"
        assert "S3cret" not in repr(source) + str(threading.enumerate())
    assert all(f.image.shape == (120, 160, 3) and f.image.dtype == np.uint8 for f in frames)
    assert [f.sequence for f in frames] == sorted(f.sequence for f in frames)
    assert all(f.stamp_source == "host" and f.captured_ns % 1000 == 0 for f in frames)


def test_a_slow_caller_gets_new_frames_and_the_count_of_old_ones(http_camera: Any, eventually: Eventually) -> None:
    with open_source(http_camera.uri("/mjpeg"), PATIENT) as source:
        frames = iter(source)
        first = next(frames)
        before = source.dropped
        eventually(lambda: source.dropped >= before + 5)
        second = next(frames)
        assert second.sequence - first.sequence >= 6
        assert time.monotonic_ns() - second.captured_ns < BOUNDED_S * 1e9
    assert source.dropped >= second.sequence - first.sequence - 1


def test_every_frame_on_request(http_camera: Any) -> None:
    with open_source(http_camera.uri("/mjpeg"), PATIENT_ALL) as source:
        frames = [frame for frame, _ in zip(source, range(20), strict=False)]
    assert [f.sequence for f in frames] == list(range(20))
    assert [round(float(f.image.mean()) / 8) for f in frames] == list(range(20))


@pytest.mark.parametrize("path", ["/stall", "/trickle", "/broken"])
def test_a_stream_that_stalls_is_lost_after_the_read_timeout(
    http_camera: Any, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    with (
        pytest.raises(SourceError, match=r"http://\*\*\*@127.0.0.1:\d+/") as caught,
        open_source(
            http_camera.uri(path, "me:S3cret@"), SourceOptions(open_timeout_ms=1500, read_timeout_ms=1000)
        ) as source,
    ):
        for _ in source:
            pass
    assert time.monotonic() - started < BOUNDED_S
    if path != "/broken":
        assert isinstance(caught.value, SourceLostError)
        assert re.search("no frame for 1000 ms, after 10 frames", str(caught.value))


def test_a_damaged_picture_does_not_end_the_stream(http_camera: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with open_source(http_camera.uri("/flaky"), PATIENT_ALL) as source:
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
    assert [f.sequence for f in frames] == list(range(10))
    assert [round(float(f.image.mean()) / 8) for f in frames] == [0, 1, 2, 4, 5, 6, 7, 9, 10, 11]


def test_a_stream_that_the_server_ends_is_lost(http_camera: Any) -> None:
    with (
        open_source(http_camera.uri("/end"), QUICK) as source,
        pytest.raises(SourceLostError, match="the server ended the stream after 10 frames"),
    ):
        list(source)


def test_a_video_over_http_is_read_like_a_file(http_camera: Any, make_video: MakeVideo) -> None:
    http_camera.files["/clip.mp4"] = make_video().read_bytes()
    with open_source(http_camera.uri("/clip.mp4"), PATIENT) as source:
        frames = list(source)
    assert [round(float(f.image.mean()) / 8) for f in frames] == list(range(30))
    assert (source.live, source.dropped) == (False, 0)


@pytest.mark.parametrize(
    ("path", "login", "message"),
    [
        ("/nope", "", "answers 404 Not Found: there is no stream under this path"),
        ("/html", "", "not a video stream: the server sends 'text/html'"),
        ("/login", "", "answers 401 Unauthorized: it wants a user name and password"),
        ("/login", "me:wrong@", "answers 401 Unauthorized: it does not accept this user name and password"),
    ],
)
def test_says_why_an_http_stream_does_not_open(
    http_camera: Any, path: str, login: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError, match=re.escape(message)) as caught:
        open_source(http_camera.uri(path, login), QUICK)
    assert "wrong" not in str(caught.value)


def test_the_right_login_opens_the_stream(http_camera: Any) -> None:
    with open_source(http_camera.uri("/login", "me:S3cret!pw@"), PATIENT) as source:
        assert next(iter(source)).image.shape == (120, 160, 3)


def test_https_is_read_without_a_known_certificate(http_camera: Any, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=camera -keyout {key} -out {certificate}"
    subprocess.run([openssl, *request.split()], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    http_camera.socket = context.wrap_socket(http_camera.socket, server_side=True)
    with open_source(http_camera.uri("/login", "me:S3cret!pw@").replace("http:", "https:"), PATIENT) as source:
        assert next(iter(source)).image.shape == (120, 160, 3)
    with pytest.raises(SourceError, match="answers 404 Not Found"):
        open_source(http_camera.uri("/nope").replace("http:", "https:"), QUICK)


# Both


@pytest.mark.parametrize("scheme", ["http", "rtsp", "https", "rtsps"])
def test_a_server_that_says_nothing_ends_in_the_open_timeout(
    scheme: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("googlenet_edge.capture.diagnose.PROBE_TIMEOUT_S", 0.3)
    with silent_server() as port:
        started = time.monotonic()
        with pytest.raises(SourceError, match=r"sent no video for 400 ms|no encrypted|does not answer|not open after"):
            open_source(f"{scheme}://me:S3cret@127.0.0.1:{port}/x", SourceOptions(open_timeout_ms=400))
        assert time.monotonic() - started < BOUNDED_S


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_port_without_a_server_is_refused(scheme: str, closed_port: int, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match=rf"{scheme}://\*\*\*@127.0.0.1:{closed_port}/x: connection refused"):
        open_source(f"{scheme}://me:S3cret@127.0.0.1:{closed_port}/x", QUICK)


def test_an_unknown_host_is_said_to_be_one(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="the host name cannot be resolved"):
        open_source("rtsp://me:S3cret@camera.invalid/x", QUICK)


def test_a_password_that_breaks_the_address_is_explained(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match=r"escape special characters in the password") as caught:
        open_source("rtsp://me:S3cret/pw@127.0.0.1/x", QUICK)
    assert "S3cret" not in str(caught.value)


def test_options_for_cameras_are_refused(closed_port: int) -> None:
    for options in (SourceOptions(size_px=(640, 480)), SourceOptions(fps=5), SourceOptions(loop=True)):
        with pytest.raises(UsageError, match="does not apply to a network stream"):
            open_source(f"rtsp://127.0.0.1:{closed_port}/x", options)


def test_an_http_server_on_the_rtsp_port_is_told(http_camera: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match=r"the server answers \d+|another protocol|sent no video"):
        open_source(f"rtsp://127.0.0.1:{http_camera.server_port}/mjpeg", SourceOptions(open_timeout_ms=1000))


# RTSP


def test_rtsp_is_live_and_goes_over_tcp(rtsp_port: int) -> None:
    with open_source(f"rtsp://127.0.0.1:{rtsp_port}/cam", PATIENT) as source:
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
        assert source.live
        own = {str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_socket()}
        udp = {f"socket:[{line.split()[9]}]" for line in Path("/proc/net/udp").read_text().splitlines()[1:]}
        assert not own & udp
    assert all(f.image.shape == (120, 160, 3) for f in frames)
    assert np.std(frames[0].image) > 10  # a test picture, not grey


def test_rtsp_with_digest_login(rtsp_digest_port: int) -> None:
    with open_source(f"rtsp://me:S3cret!pw@127.0.0.1:{rtsp_digest_port}/cam", PATIENT) as source:
        assert next(iter(source)).image.shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("login", "path", "message"),
    [
        ("me:wrong@", "/cam", "answers 401 Unauthorized: it does not accept this user name and password"),
        ("", "/cam", "answers 401 Unauthorized: it wants a user name and password"),
        ("me:S3cret!pw@", "/nope", "answers 404 Not Found: there is no stream under this path"),
        ("me:S3cret!pw@", "/audio", "the stream has no video track"),
    ],
)
def test_says_why_an_rtsp_stream_does_not_open(
    rtsp_digest_port: int, login: str, path: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError, match=re.escape(message)):
        open_source(f"rtsp://{login}127.0.0.1:{rtsp_digest_port}{path}", QUICK)


def test_rtsp_with_basic_login(start_rtsp: Any, capfd: pytest.CaptureFixture[str]) -> None:
    _, port = start_rtsp("basic")
    with pytest.raises(SourceError, match="does not accept this user name and password"):
        open_source(f"rtsp://me:wrong@127.0.0.1:{port}/cam", QUICK)
    with pytest.raises(SourceError, match="has no video track"):
        open_source(f"rtsp://me:S3cret%21pw@127.0.0.1:{port}/audio", QUICK)


def test_an_rtsp_server_that_dies_or_freezes_is_lost(start_rtsp: Any) -> None:
    process, port = start_rtsp("none")
    with open_source(f"rtsp://127.0.0.1:{port}/cam", QUICK) as source:
        frames = iter(source)
        next(frames)
        process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(SourceLostError, match="no frame for 1000 ms"):
            for _ in frames:
                pass
        assert time.monotonic() - started < BOUNDED_S
    process.send_signal(signal.SIGCONT)
    with open_source(f"rtsp://127.0.0.1:{port}/cam", QUICK) as source:
        next(iter(source))
        process.kill()
        with pytest.raises(SourceLostError, match=r"the server ended the stream|no frame for"):
            for _ in source:
                pass


def test_closing_during_a_blocked_read_is_prompt(http_camera: Any, eventually: Eventually) -> None:
    source = open_source(http_camera.uri("/stall"), PATIENT)
    ends: list[float] = []

    def consume() -> None:
        for _ in source:
            pass
        ends.append(time.monotonic())

    caller = threading.Thread(target=consume)
    caller.start()
    eventually(lambda: any("/stall" in r for r in http_camera.requests))
    time.sleep(0.4)  # into the silence after the ten frames
    started = time.monotonic()
    source.close()
    caller.join(20)
    assert ends[0] - started < BOUNDED_S  # the reader itself ends with its read
    assert time.monotonic() - started < BOUNDED_S


def test_nothing_that_is_printed_or_logged_has_the_password(
    rtsp_digest_port: int, closed_port: int, http_camera: Any
) -> None:
    code = """
import logging, sys, traceback
logging.basicConfig(level=logging.DEBUG)
from googlenet_edge import open_source
from googlenet_edge.capture import SourceOptions
for uri in sys.argv[1:]:
    try:
        open_source(uri, SourceOptions(open_timeout_ms=1000))
    except Exception as error:
        traceback.print_exc()
        print(repr(error))
    else:
        raise SystemExit("it opened")
"""
    login = "me:Top-Zecret@"
    uris = [
        f"rtsp://{login}127.0.0.1:{rtsp_digest_port}/cam",
        f"rtsp://{login}127.0.0.1:{closed_port}/cam",
        f"http://{login}127.0.0.1:{closed_port}/cam",
        http_camera.uri("/login", login),
        http_camera.uri("/nope?token=Top-Zecret", login),
        http_camera.uri("/html?user=me&pwd=Top-Zecret"),
        f"rtsp://{login}camera.invalid/cam",
        f"rtsp://me:Top-Zecret/Top-Zecret@127.0.0.1:{closed_port}/cam",
        f"rtsp://me:Top-Zecret:Top-Zecret@127.0.0.1:{closed_port}:x/cam",
    ]
    root = Path(googlenet_edge.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "OPENCV_LOG_LEVEL": "DEBUG", "OPENCV_FFMPEG_DEBUG": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *uris], capture_output=True, text=True, timeout=60, env=environment, check=True
    )
    assert "401" in done.stderr
    assert done.stdout.count("SourceError") == len(uris)
    assert "Zecret" not in done.stdout
    leaks = [line for line in done.stderr.splitlines() if "Zecret" in line]
    assert leaks == []
    assert "bWU6" not in done.stderr  # "me:" as HTTP sends it


def test_the_log_names_no_login(http_camera: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), open_source(http_camera.uri("/mjpeg", "me:S3cret!pw@"), PATIENT) as source:
        next(iter(source))
    assert "S3cret" not in caplog.text
