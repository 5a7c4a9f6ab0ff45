"""Time per engine layer on the device, through TensorRT's IProfiler."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import tensorrt_rtx as trt

    from googlenet_edge.engine.api import TensorRT

__all__ = ["LayerTimes", "make_profiler"]

_NS_PER_MS: Final = 1_000_000


class LayerTimes:
    """Durations of an engine's layers, one a layer and inference, in the order in which the layers ran first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times_ns: dict[str, list[int]] = {}

    def add(self, name: str, duration_ms: float) -> None:
        """Note one run of a layer."""
        with self._lock:
            self._times_ns.setdefault(name, []).append(round(duration_ms * _NS_PER_MS))

    def get(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Layer names, each with the nanoseconds of its runs, oldest first."""
        with self._lock:
            return tuple((name, tuple(times)) for name, times in self._times_ns.items())

    def clear(self) -> None:
        """Forget what was noted: after the warm-up."""
        with self._lock:
            self._times_ns.clear()


def make_profiler(api: TensorRT, times: LayerTimes) -> trt.IProfiler:
    """Make the object that TensorRT calls for each layer, within ``execute_async_v3``, which then waits for the GPU."""
    if TYPE_CHECKING:
        from tensorrt_rtx import IProfiler as Base
    else:
        Base = api.IProfiler  # noqa: N806 - a class

    class Profiler(Base):
        """Hands each duration on."""

        def __init__(self) -> None:
            Base.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            times.add(layer_name, ms)

    return Profiler()
