"""What a process of its own is asked to do, and what it says: one JSON object a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from googlenet_edge.errors import InputError
from googlenet_edge.latency.layer_times import LayerReport
from googlenet_edge.runtime.layer_profile import ProfileConfig
from googlenet_edge.runtime.open_backend import BackendOptions

__all__ = [
    "Answer",
    "EvaluateJob",
    "Evaluated",
    "Failed",
    "Job",
    "LayersJob",
    "LayersTimed",
    "MeasureJob",
    "Measured",
    "Message",
    "Phase",
    "decode_job",
    "decode_message",
    "encode",
]


class MeasureJob(msgspec.Struct, frozen=True, kw_only=True, tag="measure"):
    """Time batches of one size."""

    bundle: Path
    options: BackendOptions
    batch: int
    frames_fd: int
    """A file of frames, from :func:`~googlenet_edge.scenarios.matrix.work.frames_file`."""
    percent: int
    """The percentile of interest."""
    min_duration_ns: int
    max_duration_ns: int
    min_queries: int
    seed: int
    include_preprocess: bool


class EvaluateJob(msgspec.Struct, frozen=True, kw_only=True, tag="evaluate"):
    """Classify a labelled set."""

    bundle: Path
    options: BackendOptions
    dataset: Path
    """What :func:`~googlenet_edge.evaluation.dataset.open_dataset` takes, as a path: a name need not be UTF-8."""
    limit: int | None


class LayersJob(msgspec.Struct, frozen=True, kw_only=True, tag="layers"):
    """Time whole inferences of the golden frames, and then each layer."""

    bundle: Path
    options: BackendOptions
    """Without layer profiling: that is switched on when it is due."""
    config: ProfileConfig
    scratch: Path
    """A folder for temporary files, which the caller removes: the process may be ended at any time."""


Job: TypeAlias = MeasureJob | EvaluateJob | LayersJob


class Phase(msgspec.Struct, frozen=True, tag="phase"):
    """What is being done now."""

    text: str
    limit_s: float
    """The next message comes within this time, or something hangs."""


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag="measured"):
    """One round of one cell."""

    started_ns: int
    """The first measured batch being begun, by the machine's monotonic clock, which all processes share."""
    ended_ns: int
    durations_ns: tuple[int, ...]
    """Of each batch, one after the other, from its being begun until its labels were there."""
    frames_per_second: float
    """One batch after the other."""
    overlapped_frames_per_second: float | None
    """As many batches under way as the backend has slots; None where that is one."""
    warmup_queries: int
    warmup_ns: int
    steady: bool
    warmup_note: str
    line: str
    """What computed, and why that."""
    contains: str
    """What a batch's time contains."""
    classifier: dict[str, str]
    peak_bytes: int
    """The most memory that the process had."""
    complete: bool
    """False: the longest time was up before there were as many batches as were asked for."""


class Evaluated(msgspec.Struct, frozen=True, kw_only=True, tag="evaluated"):
    """A labelled set, classified."""

    dataset: str
    class_count: int
    results: tuple[tuple[str, int, tuple[int, ...]], ...]
    """Name, right class and best classes of each image."""
    skipped: int


class LayersTimed(msgspec.Struct, frozen=True, kw_only=True, tag="layers timed"):
    """One round of one bundle, layer by layer."""

    whole_ns: int
    """Median wall time of an inference, without the layers' profiler."""
    report: LayerReport
    line: str
    """What computed, and why that."""
    backend: dict[str, str]
    """What it says of itself, without the profiler."""
    profiled: dict[str, str]
    """And with it: TensorRT then uses no CUDA graph."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It could not be done."""

    reason: str
    traceback: str | None = None
    """Of an error that is not one of ours: a bug, most likely."""


Answer: TypeAlias = Measured | Evaluated | LayersTimed
"""What comes of a job."""

Message: TypeAlias = Phase | Answer | Failed


def _encode_other(value: object) -> object:
    if isinstance(value, Path):
        return quote_from_bytes(os.fsencode(value))  # a name need not be UTF-8
    raise NotImplementedError(f"got {type(value).__name__}, expected what JSON has, or a path")


def _decode_other(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return Path(os.fsdecode(unquote_to_bytes(value)))
    raise NotImplementedError(f"got {kind.__name__}, expected what JSON has, or a path")


_JOB: Final = msgspec.json.Decoder(Job, dec_hook=_decode_other)
_MESSAGE: Final = msgspec.json.Decoder(Message)


def encode(something: Job | Message) -> bytes:
    """Return a job or message as one line."""
    return msgspec.json.encode(something, enc_hook=_encode_other) + b"\n"


def decode_job(line: bytes) -> Job:
    """Return the job of a line. Raises :class:`InputError` for anything else."""
    try:
        job: Job = _JOB.decode(line)
    except msgspec.DecodeError as error:
        raise InputError(f"job: {error}; expected what jobs.encode() gives") from error
    return job


def decode_message(line: bytes) -> Message:
    """Return the message of a line. Raises :class:`InputError` for anything else."""
    try:
        message: Message = _MESSAGE.decode(line)
    except msgspec.DecodeError as error:
        raise InputError(f"message: {error}; expected what jobs.encode() gives") from error
    return message
