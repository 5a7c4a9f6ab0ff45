from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest

from googlenet_edge.capture import SourceOptions
from googlenet_edge.capture.kinds import (
    CAMERA,
    CSI,
    DEMO,
    HTTP,
    IMAGES,
    PIPELINE,
    RTSP,
    VIDEO,
    SourceKind,
    kind_of,
)
from googlenet_edge.errors import SourceError

KINDS = (CAMERA, CSI, DEMO, HTTP, IMAGES, PIPELINE, RTSP, VIDEO)


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("0", CAMERA),
        ("/dev/video7", CAMERA),
        ("csi:0", CSI),
        ("demo:?seed=2", DEMO),
        ("HTTPS://host/x", HTTP),
        ("gst: videotestsrc", PIPELINE),
        ("rtsps://host/x", RTSP),
        ("none/*.jpg", IMAGES),
    ],
)
def test_an_address_tells_its_kind(uri: str, kind: SourceKind) -> None:
    assert kind_of(uri) == (kind, uri)


def test_a_file_tells_its_kind_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, kind in (("rtsp_clip", VIDEO), ("a:b.mp4", VIDEO), ("a.JPG", IMAGES)):
        Path(name).touch()
        assert kind_of(name) == (kind, name)
        assert kind_of(f"file://{tmp_path}/{name}") == (kind, f"{tmp_path}/{name}")
    Path("0").touch()
    assert kind_of("0")[0] is CAMERA
    assert kind_of(Path("0")) == (VIDEO, "0")
    assert kind_of(str(tmp_path)) == (IMAGES, str(tmp_path))
    with pytest.raises(SourceError, match="no such file or folder"):
        kind_of("none.mp4")
    os.mkfifo("pipe.jpg")  # opening it would wait for whoever writes to it
    with pytest.raises(SourceError, match="not a regular file"):
        kind_of("pipe.jpg")


def test_what_a_kind_does_not_have_is_cut_and_the_rest_is_left() -> None:
    options = SourceOptions(size_px=(640, 480), fps=5, loop=True, latency_ms=9, read_timeout_ms=7)
    assert RTSP.refused(options) == ("size_px", "fps", "loop")
    assert RTSP.cut(options) == SourceOptions(latency_ms=9, read_timeout_ms=7)
    assert all(not kind.refused(kind.cut(options)) for kind in KINDS)


def test_only_a_video_file_has_a_rate_of_its_own() -> None:
    options = SourceOptions(fps="native")
    assert [kind for kind in KINDS if not kind.refused(options)] == [VIDEO]
    assert DEMO.cut(options) == SourceOptions()


def test_every_option_of_a_kind_exists() -> None:
    names = {field.name for field in fields(SourceOptions)}
    assert all(kind.options <= names for kind in KINDS)
