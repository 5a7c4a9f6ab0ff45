from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

import googlenet_edge
from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.network import NetworkGrabber
from googlenet_edge.errors import MissingPackageError, SourceError, SourceLostError, UsageError

QUICK = SourceOptions(open_timeout_ms=10_000, read_timeout_ms=1000)
PATIENT = SourceOptions(open_timeout_ms=30_000, read_timeout_ms=30_000)  # for a busy machine
PATIENT_ALL = SourceOptions(open_timeout_ms=30_000, read_timeout_ms=30_000, every_frame=True)
BOUNDED_S = 20.0
"""Far above every limit set here, far below a wait without one."""
TURNS = {
    0: (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30),
    1: (0, 1 << 16, 0, -1 << 16, 0, 0, 120 << 16, 0, 1 << 30),
    2: (-1 << 16, 0, 0, 0, -1 << 16, 0, 160 << 16, 120 << 16, 1 << 30),
    3: (0, -1 << 16, 0, 1 << 16, 0, 0, 0, 160 << 16, 1 << 30),
}
"""Display matrices of MP4, by quarter turns to the right."""
MakeVideo = Callable[..., Path]
Eventually = Callable[[Callable[[], bool]], None]


def other_clock() -> int:
    """A clock that is not the one of the processes."""
    return time.monotonic_ns() + 10**15


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


def open_grabber(uri: str, options: SourceOptions = PATIENT, stop: threading.Event | None = None) -> NetworkGrabber:
    return NetworkGrabber(uri, options, stop=stop or threading.Event(), clock=time.monotonic_ns)


def our_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(googlenet_edge.__file__).parents[1])}


def read_on(grabber: NetworkGrabber) -> None:
    for i in range(1000):
        grabber.grab(i)


