"""The sides that are compared, each run by ``python -m tools.loopbench.sides JOB`` in a process of its own.

All use the same classifier and backend; they differ in what brings the frames to it and the results out.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import queue
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from googlenet_edge.capture.source import open_source
from googlenet_edge.runtime.preprocess import preprocess
from googlenet_edge.sinks.jsonl import JsonLinesSink
from googlenet_edge.stream import StreamConfig, run_stream
from googlenet_edge.types import ImageArray
from tools.loopbench.clip import read_number
from tools.loopbench.job import Job, Run
from tools.loopbench.marks import AgeSink, Marks, MarkSink
from tools.loopbench.parts import (
    classifying,
    decoding,
    emission,
    first_image,
    open_classifier,
    overhead,
    preprocessing,
)

__all__ = ["SIDES"]


# Files.


def inference(job: Job) -> Run:
    """The backend alone, on a frame that lies ready, with as many under way as it takes."""
    marks = Marks(warmup=job.warmup, frames=job.frames)
    classifier, late_ns = open_classifier(job)
    with classifier:
        crop = preprocess(first_image(job.source), classifier.bundle.crop)[np.newaxis]
        under_way: deque[Any] = deque()
        while not marks.full:
            while len(under_way) < classifier.slots:
                under_way.append(classifier.backend.submit(crop))
            under_way.popleft().result()
            marks.mark()
        for ticket in under_way:
            ticket.result()
    return marks.run(late_ns=late_ns)


def ours(job: Job) -> Run:
    """``run_stream`` from the file to JSON lines."""
    marks = Marks(warmup=job.warmup, frames=job.frames)
    classifier, late_ns = open_classifier(job)
    config = StreamConfig(warmup_frames=job.warmup, max_frames=job.warmup + job.frames)
    with classifier, open_source(Path(job.source)) as source, JsonLinesSink(job.output) as lines:
        report = run_stream(source, classifier, [lines, MarkSink(marks)], config)
        if report.error is not None:
            raise report.error
    return marks.run(late_ns=late_ns)


def plain(job: Job) -> Run:
    """The loop of the tutorials: read, classify, print."""
    capture = cv2.VideoCapture(job.source)
    return _loop(job, _until_none(lambda: capture.read()[1]))


def vidgear(job: Job) -> Run:
    """The plain loop, its frames from vidgear's CamGear, which reads ahead in a thread; as it is by default."""
    with vidgear_frames(job.source) as frames:
        return _loop(job, frames)


def imutils(job: Job) -> Run:
    """The plain loop, its frames from imutils' FileVideoStream, which reads ahead in a thread; as it is by default."""
    stream: Any = importlib.import_module("imutils.video").FileVideoStream(job.source).start()
    try:
        return _loop(job, _until_none(stream.read))
    finally:
        stream.stopped = True
        while stream.thread.is_alive():  # it may be waiting for room
            with contextlib.suppress(queue.Empty):
                stream.Q.get_nowait()
            stream.thread.join(0.01)


def _loop(job: Job, frames: Iterator[ImageArray]) -> Run:
    marks = Marks(warmup=job.warmup, frames=job.frames)
    classifier, late_ns = open_classifier(job)
    with classifier, Path(job.output).open("w", encoding="utf-8") as lines:
        for image in frames:
            prediction = classifier.classify(image)
            print(prediction.label, f"{prediction.probability:.3f}", file=lines, flush=True)
            marks.mark()
            if marks.full:
                break
    return marks.run(late_ns=late_ns)


def _until_none(read: Callable[[], Any]) -> Iterator[ImageArray]:
    while (image := read()) is not None:
        yield image


@contextlib.contextmanager
def vidgear_frames(source: str) -> Iterator[Iterator[ImageArray]]:
    stream: Any = importlib.import_module("vidgear.gears").CamGear(source=source).start()
    try:
        yield _until_none(stream.read)
    finally:
        stream.stop()


# Live.


def live_ours(job: Job) -> Run:
    """``run_stream`` from the camera."""
    ages = AgeSink()
    classifier, _ = open_classifier(job)
    config = StreamConfig(max_duration_s=job.seconds)
    with classifier, open_source(job.source) as source, JsonLinesSink(job.output) as lines:
        report = run_stream(source, classifier, [lines, ages], config)
        if report.error is not None:
            raise report.error
    return Run(0.0, 0.0, emitted=tuple(ages.emitted))


def live_plain(job: Job) -> Run:
    """The plain loop from the camera."""
    capture = cv2.VideoCapture(job.source)
    return _live_loop(job, _until_none(lambda: capture.read()[1]))


def live_vidgear(job: Job) -> Run:
    """The plain loop from the camera through vidgear's CamGear, as it is by default."""
    with vidgear_frames(job.source) as frames:
        return _live_loop(job, frames)


def _live_loop(job: Job, frames: Iterator[ImageArray]) -> Run:
    emitted: list[tuple[int, int]] = []
    end = time.monotonic() + (job.seconds or 0)
    classifier, _ = open_classifier(job)
    with classifier, Path(job.output).open("w", encoding="utf-8") as lines:
        for image in frames:
            prediction = classifier.classify(image)
            print(prediction.label, f"{prediction.probability:.3f}", file=lines, flush=True)
            emitted.append((read_number(image), time.monotonic_ns()))
            if time.monotonic() >= end:
                break
    return Run(0.0, 0.0, emitted=tuple(emitted))


_FILES = (inference, ours, plain, vidgear, imutils)
_PARTS = (decoding, preprocessing, emission, overhead, classifying)
_LIVE = (live_ours, live_plain, live_vidgear)
SIDES: dict[str, Callable[[Job], Run]] = {side.__name__: side for side in (*_FILES, *_PARTS, *_LIVE)}


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    with contextlib.redirect_stdout(sys.stderr):  # what a peer prints is not the answer
        run = SIDES[job.side](job)
    print(json.dumps(asdict(run)), flush=True)


if __name__ == "__main__":
    main()
