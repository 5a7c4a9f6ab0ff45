"""Measures what this machine's processors can do: the rate of multiply-accumulates and the bandwidth of memory.

- **Rate**: products of float32 matrices of 512 x 512 and of 1024 x 1024 in ONNX Runtime, with as many threads as the
  backend has: a machine of few cores, or a busy one, does better at the small ones, one of many at the large ones.
- **Bandwidth**: a copy of 64 MiB, shared among as many threads; bytes read plus bytes written over the time.

Each for half a second or more, and the best run counts, not the median: a peak is what the machine can do when nothing
is in the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import BackendError, MissingPackageError
from googlenet_edge.latency.roofline import MachinePeak
from googlenet_edge.runtime.ort_config import usable_cores

if TYPE_CHECKING:
    from googlenet_edge.types import Clock

__all__ = ["HOW", "measure_peak"]

HOW: Final = (
    "peak rate: products of float32 matrices of 512 and 1024 rows and columns in ONNX Runtime; bandwidth: a copy of "
    "64 MiB, read plus written; both with the backend's threads, the best run of half a second"
)
"""How it is measured, in one line."""

_SIDES: Final = (512, 1024)
_COPY_BYTES: Final = 64 << 20
_LEAST_RUNS: Final = 3
_LEAST_NS: Final = 500_000_000


def measure_peak(threads: int | None = None, *, clock: Clock = time.monotonic_ns) -> MachinePeak:
    """Measure the machine; takes about two seconds and 140 MB.

    ``threads``: None for ONNX Runtime's own choice; the copy then has one thread for each usable processor.
    Raises :class:`MissingPackageError` without ONNX Runtime and :class:`BackendError` if it fails.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError("onnxruntime", extra="cpu") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    rates = []
    try:
        for side in _SIDES:
            matrix = np.random.default_rng(0).random((side, side), dtype=np.float32)
            session = onnxruntime.InferenceSession(_product_graph(side), options, providers=["CPUExecutionProvider"])
            product = partial(session.run, None, {"a": matrix, "b": matrix})
            rates.append(side**3 * 1e9 / _best_ns(product, clock))
    except Exception as error:  # its exceptions share no base class
        raise BackendError(f"peak: ONNX Runtime cannot multiply two matrices: {error}") from error
    workers = threads or usable_cores()
    source, target = np.ones(_COPY_BYTES, np.uint8), np.zeros(_COPY_BYTES, np.uint8)
    pieces = list(zip(np.array_split(source, workers), np.array_split(target, workers), strict=True))
    with ThreadPoolExecutor(workers) as pool:

        def copy() -> None:
            list(pool.map(_copy, pieces))

        copy_ns = _best_ns(copy, clock)
    return MachinePeak(max(rates), 2 * _COPY_BYTES * 1e9 / copy_ns)


def _copy(piece: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]) -> None:
    np.copyto(piece[1], piece[0])  # without Python's lock


def _best_ns(work: Callable[[], object], clock: Clock) -> int:
    """Return the shortest time of several runs, after one that makes memory and threads ready."""
    work()
    began_ns = clock()
    runs_ns: list[int] = []
    while len(runs_ns) < _LEAST_RUNS or clock() - began_ns < _LEAST_NS:
        start_ns = clock()
        work()
        runs_ns.append(clock() - start_ns)
    return max(1, min(runs_ns))


def _product_graph(side: int) -> bytes:
    """Return an ONNX file that multiplies matrices ``a`` and ``b``.

    Written field by field (onnx.proto, Protocol Buffers encoding), because the device side has no onnx package.
    """
    shape = 2 * _field(1, _field(1, side))  # dim { dim_value }
    tensor = _field(1, _field(1, 1) + _field(2, shape))  # tensor_type { elem_type: FLOAT, shape }
    a, b, c = (_field(1, name) + _field(2, tensor) for name in (b"a", b"b", b"c"))
    node = _field(1, b"a") + _field(1, b"b") + _field(2, b"c") + _field(4, b"MatMul")
    graph = _field(1, node) + _field(2, b"product") + _field(11, a) + _field(11, b) + _field(12, c)
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))  # ir_version, graph, opset_import { version }


def _field(number: int, value: int | bytes) -> bytes:
    """Encode one field: a whole number, or bytes with their length before them."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
