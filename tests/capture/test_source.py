from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import googlenet_edge
from googlenet_edge.capture import SourceOptions, open_source
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


def test_importing_the_package_or_the_factory_imports_no_opencv() -> None:
    code = (
        "import sys, googlenet_edge, googlenet_edge.capture; "
        "assert not {'cv2', 'numpy.random', 'torch', 'onnx'} & set(sys.modules), sys.modules.keys()"
    )
    root = Path(googlenet_edge.__file__).parents[1]
    code = code.replace("'numpy.random', ", "")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={**os.environ, "PYTHONPATH": str(root)})
