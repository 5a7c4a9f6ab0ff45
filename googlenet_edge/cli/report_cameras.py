"""What `report` prints of a run above the latencies: how often labels were right, and each of several cameras."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from googlenet_edge.latency.cameras import CameraFigures, cameras_table
from googlenet_edge.latency.report_file import stage_statistics_of
from googlenet_edge.latency.summary import NOTHING_MEASURED
from googlenet_edge.plain import escaped
from googlenet_edge.types import Outages

if TYPE_CHECKING:
    from googlenet_edge.latency.report_format import CameraEntry, ReportDocument
    from googlenet_edge.latency.scenario_table import Shown

__all__ = ["cameras_shown"]


def cameras_shown(document: ReportDocument) -> Shown:
    """Return what `run` printed of accuracy and cameras, as far as the report has it."""
    shown: Shown = []
    accuracy = document.accuracy
    if accuracy.unavailable:
        shown.append(f"no accuracy: {accuracy.unavailable}")
    elif accuracy.top1_percent is not None:
        of = f" ({accuracy.correct} of {accuracy.frames_with_truth} frames)" if accuracy.correct is not None else ""
        shown.append(f"top-1 accuracy: {accuracy.top1_percent:.2f} %{of}")
    if len(document.cameras) > 1:
        shown.append(cameras_table([_figures(camera) for camera in document.cameras]))
        if document.fairness is not None:
            shown.append(f"fairness {document.fairness.jain_index:.3f} = {document.fairness.definition}")
    for camera in document.cameras:
        lost = camera.outages
        if lost.lost:
            shown.append(
                f"{camera.name or 'source'}: times lost {lost.lost}, back {lost.reconnected}, "
                f"attempts {lost.attempts}, {lost.down_s:.1f} s without it"
            )
    return shown


def _figures(camera: CameraEntry) -> CameraFigures:
    """Return what the table shows of a camera, with names as a terminal may show them."""
    summary = replace(
        NOTHING_MEASURED,
        count=camera.measured,
        fps=camera.fps,
        dropped=camera.dropped,
        stages=tuple(stage_statistics_of(name, stage) for name, stage in camera.stages.items()),
    )
    return CameraFigures(
        name=None if camera.name is None else escaped(camera.name),
        description=escaped(camera.description),
        live=camera.live,
        captured=camera.captured,
        frames=camera.frames,
        unfinished=camera.unfinished,
        summary=summary,
        outages=Outages(camera.outages.lost, camera.outages.reconnected),
        ended=camera.ended,
    )
