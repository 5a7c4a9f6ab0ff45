"""A classifier whose inference takes scripted times by a made-up clock: what a scenario must report is then known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from googlenet_edge.bundle import Bundle
from googlenet_edge.runtime.backend import Outputs
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.scenarios.rig import Rig
from googlenet_edge.types import ImageArray, TensorSpec

MS = 1_000_000
IMAGES = tuple(np.full((16, 16, 3), shade, np.uint8) for shade in (0, 60, 120, 180, 240))


class FakeClock:
    """Time goes on only when someone says so."""

    def __init__(self, now_ns: int = 5_000 * MS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


@dataclass(frozen=True)
class Computed:
    outputs: Outputs
    ready_ns: int | None = None
    device_stage_ns: tuple[tuple[str, int], ...] = ()

    def result(self) -> Outputs:
        return self.outputs

    def done(self) -> bool:
        return True

    def withdraw(self) -> bool:
        return False


@dataclass
class ScriptedBackend:
    """Inference n takes ``durations_ns(n, frames)`` by the clock."""

    bundle: Bundle
    clock: FakeClock
    durations_ns: Callable[[int, int], int]
    max_batch: int | None = 32
    slots: int = 1
    taken_ns: list[int] = field(default_factory=list)
    """What each inference took, so far."""
    batches: list[int] = field(default_factory=list)

    @property
    def input(self) -> TensorSpec:
        return self.bundle.manifest.input

    @property
    def outputs(self) -> tuple[TensorSpec, TensorSpec]:
        logits, probabilities = self.bundle.manifest.outputs
        return logits, probabilities

    @contextmanager
    def staging(self, frames: int) -> Iterator[ImageArray]:
        yield np.zeros((frames, 224, 224, 3), np.uint8)

    def submit(self, batch: ImageArray, *, hold: bool = False) -> Computed:
        return Computed(self.infer(batch))

    def infer(self, batch: ImageArray) -> Outputs:
        self.taken_ns.append(self.durations_ns(len(self.taken_ns), len(batch)))
        self.batches.append(len(batch))
        self.clock.now_ns += self.taken_ns[-1]
        probabilities = np.zeros((len(batch), len(self.bundle.labels)), np.float32)
        probabilities[:, 0] = 1
        return probabilities, probabilities

    def describe(self) -> dict[str, str]:
        return {"backend": "scripted", "version": "1"}

    def close(self) -> None: ...

    def __enter__(self) -> ScriptedBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass
class Scripted:
    """A rig on a made-up clock."""

    clock: FakeClock
    backend: ScriptedBackend
    classifier: Classifier
    rig: Rig
    phases: list[str]

    def stopping(self, duration_ns: int) -> int:
        """Set the rig's ``stop`` while an inference runs, and return what that one takes."""
        self.rig.stop.set()
        return duration_ns


def rank(values: Sequence[int], percent: int) -> int:
    """Nearest rank, the plain way: the smallest value that so many percent of all are no greater than."""
    return next(v for v in sorted(values) if 100 * sum(other <= v for other in values) >= percent * len(values))


@dataclass(frozen=True)
class CameraTruth:
    """What happens to a camera's frames, event by event: each an index with arrival, start and end."""

    results: tuple[tuple[int, int, int, int], ...]
    dropped: tuple[int, ...]


def camera_truth(arrivals_ns: Sequence[int], durations_ns: Sequence[int]) -> CameraTruth:
    """Play a camera with one waiting place: whoever still waits when the next arrives is gone."""
    durations = iter(durations_ns)
    results: list[tuple[int, int, int, int]] = []
    dropped: list[int] = []
    free_ns = -math.inf
    waiting: int | None = None
    for index, arrived_ns in enumerate([*arrivals_ns, None]):
        if waiting is not None:
            start_ns = max(arrivals_ns[waiting], int(free_ns) if math.isfinite(free_ns) else 0)
            if arrived_ns is None or start_ns < arrived_ns:
                end_ns = start_ns + next(durations)
                results.append((waiting, arrivals_ns[waiting], start_ns, end_ns))
                free_ns = end_ns
            else:
                dropped.append(waiting)
        waiting = index
    return CameraTruth(tuple(results), tuple(dropped))
