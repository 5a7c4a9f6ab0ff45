"""What a process of its own does, by the scenarios' loops: times batches or layers, or classifies a labelled set."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from googlenet_edge.errors import GoogLeNetEdgeError, InputError
from googlenet_edge.scenarios.matrix.jobs import (
    Evaluated,
    EvaluateJob,
    Failed,
    LayersJob,
    Measured,
    MeasureJob,
    Message,
    Phase,
    decode_job,
    encode,
)

if TYPE_CHECKING:
    from googlenet_edge.runtime.classifier import Classifier
    from googlenet_edge.scenarios.queries import QueryConfig, QueryResult
    from googlenet_edge.scenarios.rig import Rig, WarmUpConfig
    from googlenet_edge.types import ImageArray

__all__ = [
    "LEAST_BATCHES",
    "OPENING_S",
    "SPARE_S",
    "Say",
    "do",
    "evaluate_set",
    "frames_file",
    "measure",
    "read_frames",
]

LEAST_BATCHES: Final = 8
"""Batches of a round, however short its time."""
WARMUP_S: Final = 15
"""Longest warm-up."""
OPENING_S: Final = 3600.0
"""A board takes minutes to build an engine."""
SPARE_S: Final = 300.0
"""For what has no limit of its own, on a machine that is very busy."""
_EVALUATION_BATCH: Final = 8

Say = Callable[[Phase], None]


@contextmanager
def frames_file(images: Sequence[ImageArray]) -> Iterator[int]:
    """Write frames, uint8 (height, width, 3) BGR of any sizes, where processes can read them; yield the descriptor.

    The file has no name: nothing is left of it, however this process ends. Raises OSError where there is no room.
    """
    with tempfile.TemporaryFile(prefix="googlenet-edge-") as file:
        np.savez(file, *images)
        file.flush()
        yield file.fileno()


def read_frames(descriptor: int) -> tuple[ImageArray, ...]:
    """Read what :func:`frames_file` wrote."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        with np.load(file) as arrays:
            return tuple(arrays[f"arr_{number}"] for number in range(len(arrays.files)))


def do(line: bytes, messages_fd: int) -> None:
    """Do the job of a line, and write messages to a descriptor: phases, and at the end what came of it."""

    def say(message: Message) -> None:
        data = memoryview(encode(message))
        while data:
            data = data[os.write(messages_fd, data) :]

    try:
        job = decode_job(line)
        if isinstance(job, MeasureJob):
            say(measure(job, say))
        elif isinstance(job, LayersJob):
            from googlenet_edge.scenarios.layers.work import time_layers

            say(time_layers(job, say))
        else:
            say(evaluate_set(job, say))
    except (GoogLeNetEdgeError, OSError) as error:
        say(Failed(_text(str(error))))
    except MemoryError as error:
        say(Failed(f"out of memory{f' ({error})' if str(error) else ''}: close other programs, or use smaller batches"))
    except Exception as error:  # noqa: BLE001 - told as what it is; the other cells can do without this one
        say(Failed(_text(f"{type(error).__name__}: {error}"), _text(traceback.format_exc())))


def measure(job: MeasureJob, say: Say) -> Measured:
    """Open the bundle, warm up, time one batch after the other, and then with batches overlapped where that is usual.

    Raises what opening and computing raise, and :class:`InputError` for a batch that is too large.
    """
    from googlenet_edge.scenarios.queries import run_queries
    from googlenet_edge.scenarios.rig import Rig
    from googlenet_edge.scenarios.work import ClassifierWork, PreparedWork, Work, crops_of

    images = read_frames(job.frames_fd)
    with _opened(job, say) as (classifier, line):
        if job.batch > classifier.max_batch:
            raise InputError(f"batch {job.batch}: it takes at most {classifier.max_batch} frames at once")
        work: Work
        if job.include_preprocess:
            work = ClassifierWork(classifier, images)
        else:
            work = PreparedWork(classifier, crops_of(images, classifier.bundle.crop))
        rig, config = Rig(work), _query_config(job)
        longest_s = (1 if work.slots == 1 else 2) * (WARMUP_S + job.max_duration_ns / 1e9)
        say(Phase(f"measuring batches of {job.batch}", longest_s + SPARE_S))
        result = run_queries(rig, config)
        ended_ns = rig.clock()
        overlapped = None if work.slots == 1 else _overlapped(rig, job, config.warmup)
        described = classifier.describe()
    warmup = result.warmed_up.warmup
    return Measured(
        started_ns=ended_ns - result.duration_ns,
        ended_ns=ended_ns,
        durations_ns=_durations_ns(result),
        frames_per_second=result.frames * 1e9 / max(1, result.duration_ns),
        overlapped_frames_per_second=overlapped,
        warmup_queries=warmup.frames,
        warmup_ns=warmup.duration_ns,
        steady=result.warmed_up.steady,
        warmup_note=result.warmed_up.note,
        line=line,
        contains=work.contains,
        classifier=described,
        peak_bytes=_peak_bytes(),
        complete=result.ended == "minimums met",
    )