def children(parent: int | None = None) -> list[int]:
    """The processes that a process has started, dead ones that nobody waited for included."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == (parent or os.getpid()):
                found.append(int(stat.parent.name))
    return found


def readers() -> list[int]:
    """Our processes that read a stream."""
    found = []
    for pid in children():
        with contextlib.suppress(OSError):
            if b"reader" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


# HTTP


def test_mjpeg_is_live_and_redacted(http_camera: Any) -> None:
    with open_source(http_camera.uri("/mjpeg", "me:S3cret!pw@"), PATIENT, clock=other_clock) as source:
        frames = [frame for frame, _ in zip(source, range(5), strict=False)]
        assert source.live
        assert source.description == f"http://***@127.0.0.1:{http_camera.server_port}/mjpeg"
        assert "S3cret" not in repr(source) + str(threading.enumerate())
    assert all(f.image.shape == (120, 160, 3) and f.image.dtype == np.uint8 for f in frames)
    assert [f.sequence for f in frames] == sorted(f.sequence for f in frames)
    now_ns = other_clock()
    assert all(f.stamp_source == "host" and now_ns - BOUNDED_S * 1e9 < f.captured_ns < now_ns for f in frames)


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
def test_a_stream_that_stalls_is_lost_after_the_read_timeout(http_camera: Any, path: str) -> None:
    started = time.monotonic()
    with (
        pytest.raises(SourceError, match=r"http://\*\*\*@127.0.0.1:\d+/") as caught,
        open_source(
            http_camera.uri(path, "me:S3cret@"),
            SourceOptions(open_timeout_ms=1500, read_timeout_ms=1000, every_frame=True),
        ) as source,
    ):
        for _ in source:
            pass
    assert time.monotonic() - started < BOUNDED_S
    if path != "/broken":
        assert isinstance(caught.value, SourceLostError)
        assert re.search("no frame for 1000 ms, after 10 frames", str(caught.value))


def test_a_damaged_picture_does_not_end_the_stream(http_camera: Any) -> None:
    with open_source(http_camera.uri("/flaky"), PATIENT_ALL) as source:
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
    assert [f.sequence for f in frames] == list(range(10))
    assert [round(float(f.image.mean()) / 8) for f in frames] == [0, 1, 2, 4, 5, 6, 7, 9, 10, 11]


@pytest.mark.parametrize(
    "path", ["/no-length", "/no-dashes", "/no-type", "/wrong-length", "/noise", "/nothing", "/unnamed"]
)
def test_however_a_camera_parts_its_pictures_each_one_arrives(http_camera: Any, path: str) -> None:
    with open_source(http_camera.uri(path), PATIENT_ALL) as source:
        frames = [frame for frame, _ in zip(source, range(12), strict=False)]
    assert [round(float(f.image.mean()) / 8) for f in frames] == list(range(12))


def test_half_pictures_are_left_out(http_camera: Any, caplog: pytest.LogCaptureFixture) -> None:
    with open_source(http_camera.uri("/torn"), PATIENT_ALL) as source:
        levels = [round(float(frame.image.mean()) / 8) for frame, _ in zip(source, range(20), strict=False)]
    assert levels == sorted(levels)
    assert not {3, 8, 13, 18} & set(levels)
    assert max(levels) < 34
    assert "a damaged picture was left out" in caplog.text


def test_a_picture_is_handed_on_before_the_next_one_begins(http_camera: Any) -> None:
    with open_source(http_camera.uri("/one"), PATIENT) as source:
        assert next(iter(source)).image.shape == (120, 160, 3)


def test_colours_are_those_that_opencv_decodes(http_camera: Any) -> None:
    with open_source(http_camera.uri("/colours"), PATIENT_ALL) as source:
        frames = [frame for frame, _ in zip(source, http_camera.colours, strict=False)]
    for frame, colour in zip(frames, http_camera.colours, strict=True):
        assert frame.image.shape == (48, 64, 3)
        assert np.abs(frame.image.astype(int) - np.array(colour)).max() <= 3


def test_the_colours_of_video_have_their_whole_range(http_camera: Any, tmp_path: Path) -> None:
    path = tmp_path / "colours.mp4"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for colour in http_camera.colours:
        writer.write(np.full((48, 64, 3), colour, np.uint8))
    writer.release()
    http_camera.files["/colours.mp4"] = path.read_bytes()
    with open_source(http_camera.uri("/colours.mp4"), PATIENT) as source:
        frames = list(source)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    for frame in frames:
        _, expected = capture.read()
        assert np.abs(frame.image.astype(int) - expected.astype(int)).max() <= 4
    assert len(frames) == len(http_camera.colours)
    capture.release()


def test_a_size_that_changes_in_mid_stream_is_followed(http_camera: Any) -> None:
    with open_source(http_camera.uri("/sizes"), PATIENT_ALL) as source:
        frames = [frame for frame, _ in zip(source, range(6), strict=False)]
    assert [frame.image.shape for frame in frames] == [(120, 160 + i, 3) for i in range(6)]
    assert all(np.abs(frame.image.astype(int) - 90).max() <= 2 for frame in frames)


def test_who_asks_late_gets_the_newest_picture_and_the_exact_number_of_those_left_out(
    http_camera: Any, eventually: Eventually
) -> None:
    grabber = open_grabber(http_camera.uri("/mjpeg"))
    try:
        sequence = -1
        gaps: list[int] = []
        while not any(gap > 5 for gap in gaps[1:]):  # the first frame was taken when it was opened
            assert len(gaps) < 50
            before = http_camera.sent
            eventually(lambda before=before: http_camera.sent >= before + 8)  # type: ignore[misc]
            frame = grabber.grab(sequence + 1)
            assert frame is not None
            assert round(float(frame.image.mean()) / 8) == frame.sequence % 32
            gaps.append(frame.sequence - sequence)
            sequence = frame.sequence
    finally:
        grabber.release()


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


@pytest.mark.parametrize(("turn", "matrix"), TURNS.items())
def test_a_recording_of_a_phone_is_turned_upright_as_a_file_is(
    http_camera: Any, make_video: MakeVideo, tmp_path: Path, turn: int, matrix: tuple[int, ...]
) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[:60, :80], image[:60, 80:], image[60:, :80] = (0, 0, 250), (0, 250, 0), (250, 0, 0)
    path = tmp_path / "phone.mp4"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 120))
    writer.write(image)
    writer.release()
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44  # ISO 14496-12, 8.3.2
    data[place : place + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    http_camera.files["/phone.mp4"] = bytes(data)
    expected = np.rot90(image, -turn).astype(int)
    for uri in (path, http_camera.uri("/phone.mp4")):
        with open_source(uri, PATIENT) as source:
            (frame,) = source
        assert frame.image.shape == expected.shape
        assert frame.image.flags.c_contiguous
        assert np.abs(frame.image[8::16, 8::16].astype(int) - expected[8::16, 8::16]).max() < 24


@pytest.mark.parametrize(
    ("path", "login", "message"),
    [
        ("/nope", "", "answers 404 Not Found: there is no stream under this path"),
        ("/busy", "", "answers 200 OK only now, and had no room for one more viewer before; open it again"),
        ("/html", "", "not a video stream: the server sends 'text/html'"),
        ("/notes.txt", "", "not a video stream: the server sends 'text/plain'"),
        ("/login", "", "answers 401 Unauthorized: it wants a user name and password"),
        ("/login", "me:wrong@", "answers 401 Unauthorized: it does not accept this user name and password"),
    ],
)
def test_says_why_an_http_stream_does_not_open(http_camera: Any, path: str, login: str, message: str) -> None:
    with pytest.raises(SourceError, match=re.escape(message)) as caught:
        open_source(http_camera.uri(path, login), QUICK)
    assert "wrong" not in str(caught.value)


def test_a_recording_that_is_cut_off_is_lost(http_camera: Any, make_video: MakeVideo) -> None:
    whole = make_video("clip.avi", fourcc="MJPG").read_bytes()
    http_camera.files["/half.avi"] = whole[: len(whole) // 2]
    with (
        open_source(http_camera.uri("/half.avi"), PATIENT) as source,
        pytest.raises(SourceLostError, match=r"the server ended the stream after \d+ of 30 frames"),
    ):
        list(source)


def test_a_transmission_over_http_is_live_and_has_the_time_stamps_of_its_sender(
    http_camera: Any, make_video: MakeVideo
) -> None:
    http_camera.files["/live.ts"] = make_video("live.ts", frames=30).read_bytes()
    with open_source(http_camera.uri("/live.ts"), PATIENT_ALL) as source:
        assert source.live
        frames = [frame for _, frame in zip(range(30), source, strict=False)]
        with pytest.raises(SourceLostError, match="after 30 frames"):
            next(iter(source))
    assert {frame.stamp_source for frame in frames[2:]} == {"stream"}
    assert [round(float(frame.image.mean()) / 8) for frame in frames] == list(range(30))


@pytest.mark.parametrize("codec", ["mpeg2video", "mpeg4", "libx264"])
def test_pictures_that_are_coded_out_of_their_order_come_in_it(http_camera: Any, tmp_path: Path, codec: str) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "live.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"bf": "2", "b_strategy": "0", "qmin": "1", "qmax": "2"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 160, 120, "yuv420p", 10
        for number in range(30):
            picture = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 8 * number, np.uint8), format="bgr24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    http_camera.files["/live.ts"] = path.read_bytes()
    with open_source(http_camera.uri("/live.ts"), PATIENT_ALL) as source:
        frames = [frame for _, frame in zip(range(25), source, strict=False)]
    assert [round(float(frame.image.mean()) / 8) for frame in frames] == list(range(25))
    assert (np.diff([frame.captured_ns for frame in frames]) >= 0).all()


def test_one_picture_is_no_stream(http_camera: Any) -> None:
    with pytest.raises(SourceError, match=r"sends one picture \(image/jpeg\), no stream"):
        open_source(http_camera.uri("/jpg"), QUICK)


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
def test_a_server_that_says_nothing_ends_in_the_open_timeout(scheme: str) -> None:
    with silent_server() as port:
        started = time.monotonic()
        with pytest.raises(SourceError, match=r"sent no video for 400 ms|no encrypted|does not answer|not open after"):
            open_source(f"{scheme}://me:S3cret@127.0.0.1:{port}/x", SourceOptions(open_timeout_ms=400))
        assert time.monotonic() - started < BOUNDED_S


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_port_without_a_server_is_refused(scheme: str, closed_port: int) -> None:
    with pytest.raises(SourceError, match=rf"{scheme}://\*\*\*@127.0.0.1:{closed_port}/x: connection refused"):
        open_source(f"{scheme}://me:S3cret@127.0.0.1:{closed_port}/x", QUICK)


def test_an_unknown_host_is_said_to_be_one() -> None:
    with pytest.raises(SourceError, match="the host name cannot be resolved"):
        open_source("rtsp://me:S3cret@camera.invalid/x", QUICK)


def test_a_password_that_breaks_the_address_is_explained() -> None:
    with pytest.raises(SourceError, match=r"escape special characters in the password") as caught:
        open_source("rtsp://me:S3cret/pw@127.0.0.1/x", QUICK)
    assert "S3cret" not in str(caught.value)


def test_options_for_cameras_are_refused(closed_port: int) -> None:
    for options in (SourceOptions(size_px=(640, 480)), SourceOptions(fps=5), SourceOptions(loop=True)):
        with pytest.raises(UsageError, match="does not apply to a network stream"):
            open_source(f"rtsp://127.0.0.1:{closed_port}/x", options)


def test_an_http_server_on_the_rtsp_port_is_told(http_camera: Any) -> None:
    with pytest.raises(SourceError, match=r"the server answers \d+|another protocol|sent no video"):
        open_source(f"rtsp://127.0.0.1:{http_camera.server_port}/mjpeg", SourceOptions(open_timeout_ms=1000))


# RTSP


def test_rtsp_is_live_and_goes_over_tcp(rtsp_port: int) -> None:
    with open_source(f"rtsp://127.0.0.1:{rtsp_port}/cam", PATIENT) as source:
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
        assert source.live
        (reader,) = readers()
        own = {str(fd.readlink()) for fd in Path(f"/proc/{reader}/fd").iterdir() if fd.is_socket()}
        udp = {f"socket:[{line.split()[9]}]" for line in Path("/proc/net/udp").read_text().splitlines()[1:]}
        assert own
        assert not own & udp
    assert all(f.image.shape == (120, 160, 3) for f in frames)
    assert np.std(frames[0].image) > 10  # a test picture, not grey


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/cam", PATIENT_ALL),
        ("/cam", replace(PATIENT_ALL, transport="udp")),
        ("/cam", replace(PATIENT_ALL, transport="udp", latency_ms=50)),
        ("/reordered", PATIENT_ALL),
        ("/jpeg", PATIENT_ALL),
        ("/both", PATIENT_ALL),
    ],
)
def test_rtsp_frames_have_the_time_stamps_of_their_sender(rtsp_port: int, path: str, options: SourceOptions) -> None:
    with open_source(f"rtsp://127.0.0.1:{rtsp_port}{path}", options) as source:
        frames = [(frame, time.monotonic_ns()) for frame, _ in zip(source, range(35), strict=False)]
    assert all(frame.captured_ns <= taken_ns for frame, taken_ns in frames)
    assert {frame.stamp_source for frame, _ in frames[2:]} == {"stream"}
    periods = np.diff([frame.captured_ns for frame, _ in frames]) / 40e6
    # The sender's distances, whole multiples of 40 ms (of 80 where it was too busy to make a picture), but for where a
    # quicker frame has corrected the clock.
    assert sum(period > 0.9 and abs(period - round(period)) < 1 / 40 for period in periods[-14:]) >= 8


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
def test_says_why_an_rtsp_stream_does_not_open(rtsp_digest_port: int, login: str, path: str, message: str) -> None:
    with pytest.raises(SourceError, match=re.escape(message)):
        open_source(f"rtsp://{login}127.0.0.1:{rtsp_digest_port}{path}", QUICK)


def test_rtsp_with_basic_login(start_rtsp: Any) -> None:
    _, port = start_rtsp("basic")
    with pytest.raises(SourceError, match="does not accept this user name and password"):
        open_source(f"rtsp://me:wrong@127.0.0.1:{port}/cam", QUICK)
    with pytest.raises(SourceError, match="has no video track"):
        open_source(f"rtsp://me:S3cret%21pw@127.0.0.1:{port}/audio", QUICK)


class BusyRtsp(socketserver.StreamRequestHandler):
    """Has no room for so many requests, and then a stream of this kind."""

    busy: ClassVar[int]
    asked: ClassVar[int]
    kind: ClassVar[str]

    def handle(self) -> None:
        while (request := self._request()) is not None:
            method, number = request
            if method == "OPTIONS":
                self._answer("200 OK", number, "Public: OPTIONS, DESCRIBE")
                continue
            type(self).asked += 1
            if self.asked <= self.busy:
                self._answer("503 Service Unavailable", number)
            else:
                body = f"v=0\r\nm={self.kind} 0 RTP/AVP 96\r\n"
                self._answer("200 OK", number, f"Content-Length: {len(body)}", body=body)

    def _request(self) -> tuple[str, str] | None:
        lines = list(iter(lambda: self.rfile.readline().decode().strip(), ""))
        number = next((line.partition(":")[2].strip() for line in lines if line.startswith("CSeq")), "0")
        return (lines[0].split()[0], number) if lines else None

    def _answer(self, status: str, number: str, *more: str, body: str = "") -> None:
        head = "\r\n".join([f"RTSP/1.0 {status}", f"CSeq: {number}", *more, "", ""])
        self.wfile.write((head + body).encode())


@pytest.mark.parametrize(
    ("busy", "kind", "message"),
    [
        (4, "video", "the server answers 200 OK only now, and had no room for one more viewer before; open it again"),
        (4, "audio", "the stream has no video track"),  # it was not done yet with the connection that failed
        (10_000, "video", "the server answers 503 Service Unavailable: it may have no room for one more viewer"),
    ],
)
def test_a_server_without_room_is_asked_again_for_a_while(busy: int, kind: str, message: str) -> None:
    handler = type("Handler", (BusyRtsp,), {"busy": busy, "asked": 0, "kind": kind})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started = time.monotonic()
        try:
            with pytest.raises(SourceError, match=re.escape(message)):
                open_source(f"rtsp://127.0.0.1:{server.server_address[1]}/cam", QUICK)
        finally:
            server.shutdown()
            thread.join()
    assert time.monotonic() - started < BOUNDED_S


def test_the_first_picture_may_come_late_within_the_open_timeout(http_camera: Any) -> None:
    with open_source(http_camera.uri("/late"), QUICK) as source:
        assert next(iter(source)).image.shape == (120, 160, 3)


def test_an_rtsp_server_may_take_its_time_to_answer_within_the_open_timeout(start_rtsp: Any) -> None:
    process, port = start_rtsp("none")
    process.send_signal(signal.SIGSTOP)
    waking = threading.Timer(2.5 * QUICK.read_timeout_ms / 1000, process.send_signal, (signal.SIGCONT,))
    waking.start()
    try:
        with open_source(f"rtsp://127.0.0.1:{port}/cam", QUICK) as source:
            next(iter(source))
    finally:
        waking.join()


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


# The process that reads


def test_opening_ends_with_the_stop_event() -> None:
    stop = threading.Event()
    failures: list[SourceError] = []

    def open_it(uri: str) -> None:
        try:
            open_grabber(uri, PATIENT, stop)
        except SourceError as error:
            failures.append(error)

    with silent_server() as port:
        thread = threading.Thread(target=open_it, args=(f"rtsp://127.0.0.1:{port}/x",))
        thread.start()
        time.sleep(0.3)  # into the wait, or before it: both must end
        started = time.monotonic()
        stop.set()
        thread.join(BOUNDED_S)
        assert time.monotonic() - started < 5
    assert "closed while it was being opened" in str(failures[0])
    assert readers() == []


def test_reading_ends_with_the_stop_event(http_camera: Any) -> None:
    stop = threading.Event()
    grabber = open_grabber(http_camera.uri("/stall"), PATIENT_ALL, stop)
    for i in range(10):
        assert grabber.grab(i) is not None
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    started = time.monotonic()
    assert grabber.grab(10) is None
    grabber.release()
    grabber.release()
    assert time.monotonic() - started < 5
    assert readers() == []
    timer.join()


def test_nobody_else_can_read_the_password_of_the_process(http_camera: Any) -> None:
    grabber = open_grabber(http_camera.uri("/login", "me:S3cret!pw@"))
    try:
        (pid,) = readers()
        assert b"S3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"S3cret" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert os.getsid(pid) != os.getsid(0)  # Ctrl-C in a terminal does not reach it
    finally:
        grabber.release()


def test_a_process_that_is_killed_is_a_lost_stream(http_camera: Any) -> None:
    grabber = open_grabber(http_camera.uri("/mjpeg"))
    try:
        os.kill(readers()[0], signal.SIGKILL)
        with pytest.raises(SourceLostError, match="the process that reads the stream was ended by signal 9"):
            read_on(grabber)
    finally:
        grabber.release()


def test_a_process_that_hangs_is_lost_and_still_ended(http_camera: Any) -> None:
    grabber = open_grabber(http_camera.uri("/mjpeg"), QUICK)
    (pid,) = readers()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(SourceLostError, match="no frame for 1000 ms"):
        read_on(grabber)
    started = time.monotonic()
    grabber.release()
    assert time.monotonic() - started < 5
    assert readers() == []


@pytest.mark.parametrize("path", ["/mjpeg", "/stall"])
def test_the_process_ends_when_its_parent_is_killed(http_camera: Any, path: str, eventually: Eventually) -> None:
    code = """
