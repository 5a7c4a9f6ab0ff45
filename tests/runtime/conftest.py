"""Fixtures for the runtime's tests: frames, a backend whose answers are known, and a clock that counts its readings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.runtime.backend import Outputs
from googlenet_edge.runtime.ort_backend import OrtBackend
from googlenet_edge.types import ImageArray, TensorSpec

MakeFrame = Callable[[int, int], ImageArray]


@pytest.fixture(scope="session")
def natural_frame() -> MakeFrame:
    """Makes a frame of a given width and height with smooth parts, edges and noise, as a camera does."""

    def make(width_px: int, height_px: int) -> ImageArray:
        rng = np.random.default_rng(width_px * 10_000 + height_px)
        cells = rng.integers(0, 256, (2 + height_px // 40, 2 + width_px // 40, 3), dtype=np.uint8)
        image = cv2.resize(cells, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
        for _ in range(20):
            center = int(rng.integers(width_px)), int(rng.integers(height_px))
            radius = int(rng.integers(1, 2 + min(width_px, height_px) // 6))
            cv2.circle(image, center, radius, tuple(map(int, rng.integers(0, 256, 3))), -1)
        tile = rng.normal(scale=5, size=(min(height_px, 256), min(width_px, 256), 3)).round().astype(np.int16)
        repeats = -(-height_px // len(tile)), -(-width_px // tile.shape[1]), 1
        noise = np.tile(tile, repeats)[:height_px, :width_px]
        smooth: npt.NDArray[np.uint8] = np.asarray(cv2.GaussianBlur(image, (3, 3), 0), dtype=np.uint8)
        noisy: ImageArray = np.clip(smooth + noise, 0, 255).astype(np.uint8)
        return noisy

    return make


class RecordingBackend:
    """ONNX Runtime behind a limit on the batch, as an engine has one; it keeps what it was given."""

    def __init__(self, inner: OrtBackend, max_batch: int | None) -> None:
        self.inner, self.max_batch = inner, max_batch
        self.batches: list[ImageArray] = []
        self.lent: list[ImageArray] = []
        self.submitted: list[tuple[ImageArray, bool]] = []
        self.closed = 0
        self.offset = 0.0
        self.device_stage_ns = (("compute", 812_000),)
        self.ready_ns: int | None = None

    @property
    def input(self) -> TensorSpec:
        return self.inner.input

    @property
    def outputs(self) -> tuple[TensorSpec, TensorSpec]:
        return self.inner.outputs

    @property
    def slots(self) -> int:
        return self.inner.slots

    @contextmanager
    def staging(self, frames: int) -> Iterator[ImageArray]:
        with self.inner.staging(frames) as batch:
            self.lent.append(batch)
            yield batch

    def submit(self, batch: ImageArray, *, hold: bool = False) -> RecordingBackend._Ticket:
        self.submitted.append((batch, hold))
        assert self.max_batch is None or len(batch) <= self.max_batch
        self.batches.append(batch.copy())
        logits, probabilities = self.inner.infer(batch)
        outputs = logits, probabilities + np.float32(self.offset)
        return self._Ticket(outputs, self.device_stage_ns, self.ready_ns)

    @dataclass
    class _Ticket:
        outputs: Outputs
        device_stage_ns: tuple[tuple[str, int], ...]
        ready_ns: int | None

        def result(self) -> Outputs:
            return self.outputs

        def done(self) -> bool:
            return True

        def withdraw(self) -> bool:
            return False

    def infer(self, batch: ImageArray) -> Outputs:
        return self.submit(batch).result()

    def describe(self) -> dict[str, str]:
        return {"backend": "recording"}

    def close(self) -> None:
        self.closed += 1
        self.inner.close()

    def __enter__(self) -> RecordingBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@pytest.fixture
def make_backend(tiny_graph_path: Path) -> Iterator[Callable[[int | None], RecordingBackend]]:
    """Makes a backend of the tiny classifier with this limit on the batch."""
    made = []

    def make(max_batch: int | None) -> RecordingBackend:
        made.append(RecordingBackend(OrtBackend(tiny_graph_path), max_batch))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def clock() -> Callable[[], int]:
    """A clock that is one nanosecond later each time it is read: 1, 2, 3, ..."""
    readings = iter(range(1, 1_000_000))
    return lambda: next(readings)
