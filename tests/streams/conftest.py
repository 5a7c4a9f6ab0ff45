"""Streams of numbered pictures on the loopback interface, and what the tests of the whole loop need."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

ROOT = str(Path(__file__).resolve().parents[2])
if (
    ROOT not in sys.path
):  # `pytest` without `python -m` leaves it out, and the modules beside this one are tests.streams.*
    sys.path.insert(0, ROOT)

if TYPE_CHECKING:
    from tests.streams.servers import StreamServer


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@cache
def _why_no_rtsp() -> str | None:
    from tests.streams.servers import why_no_rtsp

    return why_no_rtsp()


@pytest.fixture
def serve() -> Iterator[Callable[..., StreamServer]]:
    """Starts a server of the kind "mjpeg" or "rtsp"; ends it after the test."""
    from tests.streams.servers import StreamServer

    with ExitStack() as stack:

        def start(kind: Literal["mjpeg", "rtsp"], **settings: Any) -> StreamServer:
            if kind == "rtsp" and (reason := _why_no_rtsp()) is not None:
                pytest.skip(reason)
            return stack.enter_context(StreamServer(kind, **settings))

        yield start