import os, subprocess, sys, time
from googlenet_edge import open_source
source = open_source(sys.argv[1])
if os.fork():  # another child holds all that it has open
    print("open", flush=True)
time.sleep(100)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, http_camera.uri(path)], stdout=subprocess.PIPE, text=True, env=our_path()
    ) as parent:
        assert parent.stdout is not None
        try:
            assert parent.stdout.readline() == "open\n"
            (reader,) = [
                pid for pid in children(parent.pid) if b"__main__" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            (other,) = [pid for pid in children(parent.pid) if pid != reader]
        finally:
            parent.kill()
    try:
        eventually(lambda: not Path(f"/proc/{reader}").exists())
    finally:
        os.kill(other, signal.SIGKILL)


def test_opening_and_closing_thirty_times_leaves_nothing_behind(http_camera: Any, rtsp_port: int) -> None:
    def left() -> tuple[int, int, list[int]]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), readers()

    uris = [http_camera.uri("/mjpeg"), http_camera.uri("/jpg"), f"rtsp://127.0.0.1:{rtsp_port}/cam"]

    def cycle(uri: str) -> None:
        with contextlib.suppress(SourceError), open_source(uri, PATIENT) as source:
            next(iter(source))

    for uri in uris:
        cycle(uri)
    before = left()
    for i in range(30):
        cycle(uris[i % 3])
    limit = time.monotonic() + BOUNDED_S  # the servers' threads are counted too, and end in their own time
    while left() != before and time.monotonic() < limit:
        time.sleep(0.01)
    assert left() == before


def test_without_pyav_the_message_names_the_extra(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingPackageError, match="'av' cannot be imported"):
        open_source(f"rtsp://127.0.0.1:{closed_port}/x")


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
    environment = {**our_path(), "OPENCV_LOG_LEVEL": "DEBUG", "OPENCV_FFMPEG_DEBUG": "1"}
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
