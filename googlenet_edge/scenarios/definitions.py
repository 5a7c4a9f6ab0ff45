"""What each figure of a scenario contains: the same sentences for the report file and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from googlenet_edge.latency.machine import MachineInfo
from googlenet_edge.scenarios.camera import CameraConfig
from googlenet_edge.scenarios.queries import QueryConfig

__all__ = ["ScenarioFacts", "camera_definitions", "offline_definitions", "query_definitions"]

_COMMON: Final = {
    "queue": "from the scheduled start until work began",
    "inference": "from the input being ready until the probabilities are on the host, any wait for the device included",
    "capture_to_result": "queue + preprocess + inference",
    "wait": "between two starts, when nothing was under way: the benchmark's own work, and waiting for what comes",
    "warmup": "queries before the measured ones, one after the other, until their times were steady; a check of the "
    "backend against a golden frame came before them",
    "start of the run": "the first measured query being begun, or the first frame's arrival",
}


@dataclass(frozen=True)
class ScenarioFacts:
    """What a scenario's report says besides the figures."""

    machine: MachineInfo
    """Before the run."""
    classifier: Mapping[str, str]
    """What it says of itself."""
    frames: str
    """Which frames were worked on."""
    frame_count: int
    contains: str
    """:attr:`~googlenet_edge.scenarios.work.Work.contains`"""
    include_preprocess: bool
    version: str
    """Of this package."""
    ended_at: str = ""
    """ISO 8601, UTC."""

    @property
    def preparing(self) -> str:
        """What the stage "preprocess" is."""
        if self.include_preprocess:
            return "crop and resize to the network's input"
        return "nothing: the crops were prepared before"

    @property
    def labelling(self) -> str:
        """What the stage "emit" is."""
        if self.include_preprocess:
            return "checking the probabilities and picking the labels; there is no sink"
        return "nothing: no labels are picked, and there is no sink"


def query_definitions(config: QueryConfig, facts: ScenarioFacts) -> dict[str, str]:
    """Return what the figures of single-stream and multi-stream contain."""
    several = config.samples_per_query > 1
    what = f"all {config.samples_per_query} frames of a query together" if several else "one frame"
    return {
        **_COMMON,
        "captured": "the query being begun: as soon as the one before it was done",
        "capture_to_emitted": f"latency of a query, {what}: {facts.contains}",
        "preprocess": facts.preparing,
        "emit": facts.labelling,
        "frames": "one frame of this report is one query"
        + (f" of {config.samples_per_query} frames" if several else ""),
        "fps": "queries per second: (N - 1) / (last done - first done) of the N measured queries",
        "estimate": f"an upper bound of the p{config.percent}: at 99 % confidence the true one is no longer (MLPerf "
        "Inference's early stopping); holds for queries that do not depend on each other",
    }


def camera_definitions(config: CameraConfig, facts: ScenarioFacts) -> dict[str, str]:
    """Return what the figures of a camera contain."""
    return {
        **_COMMON,
        "captured": "the frame's scheduled arrival, decoded in memory; exposure, readout and transfer come before",
        "queue": "from a frame's arrival until work on it began: behind the frame before it, and waking up",
        "preprocess": facts.preparing,
        "emit": facts.labelling,
        "capture_to_emitted": f"age of a frame when its result is out, from its arrival: queue, and {facts.contains}",
        "result_interval": "from one result to the next; N results make N - 1 of them",
        "peak_age": "how old the newest result had become just before the next one was out; N - 1 too",
        "dropped": "frames that still waited when the next one arrived: the newest wins, one waits at most",
        "late": f"results that were out later than {config.deadline / 1e6:.4g} ms after their frame's arrival",
        "missed": "frames without a result by the deadline: late + dropped",
    }


def offline_definitions(facts: ScenarioFacts) -> dict[str, str]:
    """Return what the figures of offline contain."""
    return {
        **_COMMON,
        "captured": "the batch being begun",
        "capture_to_emitted": f"a batch from its being begun until its results are taken: {facts.contains}; where "
        "several are under way, also its wait for the device",
        "preprocess": facts.preparing,
        "emit": facts.labelling,
        "frames": "one frame of this report is one batch, of the best size",
        "fps": "batches per second; frames per second of each size are in scenario.sizes",
        "throughput": "frames / (last result out - first batch begun); all frames lie ready",
        "memory": "of this process, behind each size; what a discrete GPU holds is not in it",
    }
