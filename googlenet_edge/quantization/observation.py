"""What is known of a tensor after some images, and how an interrupted run is kept to be gone on with."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from googlenet_edge.atomic import atomic_file
from googlenet_edge.errors import OutputError
from googlenet_edge.quantization.histogram import BINS, RangeHistogram
from googlenet_edge.quantization.maxima import ImageMaxima

__all__ = ["Observation", "Sidecar"]

_logger = logging.getLogger(__name__)

_FORMAT: Final = 2


@dataclass
class Observation:
    """What one tensor's values were like, over all images so far."""

    tensor: str
    histogram: RangeHistogram = field(default_factory=RangeHistogram)
    channel_sum: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0, np.float64))
    """float64 (channels,); empty before the first image."""
    maxima: ImageMaxima = field(default_factory=ImageMaxima)
    """Of each channel, and, as the last row, of the tensor."""

    @property
    def channel_mean(self) -> npt.NDArray[np.float64]:
        """float64 (channels,): E[x] of each channel."""
        return self.channel_sum * (len(self.channel_sum) / max(1, self.histogram.total))

    @property
    def channel_amax(self) -> npt.NDArray[np.float64]:
        """float64 (channels,): largest ``|x|`` of each channel."""
        return self.maxima.largest[:-1]

    def add_channels(self, total: npt.NDArray[np.float64], amax: npt.NDArray[np.float32]) -> None:
        """Add one image's sums, float64 (channels,), and largest absolute values, float32 (channels,)."""
        if not self.channel_sum.size:
            self.channel_sum = np.zeros_like(total)
        self.channel_sum += total
        self.maxima.add(np.append(amax, amax.max(initial=np.float32(0))))

    def merge(self, other: Observation) -> None:
        """Add what was seen of the same tensor in other images."""
        self.histogram.merge(other.histogram)
        if other.channel_sum.size:
            self.channel_sum = other.channel_sum + (self.channel_sum if self.channel_sum.size else 0.0)
        self.maxima.merge(other.maxima)


@dataclass(frozen=True)
class Sidecar:
    """The file beside a calibration table in which an unfinished run is kept.

    It belongs to one ``key`` (hashes of graph and images, tensors, versions): for any other it counts as not there.
    """

    path: Path
    key: Mapping[str, Any]

    def save(self, position: int, observations: Sequence[Observation]) -> None:
        """Keep what is known after ``position`` images. That it cannot be kept is logged, and costs only a restart."""
        header = json.dumps({"format": _FORMAT, "key": dict(self.key), "position": position}, sort_keys=True)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            header=np.frombuffer(header.encode(), np.uint8),
            counts=np.stack([o.histogram.counts for o in observations]),
            exponents=np.array([o.histogram.exponent for o in observations], np.int64),
            zeros=np.array([o.histogram.zeros for o in observations], np.int64),
            amax=np.array([o.histogram.amax for o in observations], np.float64),
            channels=np.array([len(o.channel_sum) for o in observations], np.int64),
            channel_sum=np.concatenate([o.channel_sum for o in observations]),
            maxima_count=np.array([o.maxima.count for o in observations], np.int64),
            maxima=np.concatenate([(o.maxima.total, o.maxima.squares, o.maxima.largest) for o in observations], axis=1),
        )
        try:
            with atomic_file(self.path, what="state of the calibration") as file:
                file.write(buffer.getbuffer())
        except OutputError as error:
            _logger.warning("%s: if the run is interrupted, it will have to start over", error)

    def load(self, tensors: Sequence[str]) -> tuple[int, list[Observation]]:
        """Return after how many images the run stood, and what was known then; 0 and nothing without such a run."""
        fresh = [Observation(tensor) for tensor in tensors]
        try:
            # Of a damaged file, numpy would leave the handle open: it gets the content instead.
            with np.load(io.BytesIO(self.path.read_bytes()), allow_pickle=False) as arrays:
                header = json.loads(arrays["header"].tobytes())
                if header["format"] != _FORMAT or header["key"] != json.loads(json.dumps(dict(self.key))):
                    _logger.warning(
                        "%s: left by a run with another graph, other images or settings: starting over", self.path
                    )
                    return 0, fresh
                return int(header["position"]), _observations(tensors, arrays)
        except FileNotFoundError:
            return 0, fresh
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            EOFError,
            NotImplementedError,
            zipfile.BadZipFile,
        ) as error:
            _logger.warning("%s: damaged (%s): starting over", self.path, error)
            return 0, fresh

    def remove(self) -> None:
        """Delete the file, if it is there."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def _observations(tensors: Sequence[str], arrays: Any) -> list[Observation]:
    columns = [arrays[name] for name in ("counts", "exponents", "zeros", "amax", "channels", "maxima_count")]
    sums, maxima = arrays["channel_sum"].astype(np.float64), arrays["maxima"].astype(np.float64)
    widths = columns[4]
    if columns[0].shape != (len(tensors), BINS) or len(sums) != widths.sum():
        raise ValueError(f"got counts of shape {columns[0].shape}, expected {(len(tensors), BINS)}")
    if maxima.shape != (3, len(sums) + len(tensors)):
        raise ValueError(f"got maxima of shape {maxima.shape}, expected {(3, len(sums) + len(tensors))}")
    found, start = [], 0
    for index, (tensor, counts, exponent, zeros, amax, channels, count) in enumerate(
        zip(tensors, *columns, strict=True)
    ):
        histogram = RangeHistogram(int(exponent), counts.astype(np.int64), int(zeros), float(amax))
        stop = start + int(channels)
        rows = (row[start + index : stop + index + 1].copy() for row in maxima)
        found.append(Observation(tensor, histogram, sums[start:stop].copy(), ImageMaxima(int(count), *rows)))
        start = stop
    return found
