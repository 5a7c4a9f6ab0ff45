"""A rig on a made-up clock, for all tests of scenarios."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.scenarios.rig import Rig
from googlenet_edge.scenarios.work import ClassifierWork
from tests.latency.page.browser import browser, show
from tests.scenarios.scripted import IMAGES, FakeClock, Scripted, ScriptedBackend

__all__ = ["browser", "script", "show"]


@pytest.fixture
def script(tiny_bundle: Path) -> Callable[..., Scripted]:
    """Return a function that makes a rig of the times that inferences take."""
    bundle = Bundle.open(tiny_bundle)

    def make(durations_ns: Callable[[int, int], int], max_batch: int = 32, slots: int = 1) -> Scripted:
        clock = FakeClock()
        backend = ScriptedBackend(bundle, clock, durations_ns, max_batch=max_batch, slots=slots)
        classifier = Classifier(bundle, backend=backend, clock=clock, golden_frames=0)
        phases: list[str] = []

        def sleep(seconds: float) -> None:
            clock.now_ns += round(seconds * 1e9)

        work = ClassifierWork(classifier, IMAGES, clock=clock)
        return Scripted(clock, backend, classifier, Rig(work, clock, sleep=sleep, on_phase=phases.append), phases)

    return make
