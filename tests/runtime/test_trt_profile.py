"""Per-layer times, with the real IProfiler of TensorRT-RTX."""

from __future__ import annotations

import pytest

from googlenet_edge.engine.flavour import load_flavour
from googlenet_edge.runtime.trt_profile import LayerTimes, make_profiler


def test_times_are_kept_by_layer_in_the_order_of_the_first_run() -> None:
    times = LayerTimes()
    for duration_ms in (0.25, 0.5):
        times.add("conv1 + relu", duration_ms)
        times.add("fc", 0.001)
    assert times.get() == (("conv1 + relu", (250_000, 500_000)), ("fc", (1_000, 1_000)))
    times.clear()
    assert times.get() == ()


def test_tensorrt_accepts_the_profiler_as_one_of_its_own() -> None:
    pytest.importorskip("tensorrt_rtx")
    flavour = load_flavour("tensorrt_rtx")
    times = LayerTimes()
    profiler = make_profiler(flavour.api, times)
    assert isinstance(profiler, flavour.api.IProfiler)
    profiler.report_layer_time("conv1", 1.5)
    assert times.get() == (("conv1", (1_500_000,)),)
