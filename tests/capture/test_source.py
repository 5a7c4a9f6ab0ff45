from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import googlenet_edge
from googlenet_edge.capture import Reconnect, SourceOptions, open_source
from googlenet_edge.errors import GoogLeNetEdgeError, SourceError, UsageError


@pytest.mark.parametrize(
    "uri", ["", "  ", "ftp://host/x", "udp://239.0.0.1:1234", "rtps://host", "demo2:", "a\0b", 5, None]
)
def test_an_unknown_kind_is_a_usage_error_that_lists_the_kinds(uri: object) -> None:
    with pytest.raises(UsageError, match=r"expected a camera .*/dev/videoN.*glob.*https?://.*rtsp://.*demo:"):
        open_source(uri)  # type: ignore[arg-type]


@pytest.mark.parametrize("uri", ["rtsp://", "http:", "rtsp:host/x", "http://[::1/x", "rtsp:///cam"])
def test_an_address_without_a_host_is_a_usage_error(uri: str) -> None:
    with pytest.raises(UsageError, match="got no host"):
        open_source(uri)


def test_an_error_that_quotes_the_address_has_no_password() -> None:
    for uri in ("ftp://me:S3cret@host/x", "rtsp//me:S3cret@host/x", "rtsp:/me:S3cret@host/x", "me:S3cret@host/x"):
        with pytest.raises(GoogLeNetEdgeError) as caught:
            open_source(uri)
        chain: BaseException | None = caught.value
        while chain is not None:
            assert "S3cret" not in str(chain) + repr(chain)
            chain = chain.__cause__


def test_folder_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no images among its 0 entries"):
        open_source(tmp_path)


def test_the_demo_scene_at_a_rate_is_live(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("googlenet_edge.demo.scene")
    with open_source("demo:", SourceOptions(size_px=(160, 120), fps=200)) as source:
        assert source.live
        frames = [frame for frame, _ in zip(source, range(5), strict=False)]
    assert source.labels is not None
    assert all(f.truth is not None and 0 <= f.truth < len(source.labels) for f in frames)
    assert frames[0].image.shape == (120, 160, 3)
    assert [f.captured_ns for f in frames] == sorted(f.captured_ns for f in frames)
    with open_source("demo:?fps=0.1&size=160x120") as slow:
        assert next(iter(slow)).sequence == 0
    assert "still blocked" not in caplog.text  # closing ends the wait of ten seconds for the next frame


def test_the_demo_scene_without_a_rate_drops_nothing() -> None:
    pytest.importorskip("googlenet_edge.demo.scene")
    with open_source("demo:", SourceOptions(size_px=(160, 120))) as source:
        assert [f.sequence for f, _ in zip(source, range(3), strict=False)] == [0, 1, 2]
        assert (source.live, source.dropped) == (False, 0)


@pytest.mark.parametrize(
    ("uri", "options", "message"),
    [
        ("0", SourceOptions(fps="native"), "/dev/video0: fps 'native' does not apply to a camera"),
        ("0", SourceOptions(transport="udp"), "/dev/video0: transport does not apply to a camera"),
        ("0", SourceOptions(latency_ms=5), "/dev/video0: latency_ms does not apply to a camera"),
        ("demo:", SourceOptions(fps="native"), "demo:: fps 'native' does not apply to the demo scene"),
        ("demo:", SourceOptions(buffers=2), "demo:: buffers does not apply to the demo scene"),
        ("rtsp://127.0.0.1:9/x", SourceOptions(fps="native"), "fps does not apply to a network stream"),
        ("rtsp://127.0.0.1:9/x", SourceOptions(buffers=2), "buffers does not apply to a network stream"),
        ("http://127.0.0.1:9/x", SourceOptions(transport="udp"), "transport does not apply to HTTP"),
        ("http://127.0.0.1:9/x", SourceOptions(latency_ms=5), "latency_ms does not apply to HTTP"),
        ("gst: videotestsrc", SourceOptions(buffers=2), "buffers does not apply to a GStreamer pipeline"),
        ("gst: videotestsrc", SourceOptions(latency_ms=2), "latency_ms does not apply to a GStreamer pipeline"),
        ("csi:0", SourceOptions(fps="native"), "csi:0: fps 'native' does not apply to a CSI camera"),
        ("csi:0", SourceOptions(transport="udp"), "csi:0: transport does not apply to a CSI camera"),
    ],
)
def test_an_option_that_a_kind_does_not_have_is_refused_whatever_the_policy(
    uri: str, options: SourceOptions, message: str
) -> None:
    for given in (options, replace(options, reconnect=Reconnect(attempts=None))):
        with pytest.raises(UsageError, match=re.escape(message)):
            open_source(uri, given)


def test_a_program_that_is_not_installed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SourceError, match=r"gst: videotestsrc: gst-launch-1.0 is not installed; sudo apt install"):
        open_source("gst: videotestsrc", SourceOptions(reconnect=Reconnect(attempts=None)))


def test_images_have_no_rate_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    for uri in (tmp_path, tmp_path / "a.png", str(tmp_path / "*.png")):
        with pytest.raises(
            UsageError, match="fps 'native' does not apply to images, only to video files; give a number"
        ):
            open_source(uri, SourceOptions(fps="native"))


def test_importing_the_package_or_the_factory_imports_no_opencv() -> None:
    code = (
        "import sys, googlenet_edge, googlenet_edge.capture; "
        "assert not {'cv2', 'numpy.random', 'torch', 'onnx'} & set(sys.modules), sys.modules.keys()"
    )
    root = Path(googlenet_edge.__file__).parents[1]
    code = code.replace("'numpy.random', ", "")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={**os.environ, "PYTHONPATH": str(root)})
