"""What a report's figures are of, and what they are called: frames of a run, queries or batches of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from googlenet_edge.latency.report_format import ReportDocument
from googlenet_edge.latency.scenario_format import CameraScenario, OfflineScenario, QueryScenario
from googlenet_edge.latency.stages import STAGES, WAIT

__all__ = ["RUN", "Subject", "subject_of"]

_TITLES: Final = {stage.name: stage.title for stage in STAGES} | {WAIT: "wait"}
_BEFORE_RESULT: Final = ("queue", "preprocess", "inference")
_ALL: Final = (*_BEFORE_RESULT, "emit")
_OWN: Final = ("capture_to_emitted", "preprocess", "inference", "emit")


@dataclass(frozen=True)
class Subject:
    """The words for one kind of report."""

    stage: str = "capture_to_result"
    """The stage that is its latency: what is plotted, and looked at first."""
    parts: tuple[str, ...] = _BEFORE_RESULT
    """The stages that it consists of."""
    one: str = "frame"
    """What has a latency, and what the report counts as a frame."""
    many: str = "frames"
    kind: str = "frames"
    """The same, as exactly as two reports must agree to be compared: ``"batches of 8"``."""
    within: str = "had their result within {} of capture"
    """What is true of half of them, with the median in its place."""
    own: tuple[str, ...] = ()
    """The durations that say something here, the device's apart, in the order of a table; none: all."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Of stages that are called otherwise than in a run."""

    @property
    def title(self) -> str:
        """What the latency is called."""
        return self.name_of(self.stage)

    def name_of(self, stage: str) -> str:
        """Return what a stage is called in text; a device's own stages keep their names."""
        return self.titles.get(stage) or _TITLES.get(stage, stage)


RUN: Final = Subject()


def subject_of(document: ReportDocument) -> Subject:
    """Return the words for a report."""
    scenario = document.scenario
    if isinstance(scenario, QueryScenario):
        several = f" of {scenario.samples_per_query} frames" if scenario.samples_per_query > 1 else ""
        return _asked("query", "queries", several)
    if isinstance(scenario, OfflineScenario):
        return _asked("batch", "batches", f" of {scenario.best_batch}")
    if isinstance(scenario, CameraScenario):
        return Subject(
            stage="capture_to_emitted",
            parts=_ALL,
            within="had their result within {} of their arrival",
            own=("capture_to_emitted", "queue", "preprocess", "inference", "emit", "result_interval", "peak_age"),
            titles={
                "capture_to_emitted": "age at result",
                "emit": "labels",
                "result_interval": "result interval",
                "peak_age": "peak age",
            },
        )
    return RUN


def _asked(one: str, many: str, size: str) -> Subject:
    """Return the words for what is done one after the other."""
    return Subject(
        stage="capture_to_emitted",
        parts=_ALL,
        one=one,
        many=many,
        kind=f"{many}{size}",
        within=f"{size} were done within {{}}".strip(),
        own=_OWN,
        titles={"capture_to_emitted": f"{one} latency", "emit": "labels"},
    )
