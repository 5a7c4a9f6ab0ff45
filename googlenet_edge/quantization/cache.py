"""TensorRT's calibration cache: the old text file by which TensorRT up to 10, and its DLA, learn the scales of INT8.

::

    TRT-100300-EntropyCalibration2
    image: 4000810a
    conv1.relu: 3d54f2c1

The first line has TensorRT's version (from 10 on: major * 10000 + minor * 100 + patch; 8.6.0 is 8600) and the kind of
calibrator. Each further line has a tensor, by its ONNX name, and the big-endian bits of its **scale**, float32, that
is, of threshold / 127.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx

from googlenet_edge.atomic import atomic_file, check_writable
from googlenet_edge.errors import CalibrationError, InputError, OutputError
from googlenet_edge.graph.store import GraphSource, load_graph, sha256_of
from googlenet_edge.quantization.cache_ranges import all_ranges
from googlenet_edge.quantization.table import CalibrationTable
from googlenet_edge.quantization.threshold import LEVELS, METHODS, Method

__all__ = ["DEFAULT_VERSION", "CalibrationCache", "check_cache", "parse_cache", "to_cache", "write_cache"]

DEFAULT_VERSION: Final = 100300
"""TensorRT 10.3, that of JetPack 6.1 and 6.2."""

_ALGORITHM: Final = "EntropyCalibration2"
_HEADER = re.compile(r"TRT-(\d+)-(\w+)")
_LINE = re.compile(r"(.+): ([0-9a-f]{8})")
# A dead tensor is 0 whatever its scale: one that is neither 0, which TensorRT refuses, nor so small that the factors
# between two scales overflow.
_DEAD_SCALE: Final = 1.0 / LEVELS
_LEAST_SCALE: Final = 2.0**-126
"""The smallest normal float32."""


@dataclass(frozen=True)
class CalibrationCache:
    """What a calibration cache holds."""

    scales: Mapping[str, float]
    """By tensor; each exactly a float32 above 0."""
    version: int = DEFAULT_VERSION
    """Of TensorRT, for example 100300 or 8600."""
    algorithm: str = _ALGORITHM

    def __post_init__(self) -> None:
        if self.version < 1 or not re.fullmatch(r"\w+", self.algorithm):
            raise InputError(
                f"calibration cache: got TensorRT {self.version} and {self.algorithm!r}, expected for example 100300 "
                f"and {_ALGORITHM!r}"
            )
        for tensor, scale in self.scales.items():
            if not tensor or tensor != tensor.strip() or any(c in tensor for c in "\r\n\0"):
                raise InputError(f"calibration cache: got tensor name {tensor!r}, expected one that fits on a line")
            if not math.isfinite(scale) or scale < _LEAST_SCALE or _rounded(scale) != scale:
                raise InputError(f"calibration cache: {tensor!r}: got scale {scale}, expected a float32 above 0")

    def encode(self) -> bytes:
        """Return the file's content."""
        lines = [f"TRT-{self.version}-{self.algorithm}"]
        lines += [f"{tensor}: {struct.pack('>f', scale).hex()}" for tensor, scale in self.scales.items()]
        return ("\n".join(lines) + "\n").encode()


def to_cache(
    table: CalibrationTable,
    graph: GraphSource,
    *,
    method: Method | Mapping[str, Method] = "entropy",
    version: int = DEFAULT_VERSION,
) -> CalibrationCache:
    """Return the calibration cache of a graph: a scale for each of its tensors.

    Args:
        table: The calibration table of this very graph, which must have all that
            :func:`~googlenet_edge.quantization.cache_ranges.tensors_to_observe` names.
        graph: The float32 graph that TensorRT will be given.
        method: Which threshold to take: one for all, or one by tensor ("max" for those not named).
        version: TensorRT's version for the first line.

    Raises:
        CalibrationError: The table is of another graph, or a tensor's range is not known.
        InputError: There is no such method.
    """
    table.check(model_sha256=sha256_of(graph))
    model: onnx.ModelProto = load_graph(graph)
    observed = {}
    for entry in table.tensors:
        chosen = method if isinstance(method, str) else method.get(entry.tensor, "max")
        if chosen not in METHODS:
            raise InputError(f"method: got {chosen!r}, expected one of {', '.join(METHODS)}")
        observed[entry.tensor] = entry.thresholds[chosen]
    ranges = all_ranges(model, observed)
    return CalibrationCache({tensor: _scale(threshold) for tensor, threshold in ranges.items()}, version)


