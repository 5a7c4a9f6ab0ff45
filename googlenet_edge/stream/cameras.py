"""The cameras of a run, and whoever watches over it while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source
    from googlenet_edge.latency.trace_store import TraceStore

__all__ = ["Camera", "CameraStatus", "Monitor"]


@dataclass(frozen=True)
class Camera:
    """One source of a run, and what it is called."""

    name: str | None
    """Told apart by this in results, logs and reports: ``Frame.camera``. None where it is the only one."""
    source: Source
    samples: TraceStore | None = None
    """Where the time points of its frames are kept while the run goes on; belongs to the caller, who closes it."""


@dataclass(frozen=True)
class CameraStatus:
    """How one camera is doing, in the middle of a run."""

    name: str | None
    """None in a run of one source."""
    frames: int
    """Frames that went the whole way, so far."""
    connected: bool
    """False while it is lost, and after its end."""
    last_emitted_ns: int | None
    """When its last result had gone to all sinks, by the run's clock; None before the first."""


class Monitor(Protocol):
    """Watches over a run, on the loop's own thread."""

    def tick(self, statuses: Sequence[CameraStatus]) -> None:
        """Be told how the cameras are doing, one status each: after each result, and every 0.25 s while none comes.

        A run that is stuck does not call it: one whose sink does not return, or whose inference does not, be it for a
        moment (on a device) or for 5 s (on the loop's own thread). A camera that is lost does not keep it from being
        called.
        """
