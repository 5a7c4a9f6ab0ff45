"""Reads ``report.json`` and the raw samples beside it, and trusts neither."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.figures import FPS, Figure
from googlenet_edge.latency.recorder import MISSING
from googlenet_edge.latency.report import SCHEMA_VERSION, samples_path
from googlenet_edge.latency.stages import DEVICE_STAGE_PREFIX, STAGES, WAIT
from googlenet_edge.latency.summary import PERCENTILES, nearest_rank

__all__ = ["ReportFile", "Run", "read_run"]

_ALL_FRAMES = "all measured frames"
_MOST_BYTES = 512 * 2**20
_POINTS = ("sequence", *dict.fromkeys(point for stage in STAGES for point in (stage.start, stage.end)))


class StageFile(msgspec.Struct, frozen=True):
    """A stage's statistics, as far as they are compared."""

    count: int
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    unreliable: tuple[str, ...] = ()

    def percentile_ns(self, percent: int) -> float | None:
        """Return one of the percentiles in nanoseconds, None where the report has none."""
        value: float | None = getattr(self, f"p{percent}_ms")
        return None if value is None else value * 1e6


class FramesFile(msgspec.Struct, frozen=True):
    """How many frames."""

    measured: int
    fps: float | None = None


class LatencyFile(msgspec.Struct, frozen=True):
    """The statistics by stage."""

    percentiles_from: str
    stages: dict[str, StageFile]


class CameraFile(msgspec.Struct, frozen=True):
    """A camera of the run."""

    name: str | None = None


class ReportFile(msgspec.Struct, frozen=True):
    """``report.json``, as far as it is compared; what else is in it is passed over."""

    schema_version: int
    frames: FramesFile
    latency: LatencyFile
    definitions: dict[str, str]
    machine: dict[str, object]
    run: dict[str, object] = {}
    source: dict[str, object] = {}
    classifier: dict[str, object] = {}
    cameras: tuple[CameraFile, ...] = ()


class _Version(msgspec.Struct):
    schema_version: int


