from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet_edge.capture.kinds import CAMERA, DEMO, HTTP, RTSP, VIDEO, SourceKind
from googlenet_edge.capture.source import SourceOptions
from googlenet_edge.cli.run_opening import SourceSet, share_options
from googlenet_edge.cli.run_sources import NamedSource
from googlenet_edge.errors import SourceError, UsageError


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def test_files_are_opened_first_and_all_are_closed_at_the_end(tmp_path: Path) -> None:
    wanted = (NamedSource("a", "demo:"), NamedSource("b", "demo:?seed=2"))
    before = set(threading.enumerate())
    with SourceSet(wanted, SourceOptions(fps=50)) as sources:
        sources.open_files()
        assert not {thread for thread in threading.enumerate() if thread not in before}, (
            "played files wait for the rest"
        )
        opened = sources.open_rest()
        assert [source.live for source in opened] == [True, True]
        assert next(iter(opened[1])).image.ndim == 3
    assert set(threading.enumerate()) <= before


def test_all_that_cannot_be_opened_are_told(tmp_path: Path) -> None:
    wanted = (
        NamedSource("a", f"{tmp_path}/one.mp4"),
        NamedSource("b", "demo:"),
        NamedSource("c", f"{tmp_path}/two.mp4"),
    )
    with SourceSet(wanted, SourceOptions()) as sources, pytest.raises(SourceError) as raised:
        sources.open_files()
    assert str(raised.value).startswith("2 of 3 sources cannot be opened: a: ")
    assert "one.mp4" in str(raised.value)
    assert "; c: " in str(raised.value)


@pytest.mark.parametrize("uri", ["gst: ' ", "rtsp://", "csi:0?width=-1"])
def test_wrong_usage_is_told_before_anything_is_opened(uri: str) -> None:
    wanted = [NamedSource("b", uri), NamedSource("a", "http://127.0.0.1:1/x")]
    before = set(threading.enumerate())
    with SourceSet(wanted, SourceOptions()) as sources, pytest.raises(UsageError, match="b: "):
        sources.open_files()
    assert set(threading.enumerate()) <= before


def test_looking_at_a_camera_does_not_open_it(silent_server: socket.socket) -> None:
    host, port = silent_server.getsockname()
    with SourceSet([NamedSource(None, f"http://{host}:{port}/video")], SourceOptions()) as sources:
        sources.open_files()
        with pytest.raises(BlockingIOError):
            silent_server.accept()


def test_each_source_gets_its_name_and_the_options_that_its_kind_has() -> None:
    wanted = [NamedSource("usb", "0"), NamedSource("yard", "rtsp://h/x"), NamedSource("clip", "a.mp4")]
    options = SourceOptions(size_px=(640, 480), fps="native", buffers=2, transport="udp", open_timeout_ms=7)
    each, notes = share_options(wanted, [CAMERA, RTSP, VIDEO], options)
    base = SourceOptions(open_timeout_ms=7)
    assert each == [
        replace(base, size_px=(640, 480), buffers=2, name="usb"),
        replace(base, transport="udp", name="yard"),
        replace(base, fps="native", name="clip"),
    ]
    assert notes == [
        "--size applies to usb; not to yard, clip",
        "--fps native applies to clip; not to usb, yard",
        "--buffers applies to usb; not to yard, clip",
        "--transport applies to yard; not to usb, clip",
    ]


def test_nothing_is_said_of_options_that_all_sources_have() -> None:
    wanted = [NamedSource("a", "0"), NamedSource("b", "demo:")]
    each, notes = share_options(wanted, [CAMERA, DEMO], SourceOptions(fps=5))
    assert each == [SourceOptions(fps=5, name="a"), SourceOptions(fps=5, name="b")]
    assert notes == []


@pytest.mark.parametrize(
    ("kinds", "options", "message"),
    [
        ([RTSP], SourceOptions(size_px=(640, 480)), "--size: does not apply to a network stream; leave it out"),
        ([CAMERA, HTTP], SourceOptions(latency_ms=9), "--latency: does not apply to a camera, HTTP; leave it out"),
        (
            [CAMERA],
            SourceOptions(fps="native"),
            "--fps native: does not apply to a camera; it is for video files; give",
        ),
    ],
)
def test_an_option_that_no_source_has_is_wrong_usage(
    kinds: list[SourceKind], options: SourceOptions, message: str
) -> None:
    wanted = [NamedSource(f"camera{number}", "x") for number in range(len(kinds))]
    with pytest.raises(UsageError, match=message):
        share_options(wanted, kinds, options)
