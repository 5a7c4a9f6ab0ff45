"""What a run says of each of its cameras, and how fairly they were served."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.table import Table

from googlenet_edge.errors import InputError
from googlenet_edge.latency.report import stages_document
from googlenet_edge.latency.summary import LatencySummary, StageStatistics
from googlenet_edge.types import Outages

__all__ = [
    "AGE",
    "FAIRNESS_DEFINITION",
    "CameraFigures",
    "camera_document",
    "cameras_table",
    "fairness",
    "fairness_document",
    "jain_index",
]

AGE: Final = "capture_to_emitted"
"""The stage that is a frame's age when its result is out."""
_AGE_PERCENTILES = (50, 99)
_UNRELIABLE = "?"

FAIRNESS_DEFINITION = (
    "Jain's index of the cameras' served shares (frames emitted / frames captured): 1 = all alike, "
    "1 / cameras = one alone was served"
)


@dataclass(frozen=True)
class CameraFigures:
    """One camera of a run."""

    name: str | None
    """None: the one source of a run, without a name."""
    description: str
    """Without passwords."""
    live: bool
    captured: str
    """What "captured" means for it: :func:`~googlenet_edge.latency.stages.capture_definition`."""
    frames: int
    """Frames emitted, warm-up included."""
    unfinished: int
    """Frames that were still under way at the end."""
    summary: LatencySummary
    outages: Outages
    ended: str
    error: str | None = None
    more: Mapping[str, object] = field(default_factory=dict)
    """What else the report shall say of it; JSON values."""

    @property
    def served(self) -> float | None:
        """Share of its frames that were emitted, 0 to 1; None where there was none."""
        offered = self.frames + self.summary.dropped + self.unfinished
        return self.frames / offered if offered else None


def jain_index(shares: Sequence[float]) -> float:
    """Return (sum x)^2 / (n sum x^2): 1 where all shares are alike, 1 / n where one has everything.

    R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness and Discrimination for Resource Allocation in Shared
    Computer Systems", DEC Research Report TR-301, 1984. Shares are 0 or more; all 0 are alike. Raises
    :class:`InputError` for no share, and for a negative one.
    """
    if not shares or not all(0 <= share < math.inf for share in shares):
        raise InputError(f"fairness: got shares {list(shares)}, expected at least one, all 0 or more")
    largest = max(shares)
    if largest == 0:
        return 1.0
    scaled = [share / largest for share in shares]  # tiny squares would be 0
    return math.fsum(scaled) ** 2 / (len(scaled) * math.fsum(share**2 for share in scaled))


def fairness(cameras: Sequence[CameraFigures]) -> float | None:
    """Return :func:`jain_index` of what share of their frames the cameras had emitted.

    None for one camera, and where fewer than two cameras gave a frame.
    """
    shares = [camera.served for camera in cameras if camera.served is not None]
    return jain_index(shares) if len(shares) > 1 else None


def fairness_document(cameras: Sequence[CameraFigures]) -> dict[str, object] | None:
    """Return :func:`fairness` and what it means as JSON values; None where there is none."""
    fair = fairness(cameras)
    return None if fair is None else {"jain_index": round(fair, 6), "definition": FAIRNESS_DEFINITION}


def camera_document(camera: CameraFigures) -> dict[str, object]:
    """Return what the report says of one camera, as JSON values."""
    summary, outages = camera.summary, camera.outages
    age = _age(summary)
    return {
        "name": camera.name,
        "description": camera.description,
        "live": camera.live,
        "ended": camera.ended,
        "error": camera.error,
        "frames": camera.frames,
        "measured": summary.count,
        "dropped": summary.dropped,
        "dropped_in_warmup": summary.dropped_in_warmup,
        "unfinished": camera.unfinished,
        "fps": None if summary.fps is None else round(summary.fps, 3),
        "outages": {
            "lost": outages.lost,
            "reconnected": outages.reconnected,
            "attempts": outages.attempts,
            "down_s": round(outages.down_ns / 1e9, 3),
        },
        "frame_age_ms": None
        if age is None
        else {
            **{f"p{p.percent}": round(p.duration_ns / 1e6, 6) for p in age.percentiles},
            "max": round(age.maximum.duration_ns / 1e6, 6),
            "unreliable": [f"p{p.percent}" for p in age.percentiles if not p.reliable],
        },
        "captured": camera.captured,
        "stages": stages_document(summary),
        **camera.more,
    }


def cameras_table(cameras: Sequence[CameraFigures]) -> Table:
    """Return one row a camera; times in milliseconds, "?" behind a percentile from too few frames."""
    table = Table(
        title="cameras; age = capture to emitted, in ms",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    table.add_column("camera", no_wrap=True)
    headings = ["frames", "frames/s", "dropped", "lost", "back"]
    headings += [f"age p{percent}" for percent in _AGE_PERCENTILES] + ["max"]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for camera in cameras:
        fps = camera.summary.fps
        table.add_row(
            camera.name or camera.description,
            str(camera.frames),
            "-" if fps is None else f"{fps:.1f}",
            str(camera.summary.dropped),
            str(camera.outages.lost),
            str(camera.outages.reconnected),
            *_age_cells(camera.summary),
        )
    return table


def _age(summary: LatencySummary) -> StageStatistics | None:
    return next((stage for stage in summary.stages if stage.name == AGE), None)


def _age_cells(summary: LatencySummary) -> list[str]:
    age = _age(summary)
    if age is None:
        return ["-"] * (len(_AGE_PERCENTILES) + 1)
    wanted = [p for p in age.percentiles if p.percent in _AGE_PERCENTILES]
    cells = [f"{p.duration_ns / 1e6:.1f}{'' if p.reliable else _UNRELIABLE}" for p in wanted]
    return [*cells, f"{age.maximum.duration_ns / 1e6:.1f}"]
