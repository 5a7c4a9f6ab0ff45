from __future__ import annotations

import pytest

from googlenet_edge.capture import SourceOptions
from googlenet_edge.capture.reconnect import NEVER, Reconnect
from googlenet_edge.errors import InputError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("open_timeout_ms", 0),
        ("open_timeout_ms", 2.5),
        ("read_timeout_ms", True),
        ("read_timeout_ms", 10**9),
        ("size_px", (640,)),
        ("size_px", (640, 0)),
        ("size_px", "640x480"),
        ("size_px", (640.0, 480)),
        ("fps", 0),
        ("fps", float("nan")),
        ("fps", float("inf")),
        ("fps", "30"),
        ("fps", True),
        ("fps", "nativ"),
        ("fourcc", "MJPEG"),
        ("fourcc", "ünic"),
        ("fourcc", 4),
        ("buffers", 1),
        ("buffers", 33),
        ("buffers", 4.0),
        ("transport", "sctp"),
        ("transport", None),
        ("latency_ms", -1),
        ("latency_ms", 60_001),
        ("latency_ms", False),
        ("latency_ms", 10.0),
        ("reconnect", 5),
        ("reconnect", None),
    ],
)
def test_refuses_what_makes_no_sense(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{name}: got "):
        SourceOptions(**{name: value})  # type: ignore[arg-type]


def test_accepts_what_does() -> None:
    options = SourceOptions(open_timeout_ms=1, size_px=(1280, 720), fps=29.97, fourcc="MJPG", loop=True)
    assert options.read_timeout_ms == 5000
    assert not options.every_frame
    assert options.asked_fps == 29.97
    assert (options.reconnect, options.buffers, options.transport, options.latency_ms) == (NEVER, None, "tcp", 0)
    SourceOptions(fps=None, buffers=2, transport="udp", latency_ms=60_000, reconnect=Reconnect(attempts=None))


def test_a_files_own_rate_is_no_number() -> None:
    assert SourceOptions(fps="native").asked_fps is None
    assert SourceOptions().asked_fps is None
