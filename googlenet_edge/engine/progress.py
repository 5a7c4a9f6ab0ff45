"""How far a build is, and the way to stop it: both go through TensorRT's progress monitor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorrt_rtx as trt

    from googlenet_edge.engine.flavour import Flavour

__all__ = ["BuildProgress", "ProgressState", "make_monitor"]


@dataclass(frozen=True)
class BuildProgress:
    """One step of one phase of a build is done; phases lie within phases."""

    phase: str
    """TensorRT's own name, for example ``"Building engine"``."""
    parent: str | None
    """The phase that this one is a part of; None for the outermost."""
    done: int
    """Steps, 0 when the phase begins."""
    total: int
    depth: int
    """0 for the outermost phase."""


class ProgressState:
    """Keeps the phases that are open; TensorRT calls in from several threads, one at a time for each phase."""

    def __init__(self, report: Callable[[BuildProgress], None] | None, stopped: Callable[[], bool]) -> None:
        """``report`` is called for each step, ``stopped`` is asked after each one whether to give up."""
        self.error: Exception | None = None
        """What ``report`` raised: the build was stopped for it."""
        self._report = report
        self._stopped = stopped
        self._phases: dict[str, tuple[str | None, int, int]] = {}

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """Begin a phase."""
        depth = self._phases[parent][2] + 1 if parent in self._phases else 0
        self._phases[phase] = (parent, steps, depth)
        self._say(phase, 0)

    def step(self, phase: str, step: int) -> bool:
        """End a step, counted from 0, and return whether to go on."""
        self._say(phase, step + 1)
        return self.go_on()

    def go_on(self) -> bool:
        """Say whether nobody wants the build to end."""
        return self.error is None and not self._stopped()

    def finish(self, phase: str) -> None:
        """End a phase, also one that was cut short."""
        self._phases.pop(phase, None)

    def _say(self, phase: str, done: int) -> None:
        if self._report is None or phase not in self._phases or self.error is not None:
            return
        parent, steps, depth = self._phases[phase]
        try:
            self._report(BuildProgress(phase, parent, done, steps, depth))
        except Exception as error:  # noqa: BLE001 - it must not fly through TensorRT; build_engine raises it
            self.error = error


def make_monitor(flavour: Flavour, state: ProgressState) -> trt.IProgressMonitor:
    """Return the monitor to give to a builder config (10.3, 11.4 and RTX 1.7.1 have it alike)."""
    if TYPE_CHECKING:
        from tensorrt_rtx import IProgressMonitor as Base
    else:
        Base = flavour.api.IProgressMonitor  # noqa: N806 - a class

    class Monitor(Base):
        """Hands on to the state."""

        def __init__(self) -> None:
            Base.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            state.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return state.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            state.finish(phase_name)

    return Monitor()
