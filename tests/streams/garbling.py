"""A relay before an RTSP server on 127.0.0.1, which spoils what the server sends. It carries RTP inside of TCP only."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

Spoil = Literal["nothing", "pictures", "packets", "connection"]
"""Bytes within the pictures, behind all headers; RTP packets, from their first byte to their last; or all bytes."""
RTP_BYTES = 12
NAL_BYTES = 2
"""What stands before the bytes of a picture: the NAL unit's header, or that of a fragment."""
DAMAGE_BYTES = 20


class Garbler:
    """Listens as long as it is open. ``spoil`` may be set at any time, also for connections that are open."""

    def __init__(self, port: int, *, seed: int = 1) -> None:
        self.spoil: Spoil = "nothing"
        self.every = 1
        """Spoil each n-th packet only."""
        self.spoilt = 0
        """Packets, or pieces of what the server sent, so far."""
        self.connections = 0
        """Accepted so far."""
        self._random = random.Random(seed)
        self._packets = 0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, name="garbler")
        self._accepting.start()

    @property
    def uri(self) -> str:
        return f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/cam"

    def close(self) -> None:
        """Cut all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        for each in self._sockets:
            _hang_up(each)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def __enter__(self) -> Garbler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # there is none at present
                client.close()
                continue
            self.connections += 1
            self._sockets += [client, server]
            for work, pair in ((self._forward, (client, server)), (self._garble, (server, client))):
                self._threads.append(threading.Thread(target=work, args=pair, name="garbler"))
                self._threads[-1].start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)
        _hang_up(server)

    def _garble(self, server: socket.socket, client: socket.socket) -> None:
        pending = bytearray()
        with suppress(OSError):
            while data := server.recv(1 << 16):
                pending += data
                for message in _messages(pending):
                    client.sendall(self._spoilt(message))
        _hang_up(client)

    def _spoilt(self, message: bytearray) -> bytes:
        is_packet = message[0] == ord("$")
        self._packets += is_packet
        if self.spoil == "nothing" or self._packets % self.every:
            return bytes(message)
        if self.spoil == "connection":
            self.spoilt += 1
            return self._random.randbytes(len(message))
        if not is_packet or message[1] % 2:  # an answer, or a report of the sender
            return bytes(message)
        begin = 4 if self.spoil == "packets" else 4 + RTP_BYTES + NAL_BYTES
        size = len(message) - begin if self.spoil == "packets" else min(DAMAGE_BYTES, len(message) - begin)
        if size > 0:
            self.spoilt += 1
            at = self._random.randrange(begin, len(message) - size + 1)
            message[at : at + size] = self._random.randbytes(size)
        return bytes(message)


def _messages(pending: bytearray) -> Iterator[bytearray]:
    """Take what is whole off the front: answers with their content, and packets behind ``$``, channel and length."""
    while len(pending) >= 4:
        if pending[0] == ord("$"):
            size = 4 + int.from_bytes(pending[2:4], "big")
        else:
            head = pending.find(b"\r\n\r\n") + 4
            if head < 4:
                return
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", pending[:head])
            size = head + (int(length[1]) if length else 0)
        if len(pending) < size:
            return
        yield pending[:size]
        del pending[:size]


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