def evaluate_set(job: EvaluateJob, say: Say) -> Evaluated:
    """Classify every image of a labelled set. Raises what opening, reading and computing raise."""
    from googlenet_edge.evaluation.dataset import open_dataset
    from googlenet_edge.evaluation.evaluate import evaluate

    with _opened(job, say) as (classifier, _):
        dataset = open_dataset(str(job.dataset), classifier.labels)
        if job.limit is not None:
            dataset = dataset.limited(job.limit)
        batch = min(_EVALUATION_BATCH, classifier.max_batch)

        def progress(done: int) -> None:
            say(Phase(f"classified {done} of {len(dataset)} images", SPARE_S))

        report = evaluate(classifier, dataset, batch=batch, progress=progress)
        class_count = len(classifier.labels)
    return Evaluated(
        dataset=_text(report.dataset),
        class_count=class_count,
        results=tuple((_text(one.name), one.truth, one.class_ids) for one in report.results),
        skipped=len(report.skipped),
    )


@contextmanager
def _opened(job: MeasureJob | EvaluateJob, say: Say) -> Iterator[tuple[Classifier, str]]:
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.runtime.classifier import Classifier
    from googlenet_edge.runtime.open_backend import open_backend

    say(Phase("opening the bundle", OPENING_S))
    bundle = Bundle.open(job.bundle)
    opened = open_backend(bundle, job.options)
    with Classifier(bundle, backend=opened.backend) as classifier:
        yield classifier, opened.line


def _query_config(job: MeasureJob) -> QueryConfig:
    from googlenet_edge.latency.stability import StabilityConfig
    from googlenet_edge.scenarios.queries import QueryConfig
    from googlenet_edge.scenarios.rig import SECOND_NS, WarmUpConfig

    return QueryConfig(
        samples_per_query=job.batch,
        percent=job.percent,
        min_duration_ns=job.min_duration_ns,
        min_queries=max(LEAST_BATCHES, job.min_queries),
        max_duration_ns=max(job.max_duration_ns, job.min_duration_ns),
        seed=job.seed,
        # Offline's: a process begins anew each round, and large batches on a small CPU take half a second each.
        warmup=WarmUpConfig(StabilityConfig(window=5, windows=2, maximum=500), WARMUP_S * SECOND_NS),
    )


def _overlapped(rig: Rig, job: MeasureJob, warmup: WarmUpConfig) -> float:
    """Return the throughput with as many batches under way as there are slots, in frames a second."""
    from googlenet_edge.scenarios.offline import OfflineConfig, run_offline

    config = OfflineConfig(
        min_batch=job.batch, max_batch=job.batch, min_duration_ns=job.min_duration_ns, seed=job.seed, warmup=warmup
    )
    result = run_offline(rig, config, memory=lambda: None)
    return result.sizes[0].fps


def _durations_ns(result: QueryResult) -> tuple[int, ...]:
    columns, rows = result.samples.columns, result.samples.rows
    durations = rows[:, columns.index("emitted_ns")] - rows[:, columns.index("captured_ns")]
    return tuple(durations.tolist())


def _text(text: str) -> str:
    """Return text that JSON can hold: a file name that is not UTF-8 has lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
