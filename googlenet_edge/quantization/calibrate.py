"""From a float32 graph and images to the calibration table; an old table is reused only where it fits exactly."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from googlenet_edge import __version__
from googlenet_edge.atomic import check_writable
from googlenet_edge.errors import CalibrationError
from googlenet_edge.graph.store import GraphSource, sha256_of
from googlenet_edge.quantization.histogram import BINS
from googlenet_edge.quantization.images import CalibrationImages, Progress
from googlenet_edge.quantization.observation import Observation, Sidecar
from googlenet_edge.quantization.observe import ObserveOptions, default_threads, observe
from googlenet_edge.quantization.table import (
    SCHEMA_VERSION,
    CalibrationSettings,
    CalibrationTable,
    CompactHistogram,
    TensorRange,
)
from googlenet_edge.quantization.table_file import NotATableError, read_table, write_table
from googlenet_edge.quantization.threshold import clipped_share, thresholds

__all__ = ["Calibration", "CalibrationOptions", "calibrate", "tensor_range"]

_logger = logging.getLogger(__name__)

_PICTURE_BINS: Final = 128


@dataclass(frozen=True)
class CalibrationOptions(ObserveOptions):
    """How to calibrate; see :class:`~googlenet_edge.quantization.observe.ObserveOptions` for the rest."""

    fresh: bool = False
    """Ignore an earlier table and an interrupted run."""


@dataclass(frozen=True)
class Calibration:
    """A calibration table and whether it had to be made."""

    table: CalibrationTable
    reused: bool
    reason: str
    """Why the table was reused, or not."""


def calibrate(
    graph: GraphSource,
    images: CalibrationImages,
    tensors: Sequence[str],
    *,
    path: str | os.PathLike[str] | None = None,
    options: CalibrationOptions | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Return the calibration table of a graph's tensors over the images, and write it to ``path`` if one is given.

    A table that is there already is returned if graph, images and settings are the very same and no tensor is missing;
    otherwise it is replaced, and the result says why. While the run lasts, its state is kept beside ``path``, so that a
    run that was interrupted goes on; the file goes when the table is written.

    Raises:
        CalibrationError: There is a file at ``path`` that is no calibration table.
        GraphError: A tensor is not in the graph, or a value in it is NaN or infinite.
        OutputError: The table cannot be written; this is found out before the run.
    """
    options = options or CalibrationOptions()
    target = None if path is None else Path(path)
    model_sha256 = sha256_of(graph)
    settings = CalibrationSettings(
        resize_px=images.rule.resize_px,
        crop_px=images.rule.crop_px,
        interpolation=images.rule.interpolation,
        bins=BINS,
    )
    reason = "there is no earlier table"
    sidecar = None
    if target is not None:
        earlier, reason = _earlier(target, model_sha256, images.sha256, settings, tensors)
        if earlier is not None and not options.fresh:
            _logger.info("%s: reused, %s", target, reason)
            return Calibration(earlier, reused=True, reason=reason)
        check_writable(target, what="calibration table")
        key = {
            "model_sha256": model_sha256,
            "images_sha256": images.sha256,
            "image_count": len(images),
            "tensors": list(tensors),
            "tools": _tools(),
        }
        sidecar = Sidecar(target.with_name(f"{target.name}.unfinished"), key)
        if options.fresh:
            reason = "a fresh one was asked for"
            sidecar.remove()
    observations = observe(graph, images, tensors, options=options, sidecar=sidecar, progress=progress)
    with ThreadPoolExecutor(options.threads or default_threads()) as pool:
        ranges = tuple(pool.map(tensor_range, observations))
    table = CalibrationTable(
        schema_version=SCHEMA_VERSION,
        created=datetime.now(tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        model_sha256=model_sha256,
        images_sha256=images.sha256,
        image_count=len(images),
        settings=settings,
        images=images.summary,
        tools=_tools(),
        tensors=ranges,
    )
    if target is not None and sidecar is not None:
        write_table(table, target)
        sidecar.remove()
    return Calibration(table, reused=False, reason=reason)


def _earlier(
    path: Path, model_sha256: str, images_sha256: str, settings: CalibrationSettings, tensors: Sequence[str]
) -> tuple[CalibrationTable | None, str]:
    """Return the table at the path if it fits, and why it does or does not."""
    if not path.exists():
        return None, "there is no earlier table"
    try:
        table = read_table(path)
        table.check(model_sha256=model_sha256, images_sha256=images_sha256, settings=settings)
        table.require(tensors)
    except NotATableError as error:
        raise CalibrationError(f"{error}; it is not overwritten: give another name, or delete it first") from error
    except CalibrationError as error:
        return None, str(error)
    return table, "graph, images and settings are the same"


def tensor_range(observation: Observation) -> TensorRange:
    """Return the thresholds of every method for a tensor, and what else is worth keeping of it."""
    histogram = observation.histogram
    expected = observation.maxima.expected()
    found = {m: float(threshold) for m, threshold in thresholds(histogram, float(expected[-1])).items()}
    used = histogram.used_bins()
    merged = histogram.counts.reshape(_PICTURE_BINS, -1).sum(axis=1)[: -(-used * _PICTURE_BINS // BINS)]
    return TensorRange(
        tensor=observation.tensor,
        amax=histogram.amax,
        dead=histogram.dead,
        thresholds=found,
        clipped_share={method: clipped_share(histogram, threshold) for method, threshold in found.items()},
        # float32 has all the digits that mean anything; its shortest form keeps the file small.
        channel_mean=_short(observation.channel_mean),
        channel_amax=_short(observation.channel_amax),
        channel_expected=_short(expected[:-1]),
        histogram=CompactHistogram(
            bin_width=histogram.bin_width * (BINS // _PICTURE_BINS),
            counts=tuple(int(count) for count in merged),
            zeros=histogram.zeros,
        ),
    )


def _short(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(str(np.float32(value))) for value in values)


def _tools() -> dict[str, str]:
    return {
        "googlenet_edge": __version__,
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "opencv": cv2.__version__,
    }
