"""The running loop with the real backend for GPUs: frame n+1 is prepared while n computes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.capture.source import SourceOptions, open_source
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.open_backend import BackendOptions, open_backend
from googlenet_edge.runtime.trt_backend import TrtConfig
from googlenet_edge.sinks.sink import Sink
from googlenet_edge.stream import Camera, StreamConfig, run_stream, run_streams
from googlenet_edge.types import Frame, Prediction
from tests.softcuda.engines import open_plan, plan_of

FRAMES = 90
COLORS = {"red": (0, 0, 200), "green": (0, 200, 0), "blue": (200, 0, 0)}


@dataclass
class LabelSink(Sink):
    """Keeps what came out."""

    seen: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        self.seen.append(frame.sequence)
        if prediction.label != list(COLORS)[frame.sequence % len(COLORS)]:
            self.wrong.append(frame.sequence)

    def close(self) -> None: ...


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of frames whose colour follows from their number."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(FRAMES):
        cv2.imwrite(str(folder / f"{i:03}.png"), np.full((48, 64, 3), list(COLORS.values())[i % len(COLORS)], np.uint8))
    return folder


@pytest.fixture(params=["copies", "zero copy"])
def classifier(request: pytest.FixtureRequest, tiny_bundle: Path) -> Iterator[Classifier]:
    config = TrtConfig(zero_copy="on" if request.param == "zero copy" else "off")
    bundle = Bundle.open(tiny_bundle)
    opened = open_backend(bundle, BackendOptions("tensorrt", trt=config))
    with Classifier(bundle, backend=opened.backend) as classifier:
        assert classifier.slots == 2
        yield classifier
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("feed ")]


def test_every_frame_of_a_folder_comes_out_in_order_with_its_own_label(classifier: Classifier, images: Path) -> None:
    for _ in range(2):  # a second run finds all slots free
        sink = LabelSink()
        with open_source(str(images)) as source:
            report = run_stream(source, classifier, [sink], StreamConfig(warmup_frames=5))
        assert (report.ended, report.error, report.latency.dropped) == ("end of stream", None, 0)
        assert (sink.seen, sink.wrong) == (list(range(FRAMES)), [])
        stages = {stage.name for stage in report.latency.stages}
        assert {"device compute", "inference", "wait"} <= stages


def test_of_a_live_source_frames_that_came_out_and_dropped_ones_add_up(classifier: Classifier, images: Path) -> None:
    sink = LabelSink()
    with open_source(str(images), SourceOptions(fps=1000)) as source:
        report = run_stream(source, classifier, [sink], StreamConfig(warmup_frames=0))
    assert (report.ended, report.error, sink.wrong) == ("end of stream", None, [])
    assert sink.seen == sorted(sink.seen)
    assert report.frames == len(sink.seen)
    assert report.frames + report.latency.dropped == FRAMES


def test_the_frame_limit_leaves_the_backend_free_for_the_next_run(classifier: Classifier, images: Path) -> None:
    with open_source(str(images)) as source:
        report = run_stream(source, classifier, [], StreamConfig(max_frames=7, warmup_frames=0))
        assert (report.ended, report.frames) == ("frame limit", 7)
        red = np.full((48, 64, 3), COLORS["red"], np.uint8)
        assert [classifier.classify(red).label for _ in range(3)] == ["red"] * 3
        sink = LabelSink()
        rest = run_stream(source, classifier, [sink], StreamConfig(warmup_frames=0))
    assert sink.seen == list(range(7, FRAMES)), "no frame of a file is taken that does not come out"
    assert rest.frames == FRAMES - 7


@pytest.mark.parametrize("fps", [None, 300.0])
def test_several_cameras_share_one_engine(
    tiny_bundle: Path, tiny_graph_path: Path, images: Path, fps: float | None
) -> None:
    plan = plan_of(tiny_graph_path.read_bytes(), BuildOptions(max_batch=4))
    names = ["north", "south", "yard"]
    sinks = {name: LabelSink() for name in names}

    class ByCamera(LabelSink):
        def emit(self, frame: Frame, prediction: Prediction) -> None:
            assert frame.camera is not None
            sinks[frame.camera].emit(frame, prediction)

    with Classifier(Bundle.open(tiny_bundle), backend=open_plan(plan)) as classifier:
        for _ in range(2):  # a second run finds all slots free
            for sink in sinks.values():
                sink.seen.clear()
            cameras = [Camera(name, open_source(str(images), SourceOptions(fps=fps))) for name in names]
            report = run_streams(cameras, classifier, [ByCamera()], StreamConfig(warmup_frames=0))
            for camera in cameras:
                camera.source.close()
            assert (report.ended, report.error) == ("end of stream", None)
            for camera_report in report.cameras:
                sink = sinks[camera_report.name or ""]
                assert (sink.wrong, camera_report.offered) == ([], FRAMES)
                assert sink.seen == (list(range(FRAMES)) if fps is None else sorted(set(sink.seen)))
            assert max(size for size, _ in report.batches) in (2, 3), "frames that waited together went together"
