"""Images, sources and tables that no one should give, but someone will."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import onnx
import pytest
from PIL import Image

from googlenet_edge.capture import camera
from googlenet_edge.errors import CalibrationError, SourceLostError
from googlenet_edge.graph.half import to_half
from googlenet_edge.graph.session import OnnxRunner
from googlenet_edge.quantization.cache import to_cache
from googlenet_edge.quantization.calibrate import calibrate
from googlenet_edge.quantization.images import CalibrationImages, ImageOptions, collect_images
from googlenet_edge.quantization.quantize import QuantizeConfig, quantize_int8
from googlenet_edge.quantization.report import calibration_report
from googlenet_edge.quantization.table import CalibrationTable
from googlenet_edge.types import Clock, CropRule, Frame

RULE = CropRule(resize_px=36, crop_px=32)
QUICK = QuantizeConfig(method="max", bias_correction=False)


def retrained(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network after another training: every name is the same, one weight is not."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    tensor = next(tensor for tensor in other.graph.initializer if tensor.name == "conv1.weight")
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * np.float32(9), tensor.name))
    return other


# -- images


@pytest.mark.parametrize(
    "colors",
    [[(0, 0, 0)], [(255, 255, 255)], [(120, 130, 140)], [(0, 0, 0), (255, 255, 255)]],
    ids=["black", "white", "constant", "black and white"],
)
@pytest.mark.parametrize("method", [None, "max", "entropy", "mse"])
def test_images_of_one_colour_warn_and_still_give_a_graph_that_computes(
    small_graph: onnx.ModelProto, tmp_path: Path, colors: list[tuple[int, int, int]], method: Any
) -> None:
    for index, color in enumerate(colors):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((40, 40, 3), color, np.uint8))
    with collect_images(tmp_path, RULE) as images:
        assert "blank" in {warning.code for warning in images.summary.warnings}
        assert images.summary.blank == len(colors)
        table = calibrate(small_graph, images, ["input.add", "pool1", "module.concat", "flatten", "logits"]).table
        found = quantize_int8(small_graph, images, QuantizeConfig(method=method), table=table)
    assert all(np.isfinite(scale) and scale > 0 for scale in found.scales.values())
    assert all(scale > 0 for scale in to_cache(table, small_graph).scales.values())
    assert "NaN" not in calibration_report(table, name="one colour")
    # Frames that are nothing like it: clipped, but numbers.
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    for model in (found.model, to_half(found.model)):
        logits, probabilities = OnnxRunner(model).run(frames)
        assert np.isfinite(logits).all()
        assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-2)


def test_an_image_of_ten_thousand_pixels_a_side(tmp_path: Path) -> None:
    halves = Image.new("RGB", (10_000, 10_000), (255, 0, 0))
    halves.paste((0, 0, 255), (5000, 0, 10_000, 10_000))
    halves.save(tmp_path / "large.png", compress_level=1)
    with collect_images(tmp_path, RULE) as images:
        crop = images.read(0)[0]
    assert crop[:, 2].tolist() == [[0, 0, 255]] * 32  # red at the left, BGR
    assert crop[:, 29].tolist() == [[255, 0, 0]] * 32


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_image_is_left_out_whatever_its_kind(
    tmp_path: Path, make_images: Callable[..., Path], suffix: str, share: float
) -> None:
    folder = make_images(tmp_path / "images", 1)
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    content = cv2.imencode(suffix, noise)[1].tobytes()
    (folder / f"cut{suffix}").write_bytes(content[: int(len(content) * share)])
    with collect_images(folder, RULE) as images:
        assert [Path(name).name for name in images.names] == ["image0.png"]
        (left_out,) = images.summary.unreadable
    assert Path(left_out.name).name == f"cut{suffix}"
    assert left_out.reason


# -- sources


class _Camera:
    """A camera with a picture that changes, endless or for so many frames."""

    live = True
    fps: float | None = None

    def __init__(self, clock: Clock = time.monotonic_ns, frames: int | None = None) -> None:
        self.taken = 0
        self._clock = clock
        self._frames = frames
        self.released = False

    def grab(self, sequence: int) -> Frame:
        self.taken += 1
        if self._frames is not None and self.taken > self._frames:
            raise SourceLostError(f"/dev/video0: the camera was unplugged (after {sequence} frames)")
        return Frame(np.full((48, 64, 3), self.taken % 200, np.uint8), sequence, self._clock())

    def release(self) -> None:
        self.released = True


def test_a_camera_is_looked_at_once_a_second_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one stand-in is the camera; there is none here."""
    ticks = count()
    tenth_of_a_second_ns = 100_000_000

    def clock() -> int:
        return next(ticks) * tenth_of_a_second_ns

    device = _Camera(clock)
    monkeypatch.setattr(camera, "CameraGrabber", lambda path, options, **_: device)
    with collect_images("0", RULE, ImageOptions(count=4), clock=clock) as images:
        numbers = [int(name.removeprefix("0#")) for name in images.names]
        pictures = [int(images.read(index)[0, 0, 0, 0]) for index in range(4)]
    assert len(numbers) == 4
    assert all(later - earlier >= 10 for earlier, later in pairwise(numbers))
    assert pictures == [(number + 1) % 200 for number in numbers]
    assert device.released


def test_a_camera_that_is_pulled_out_leaves_what_it_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "CameraGrabber", lambda path, options, **_: _Camera(frames=5))
    with collect_images("0", RULE, ImageOptions(count=50, every=1)) as images:
        assert 1 <= len(images) <= 5
        (ended,) = (warning for warning in images.summary.warnings if warning.code == "ended-early")
    assert "/dev/video0" in ended.message


# -- tables


def test_a_table_without_one_of_its_tensors_is_refused(
    small_graph: onnx.ModelProto, small_images: CalibrationImages, small_table: CalibrationTable
) -> None:
    quantize_int8(small_graph, small_images, QUICK, table=small_table)
    for removed in ("input.add", "pool1"):
        fewer = tuple(entry for entry in small_table.tensors if entry.tensor != removed)
        table = msgspec.structs.replace(small_table, tensors=fewer)
        with pytest.raises(CalibrationError, match=f"'{removed}' missing.*googlenet-edge calibrate"):
            quantize_int8(small_graph, small_images, QUICK, table=table)


def test_a_table_of_another_model_is_refused(
    small_graph: onnx.ModelProto, small_images: CalibrationImages, small_table: CalibrationTable
) -> None:
    """All names are the same: only the hash tells that the ranges are a ninth of what they must be."""
    other = retrained(small_graph)
    with pytest.raises(CalibrationError, match="another graph"):
        quantize_int8(other, small_images, QUICK, table=small_table)