def check_cache(
    graph: GraphSource, tensors: Iterable[str], path: str | os.PathLike[str], *, version: int = DEFAULT_VERSION
) -> None:
    """Find out before the long run over the images whether a cache can be made of its table, and written.

    ``tensors`` are those that will be observed. A file at ``path`` is replaced only if it is a calibration cache.

    Raises:
        CalibrationError: A tensor's range will not follow from those observed.
        InputError: A calibrating TensorRT has no such version, or a tensor's name does not fit into a cache.
        OutputError: The file cannot be written, or there is one that is something else.
    """
    if not 1000 <= version < 10_000 and not 100_000 <= version < 110_000:
        raise InputError(
            f"calibration cache: got TensorRT {version}, expected major * 10000 + minor * 100 + patch for TensorRT 10 "
            "(10.3.0 is 100300) and major * 1000 + minor * 100 + patch before (8.6.1 is 8601); TensorRT 11 reads no "
            "cache: it takes INT8 from the graph"
        )
    ranges = all_ranges(load_graph(graph), dict.fromkeys(tensors, 1.0))
    CalibrationCache(dict.fromkeys(ranges, 1.0), version)
    target = Path(path)
    check_writable(target, what="calibration cache")
    if target.exists():
        with target.open("rb") as file:
            start = file.read(4)
        if start not in (b"", b"TRT-"):
            raise OutputError(
                f"calibration cache {str(target)!r}: there is a file that is no calibration cache, and it is not "
                "overwritten: give another name, or delete it first"
            )


def write_cache(cache: CalibrationCache, path: str | os.PathLike[str]) -> None:
    """Write a cache, whole or not at all. Raises :class:`~googlenet_edge.errors.OutputError`."""
    with atomic_file(Path(path), what="calibration cache") as file:
        file.write(cache.encode())


def parse_cache(content: bytes, source: str = "calibration cache") -> CalibrationCache:
    """Read the content of a calibration cache, ours or TensorRT's. ``source`` names the file in messages.

    Raises :class:`CalibrationError` for a first line or a line of another form, and for a tensor that comes twice.
    """
    try:
        first, *lines = content.decode().splitlines() or [""]
    except UnicodeDecodeError as error:
        raise CalibrationError(f"{source}: got {len(content)} bytes that are no text, expected TensorRT's") from error
    header = _HEADER.fullmatch(first)
    if header is None:
        raise CalibrationError(f"{source}: got the first line {first[:80]!r}, expected TRT-<version>-{_ALGORITHM}")
    scales: dict[str, float] = {}
    for number, line in enumerate(lines, start=2):
        found = _LINE.fullmatch(line)
        if found is None or found[1] in scales:
            problem = "a second time" if found else "for a line"
            raise CalibrationError(
                f"{source}, line {number}: got {line[:80]!r} {problem}, expected a tensor, a colon and 8 hexadecimal "
                "digits, each tensor once"
            )
        scales[found[1]] = struct.unpack(">f", bytes.fromhex(found[2]))[0]
    try:
        return CalibrationCache(scales, int(header[1]), header[2])
    except InputError as error:
        raise CalibrationError(f"{source}: {error}") from error


def _scale(threshold: float) -> float:
    return max(_rounded(threshold / LEVELS), _LEAST_SCALE) if threshold > 0 else _rounded(_DEAD_SCALE)


def _rounded(scale: float) -> float:
    """The nearest float32, infinity beyond the largest."""
    try:
        value: float = struct.unpack(">f", struct.pack(">f", scale))[0]
    except OverflowError:
        return math.inf
    return value
