from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from googlenet_edge.cli.notify import Notifier, ServiceEnvironment, take_environment


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        yield listening


def test_messages_are_datagrams_of_the_protocol(manager: socket.socket) -> None:
    with Notifier(manager.getsockname()) as notifier:
        assert notifier.active
        notifier.ready()
        notifier.alive()
        notifier.status("2 of 2 cameras connected\nREADY=1")
        notifier.stopping()
    received = [manager.recv(4096) for _ in range(4)]
    assert received == [b"READY=1", b"WATCHDOG=1", b"STATUS=2 of 2 cameras connected?READY=1", b"STOPPING=1"]


def test_the_abstract_namespace_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")  # Linux chooses an abstract name
        listening.settimeout(10)
        with Notifier("@" + listening.getsockname()[1:].decode()) as notifier:
            notifier.ready()
        assert listening.recv(100) == b"READY=1"


def test_outside_of_a_service_nothing_is_sent() -> None:
    with Notifier(take_environment({}).address) as notifier:
        assert not notifier.active
        notifier.ready()
        notifier.alive()


def test_a_manager_that_went_away_is_told_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Notifier(str(tmp_path / "nobody")) as notifier:
        for _ in range(3):
            notifier.alive()
    assert [record.getMessage() for record in caplog.records] == [
        "systemd cannot be told WATCHDOG: No such file or directory"
    ]


def test_the_environment_is_read_and_kept_from_our_own_processes() -> None:
    environment = {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7", "PATH": "/bin"}
    assert take_environment(environment, pid=7) == ServiceEnvironment("/run/n", 30.0)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "8"}, ServiceEnvironment("/run/n")),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "1000"}, ServiceEnvironment("/run/n", 0.001)),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "0"}, ServiceEnvironment("@n")),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "soon"}, ServiceEnvironment("@n")),
        ({"WATCHDOG_USEC": "1000"}, ServiceEnvironment()),
    ],
)
def test_a_watchdog_of_another_process_or_of_nobody_is_none(
    environment: dict[str, str], expected: ServiceEnvironment
) -> None:
    assert take_environment(environment, pid=7) == expected


def test_an_address_of_no_known_kind_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert take_environment({"NOTIFY_SOCKET": "vsock:2:5", "WATCHDOG_USEC": "1000"}) == ServiceEnvironment()
    assert "'vsock:2:5'" in caplog.text