@dataclass(frozen=True)
class Run:
    """A report, and the raw samples where there are any."""

    path: Path
    report: ReportFile
    values: Mapping[Figure, float]
    """Each figure as the report has it: nanoseconds, or frames per second."""
    samples_ns: Mapping[Figure, npt.NDArray[np.int64]]
    """Per figure, in the order of emission: durations of its stage, or intervals between frames (the first is filled up
    with their mean); int64 (N,), N alike for all. Empty without samples."""
    lacking: str | None
    """Why there are no samples, None where there are."""

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of the report."""
        return tuple(self.report.latency.stages)

    def reliable(self, figure: Figure) -> bool:
        """Whether the report calls it so."""
        return figure.percent is None or f"p{figure.percent}" not in self.report.latency.stages[figure.stage].unreliable


def read_run(path: Path) -> Run:
    """Read a report and its samples.

    Raises :class:`InputError` for a file that cannot be read, is cut off, is no report or one of another schema
    version, has no measured frame, and for samples that are damaged or belong to another run.
    """
    report = _read_report(path)
    values = {
        Figure(name, percent): value
        for name, stage in report.latency.stages.items()
        for percent in PERCENTILES
        if (value := stage.percentile_ns(percent)) is not None
    }
    if report.frames.fps is not None:
        values[FPS] = report.frames.fps
    names = [camera.name for camera in report.cameras] or [None]
    files = [samples_path(path, name) for name in names]
    missing = [file.name for file in files if not file.exists()]
    if missing:
        return Run(path, report, values, {}, f"{path}: no raw samples beside it ({', '.join(missing)})")
    columns = _merged([_read_samples(file) for file in files])
    samples = {figure: taken for figure in values if (taken := _figure_samples(figure, columns)) is not None}
    complete = report.latency.percentiles_from == _ALL_FRAMES
    if not complete:  # a thinned run has gaps, and no interval between two frames is known
        samples.pop(FPS, None)
    _check_same_run(path, report, samples, len(columns["sequence"]), complete=complete)
    return Run(path, report, values, samples, None)


def _read_report(path: Path) -> ReportFile:
    data = _read_bytes(path, "report")
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path}: got a report of schema version {version}, expected {SCHEMA_VERSION}; measure again, or "
                "compare with the version of googlenet-edge that wrote it"
            )
        report = msgspec.json.decode(data, type=ReportFile)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InputError(
            f"{path}: got JSON that is no latency report ({error}), expected what `googlenet-edge run --report` writes"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: got no JSON, or a file that is cut off ({error}), expected what "
            "`googlenet-edge run --report` writes"
        ) from error
    if report.frames.measured < 1 or not report.latency.stages:
        raise InputError(
            f"{path}: got a report without a measured frame, expected some; measure longer than the warm-up"
        )
    return report


def _read_samples(path: Path) -> dict[str, npt.NDArray[np.int64]]:
    """Return the columns by name. An empty field is :data:`MISSING`."""
    data = _read_bytes(path, "samples")
    header, _, body = data.partition(b"\n")
    names = header.decode("utf-8", "replace").strip().split(",")
    if tuple(names[: len(_POINTS)]) != _POINTS or len(set(names)) != len(names):
        raise InputError(
            f"{path}: got columns {', '.join(names)[:200]!r}, expected {', '.join(_POINTS)} and more, as "
            "`googlenet-edge run --samples` writes them"
        )
    filled = (_filled(line) for line in io.StringIO(body.decode("utf-8", "replace")) if line.strip())
    try:
        rows = np.loadtxt(filled, dtype=np.int64, delimiter=",", ndmin=2, comments=None) if body.strip() else None
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: got a damaged line ({error}), expected whole numbers; measure again") from error
    if rows is None or rows.shape[1] != len(names):
        raise InputError(f"{path}: got {0 if rows is None else rows.shape[1]} values a line, expected {len(names)}")
    if (rows[:, : len(_POINTS)] == MISSING).any():
        raise InputError(f"{path}: got a frame without all of its time points, expected {', '.join(_POINTS)}")
    return {name: rows[:, i] for i, name in enumerate(names)}


def _filled(line: str) -> str:
    return ",".join(field or str(MISSING) for field in line.rstrip("\r\n").split(","))


def _merged(runs: list[dict[str, npt.NDArray[np.int64]]]) -> dict[str, npt.NDArray[np.int64]]:
    """Put the frames of several cameras into one row, in the order of emission; keep the columns that all have."""
    names = [name for name in runs[0] if all(name in run for run in runs)]
    order = np.argsort(np.concatenate([run["emitted_ns"] for run in runs]), kind="stable")
    return {name: np.concatenate([run[name] for run in runs])[order] for name in names}


def _figure_samples(figure: Figure, columns: Mapping[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.int64] | None:
    """Return the samples of a figure, None where the file has none, or not of every frame."""
    if figure.percent is None:
        intervals = np.diff(columns["emitted_ns"])
        return np.concatenate([[round(intervals.mean())], intervals]) if len(intervals) else None
    if figure.stage == WAIT:
        return None
    if figure.stage.startswith(DEVICE_STAGE_PREFIX):
        device = columns.get(f"{figure.stage}_ns")
        return None if device is None or (device == MISSING).any() else device
    for stage in STAGES:
        if stage.name == figure.stage:
            return columns[stage.end] - columns[stage.start]
    return None


def _check_same_run(
    path: Path,
    report: ReportFile,
    samples: Mapping[Figure, npt.NDArray[np.int64]],
    frames: int,
    *,
    complete: bool,
) -> None:
    """Samples of an earlier run may lie beside a newer report."""
    measured = report.frames.measured
    problem = f"{frames} frames where the report measured {measured}"
    if frames == measured or (not complete and frames < measured):
        problem = ""
    for figure, taken in samples.items() if complete and not problem else ():
        said = None if figure.percent is None else report.latency.stages[figure.stage].percentile_ns(figure.percent)
        if said is None or figure.percent is None:
            continue
        found = nearest_rank(np.sort(taken), figure.percent)
        if not math.isclose(found, said, abs_tol=1):
            problem = f"a {figure.name} of {found / 1e6:.6f} ms where the report has {said / 1e6:.6f} ms"
            break
    if problem:
        raise InputError(
            f"{path}: got samples of another run beside it ({problem}), expected those of the same; "
            "delete or restore them, or measure again with --samples"
        )


def _read_bytes(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise InputError(f"{path}: cannot be read ({reason}), expected a latency {what}") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"{path}: got more than {_MOST_BYTES >> 20} MiB, expected a latency {what}")
    return data
