"""An HTTP server of numbered MJPEG on 127.0.0.1, which misbehaves when it is told to. A process of its own.

Usage: mjpeg_server.py CAMERA EPOCH_NS FPS WIDTH HEIGHT PORT (0 for any). Prints the port, then the answer to each line
of standard input, at whose end it ends:

    size W H     pictures of another size from now on
    freeze, go   keep the connections and send nothing; go on
    garbage N    garbage between all parts, and inside every Nth picture; 0 ends it
    trickle N    send N bytes every 20 ms; 0 ends it
    hang up      close the connections
    first        answers the first number that was due for the newest connection
    skipped      answers the numbers that were left out so far: not sent to a connection that was open
"""

from __future__ import annotations

import random
import socket
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.streams.numbered import Number, Schedule, luma

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=picture\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\n\r\n"
)


class Camera:
    """Makes each picture once; every connection sends the newest."""

    def __init__(self, camera: int, schedule: Schedule, size: tuple[int, int]) -> None:
        self.camera, self.schedule, self.size = camera, schedule, size
        self.changed = threading.Condition()
        self.number, self.jpeg = -1, b""
        self.first = -1
        self.frozen = False
        self.garbage_every = 0
        self.trickle_bytes = 0
        self.random = random.Random(camera)
        self.connections: list[socket.socket] = []
        self.skipped: list[int] = []

    def make_pictures(self) -> None:
        """Make pictures for ever."""
        before = None
        while True:
            number = self.schedule.wait()
            width, height = self.size
            content = luma(Number(self.camera, number, time.monotonic_ns()), width, height)
            grey = np.frombuffer(content, np.uint8).reshape(height, width)
            jpeg = cv2.imencode(".jpg", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
            with self.changed:
                self.skipped += range(number if before is None else before + 1, number)
                before = number
                self.number, self.jpeg = number, jpeg.tobytes()
                self.changed.notify_all()

    def serve(self, connection: socket.socket) -> None:
        """Send the pictures until the connection ends."""
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                data = connection.recv(4096)
                if not data:
                    return
                request += data
            connection.sendall(HEAD)
            last = self.number
            self.first = last + 1
            while True:
                last, jpeg = self._next(last)
                self._send(connection, self._part(last, jpeg))
        except OSError:
            return  # it went away
        finally:
            self.connections.remove(connection)
            connection.close()

    def _next(self, last: int) -> tuple[int, bytes]:
        with self.changed:
            self.changed.wait_for(lambda: self.number > last and not self.frozen)
            self.skipped += range(last + 1, self.number)
            return self.number, self.jpeg

    def hang_up(self) -> None:
        """Close all connections."""
        for connection in list(self.connections):
            connection.shutdown(socket.SHUT_RDWR)

    def _part(self, number: int, jpeg: bytes) -> bytes:
        between = b""
        if self.garbage_every:
            between = self.random.randbytes(200)
            if number % self.garbage_every == 0:
                middle = len(jpeg) // 2
                jpeg = jpeg[:middle] + self.random.randbytes(300) + jpeg[middle + 300 :]
        head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        return head.encode() + jpeg + b"\r\n" + between + (b"\r\n" if between else b"")

    def _send(self, connection: socket.socket, data: bytes) -> None:
        while data and self.trickle_bytes:
            connection.sendall(data[: self.trickle_bytes])
            data = data[self.trickle_bytes :]
            time.sleep(0.02)
        connection.sendall(data)


def obey(camera: Camera, line: str) -> str:
    """Do what a line of standard input says and return the answer."""
    word, *arguments = line.split()
    with camera.changed:
        if word == "size":
            camera.size = (int(arguments[0]), int(arguments[1]))
        elif word in ("freeze", "go"):
            camera.frozen = word == "freeze"
            camera.changed.notify_all()
        elif word == "garbage":
            camera.garbage_every = int(arguments[0])
        elif word == "trickle":
            camera.trickle_bytes = int(arguments[0])
        elif word == "hang":
            camera.hang_up()
        elif word == "first":
            return str(camera.first)
        elif word == "skipped":
            return " ".join(map(str, sorted(set(camera.skipped)))) or "none"
        else:
            return f"unknown: {line}"
    return "ok"


def main() -> None:
    """Serve until standard input ends."""
    camera_id, epoch_ns, fps, width, height, port = sys.argv[1:]
    camera = Camera(int(camera_id), Schedule(int(epoch_ns), float(fps)), (int(width), int(height)))
    server = socket.create_server(("127.0.0.1", int(port)))

    def accept() -> None:
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            camera.connections.append(connection)
            threading.Thread(target=camera.serve, args=(connection,), daemon=True).start()

    for work in (camera.make_pictures, accept):
        threading.Thread(target=work, daemon=True).start()
    print(server.getsockname()[1], flush=True)  # noqa: T201 - to the test that started it
    for line in sys.stdin:
        print(obey(camera, line.strip()), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
