"""A camera on loopback: MJPEG over HTTP at an exact rate, whose pictures tell when they were taken."""

from __future__ import annotations

import contextlib
import socketserver
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import ClassVar

from tools.loopbench.clip import NUMBERS

__all__ = ["FPS", "Camera"]

FPS = 30
_PERIOD_NS = 1_000_000_000 // FPS
_BUFFER_BYTES = 256 * 1024


class Camera:
    """Sends picture number k, counted on without end, at ``k`` periods after its start, to whoever connects.

    A client that does not read fast enough misses pictures once the buffers of the connection are full, as with a real
    camera. Picture k shows the number k modulo :data:`NUMBERS`, so an age below 8.5 s is known exactly.
    """

    def __init__(self, jpegs: Sequence[bytes]) -> None:
        self._stop = threading.Event()
        self._began_ns = time.monotonic_ns()
        camera = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):  # the client has gone
                    camera._serve(self.request, jpegs)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads: ClassVar[bool] = True  # type: ignore[misc]
            block_on_close: ClassVar[bool] = False  # type: ignore[misc]

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/camera.mjpg"
        self._thread = threading.Thread(target=self._server.serve_forever, name="camera", daemon=True)
        self._thread.start()

    def age_ms(self, number: int, time_ns: int) -> float:
        """Return how old the newest picture of this number was at this time of ``time.monotonic_ns``."""
        newest = (time_ns - self._began_ns) // _PERIOD_NS
        sent = newest - (newest - number) % NUMBERS
        return (time_ns - self._began_ns - sent * _PERIOD_NS) / 1e6

    def _serve(self, connection: object, jpegs: Sequence[bytes]) -> None:
        import socket

        if not isinstance(connection, socket.socket):
            raise TypeError(f"connection: got {type(connection).__name__}, expected a socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(1.0)
        request = b""
        while b"\r\n\r\n" not in request:
            part = connection.recv(4096)
            if not part:
                return
            request += part
        connection.settimeout(None)
        connection.sendall(
            b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\nConnection: close\r\n\r\n"
        )
        sent = (time.monotonic_ns() - self._began_ns) // _PERIOD_NS
        while not self._stop.is_set():
            sent = max(sent + 1, (time.monotonic_ns() - self._began_ns) // _PERIOD_NS)
            time.sleep(max(0, self._began_ns + sent * _PERIOD_NS - time.monotonic_ns()) / 1e9)
            jpeg = jpegs[sent % NUMBERS]
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            connection.sendall(head.encode() + jpeg + b"\r\n")

    def __enter__(self) -> Camera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
