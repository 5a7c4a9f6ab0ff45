"""What a service tells systemd: that it is ready, that it is alive, what it does (the protocol of sd_notify(3)).

One datagram with a line ``NAME=VALUE`` a message, to the socket that ``$NOTIFY_SOCKET`` names. Without that variable,
outside of systemd, nothing is sent.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

__all__ = ["Notifier", "ServiceEnvironment", "take_environment"]

_log = logging.getLogger(__name__)

_SEND_TIMEOUT_S = 0.5
"""A manager that does not read for so long costs us a message, never the loop."""
_LONGEST_STATUS = 512


@dataclass(frozen=True)
class ServiceEnvironment:
    """What systemd asks of a service."""

    address: str | None = None
    """Where to send messages: a path, or ``@name`` in Linux's abstract namespace; None outside of a service."""
    watchdog_s: float | None = None
    """Longest time between two signs of life, after which the service is killed; None: none are asked for."""


def take_environment(environment: MutableMapping[str, str], *, pid: int | None = None) -> ServiceEnvironment:
    """Read what systemd asks for, and take it out of the environment: it is not meant for processes that we start."""
    address = environment.pop("NOTIFY_SOCKET", None)
    period = environment.pop("WATCHDOG_USEC", "")
    meant_for = environment.pop("WATCHDOG_PID", "")
    if address is not None and not (address[:1] in ("/", "@") and len(address) > 1):
        _log.warning("NOTIFY_SOCKET: got %r, expected a path or @name; systemd is told nothing", address)
        address = None
    own = str(os.getpid() if pid is None else pid)
    asked = period.isdecimal() and int(period) > 0 and meant_for in ("", own)
    return ServiceEnvironment(address, int(period) / 1e6 if asked and address is not None else None)


class Notifier:
    """Sends messages to systemd; without an address, none. What cannot be sent is logged once, and never raised."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._failed = False
        if address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(_SEND_TIMEOUT_S)

    @property
    def active(self) -> bool:
        """Whether anybody listens."""
        return self._socket is not None

    def ready(self) -> None:
        """Say that start-up is done."""
        self._send("READY=1")

    def alive(self) -> None:
        """Give the watchdog its sign of life."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the service is about to end."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in one line what is being done; ``systemctl status`` shows it."""
        line = "".join(character if character.isprintable() else "?" for character in text)
        self._send(f"STATUS={line[:_LONGEST_STATUS]}")

    def close(self) -> None:
        """Let go of the socket; a second call does nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Notifier:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _send(self, message: str) -> None:
        if self._socket is None or self._address is None:
            return
        place = os.fsencode(self._address)
        if place.startswith(b"@"):
            place = b"\0" + place[1:]
        try:
            self._socket.sendto(message.encode("utf-8", "replace"), place)
        except OSError as error:
            if not self._failed:
                _log.warning("systemd cannot be told %s: %s", message.partition("=")[0], error.strerror or error)
            self._failed = True
        else:
            self._failed = False
