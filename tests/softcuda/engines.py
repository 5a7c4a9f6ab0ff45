"""What the tests of the backend share: frames, engines of the tiny classifier, and the check that nothing is left."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import numpy as np
import pycuda.driver as cuda
from tensorrt import _control as standin

from googlenet_edge.engine.build import build_engine
from googlenet_edge.engine.flavour import load_flavour
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.runtime.trt_backend import TrtBackend, TrtConfig
from googlenet_edge.types import ImageArray
from tests.softcuda import control

SIZE_PX = 224


@contextmanager
def fresh_standin(*, misused: bool = False, lost: bool = False) -> Iterator[None]:
    """Give the stand-in settings of the test's own, and see that nothing of it, or on the device, is left in the end.

    Args:
        misused: The test misuses TensorRT, and looks at ``standin.misuses`` itself.
        lost: The test breaks the device, and what was on it stays there.
    """
    before = control.counters()
    lived = dict(+standin.live)
    with mock.patch.object(standin, "settings", replace(standin.settings)):
        try:
            yield
            assert misused or not standin.misuses, standin.misuses
            left = control.counters().left
            assert lost or dict(+standin.live) == lived, f"got {standin.live}, expected {lived}"
            assert lost or left == before.left, f"got {left}, expected {before.left}"
        finally:
            standin.misuses.clear()


@contextmanager
def cuda_context() -> Iterator[cuda.Context]:
    """Have the device's primary context in this thread, and put it away as pycuda wants it."""
    cuda.init()
    context = cuda.Device(0).retain_primary_context()
    context.push()
    try:
        yield context
    finally:
        cuda.Context.pop()
        context.detach()
        # To detach it, pycuda puts the context back on this thread, and the driver keeps it there.
        ctypes.CDLL(control.LIBRARY).cuCtxPopCurrent_v2(None)


def plan_of(graph: bytes, options: BuildOptions) -> bytes:
    """Build an engine with the stand-in."""
    return build_engine(load_flavour("tensorrt"), graph, options).plan


def open_plan(plan: bytes, config: TrtConfig | None = None) -> TrtBackend:
    """Load it."""
    return TrtBackend(plan, load_flavour("tensorrt"), config or TrtConfig(timeout_s=20.0))


def plain_frames(seed: int, count: int) -> ImageArray:
    """Frames of one plain colour each, uint8 (count, 224, 224, 3): what the tiny classifier tells apart."""
    colors = np.random.default_rng(seed).integers(0, 256, (count, 1, 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(colors, (count, SIZE_PX, SIZE_PX, 3)))
