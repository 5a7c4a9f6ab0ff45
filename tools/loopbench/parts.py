"""What the sides share, and the parts of our loop, each measured alone."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from googlenet_edge.bundle.reader import Bundle
from googlenet_edge.capture.source import open_source
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.open_backend import BackendOptions, open_backend
from googlenet_edge.runtime.preprocess import preprocess
from googlenet_edge.sinks.jsonl import JsonLinesSink
from googlenet_edge.stream import StreamConfig, run_stream
from googlenet_edge.types import ImageArray
from tools.loopbench.job import Job, Run
from tools.loopbench.marks import Marks, MarkSink
from tools.loopbench.memory import MemorySource
from tools.loopbench.standin import TimedBackend

__all__ = [
    "classifying",
    "decoding",
    "emission",
    "first_image",
    "open_classifier",
    "overhead",
    "preprocessing",
]


def open_classifier(job: Job) -> tuple[Classifier, list[int]]:
    """Return the classifier, and where the stand-in notes by how much its sleeps were late."""
    bundle = Bundle.open(job.bundle)
    if job.device_ms is None:
        options = BackendOptions(choice="onnxruntime", at_once=job.at_once)
        return Classifier(bundle, backend=open_backend(bundle, options).backend), []
    backend = TimedBackend(bundle, job.device_ms)
    return Classifier(bundle, backend=backend, golden_frames=0), backend.late_ns


def first_image(path: str) -> ImageArray:
    """Return the clip's first picture."""
    with open_source(Path(path)) as source:
        return next(iter(source)).image


def decoding(job: Job) -> Run:
    """Our source alone."""
    marks = Marks(warmup=job.warmup, frames=job.frames)
    with open_source(Path(job.source)) as source:
        for _ in islice(source, job.warmup + job.frames):
            marks.mark()
    return marks.run()


def preprocessing(job: Job) -> Run:
    """Our preprocessing alone, on one thread."""
    marks = Marks(warmup=job.warmup, frames=job.frames)
    image = first_image(job.source)
    rule = Bundle.open(job.bundle).crop
    while not marks.full:
        preprocess(image, rule)
        marks.mark()
    return marks.run()


def emission(job: Job) -> Run:
    """Our JSON lines alone, with the classifier's labels."""
    marks = Marks(warmup=job.warmup, frames=job.frames)
    classifier, _ = open_classifier(job)
    with classifier, JsonLinesSink(job.output) as lines:
        source = MemorySource(first_image(job.source))
        frame = next(iter(source))
        prediction = classifier.classify(frame)
        while not marks.full:
            lines.emit(frame, prediction)
            marks.mark()
    return marks.run()


def overhead(job: Job) -> Run:
    """Our loop with frames that lie ready, a device that takes no time and nothing to write."""
    marks = Marks(warmup=job.warmup, frames=job.frames)
    config = StreamConfig(warmup_frames=job.warmup, max_frames=job.warmup + job.frames)
    classifier, _ = open_classifier(job)
    with classifier:
        run_stream(MemorySource(first_image(job.source)), classifier, [MarkSink(marks)], config)
    return marks.run()


def classifying(job: Job) -> Run:
    """What :func:`overhead` does, without the loop."""
    marks = Marks(warmup=job.warmup, frames=job.frames)
    classifier, _ = open_classifier(job)
    with classifier:
        frame = next(iter(MemorySource(first_image(job.source))))
        while not marks.full:
            classifier.classify(frame)
            marks.mark()
    return marks.run()
