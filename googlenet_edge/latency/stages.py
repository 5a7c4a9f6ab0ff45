"""The durations that are reported, each defined by the two time points that it lies between.

This is the one place that says what a latency contains; the report prints these definitions beside the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from googlenet_edge.types import FrameTrace, StampSource

__all__ = [
    "DEVICE_STAGE_DEFINITION",
    "DEVICE_STAGE_IN_SHORT",
    "DEVICE_STAGE_PREFIX",
    "POSTPROCESS",
    "POSTPROCESS_DEFINITION",
    "STAGES",
    "WAIT",
    "WAIT_IN_SHORT",
    "Stage",
    "TimePoint",
    "capture_definition",
    "timed_apart",
]

TimePoint: TypeAlias = Literal["captured_ns", "dequeued_ns", "preprocessed_ns", "inferred_ns", "emitted_ns"]


@dataclass(frozen=True)
class Stage:
    """A duration within one frame."""

    name: str
    title: str
    """The name in a table."""
    start: TimePoint
    end: TimePoint
    definition: str
    in_short: str
    """The definition in one line of a terminal."""

    def duration_ns(self, trace: FrameTrace) -> int:
        """Return this frame's duration. The frame must have been emitted if the stage ends there."""
        start: int = getattr(trace, self.start)
        end: int = getattr(trace, self.end)
        return end - start


STAGES = (
    Stage(
        "queue",
        "queue",
        "captured_ns",
        "dequeued_ns",
        "from capture until the loop took the frame up: its wait in the source, its age when work on it began",
        "from capture until the loop took the frame up: its wait in the source",
    ),
    Stage(
        "preprocess",
        "preprocess",
        "dequeued_ns",
        "preprocessed_ns",
        "crop and resize to the network's input",
        "crop and resize to the network's input",
    ),
    Stage(
        "inference",
        "inference",
        "preprocessed_ns",
        "inferred_ns",
        "from the input being ready until the probabilities are on the host: normalisation, network and softmax, with "
        "any copies to and from a device, synchronised; where the next frame is prepared while one is computed, also "
        "its wait for the device",
        "normalisation, network, softmax; copies and the wait for the device",
    ),
    Stage(
        "emit",
        "emit",
        "inferred_ns",
        "emitted_ns",
        "picking the labels (postprocess), then all sinks, one after the other: drawing, encoding, writing; where the "
        "next frame is computed meanwhile, also its wait for the sinks of the frame before it",
        "picking the labels, all sinks, and the wait for the frame before",
    ),
    Stage(
        "capture_to_result",
        "capture to result",
        "captured_ns",
        "inferred_ns",
        "queue + preprocess + inference; no sink",
        "queue + preprocess + inference; no sink",
    ),
    Stage(
        "capture_to_emitted",
        "capture to emitted",
        "captured_ns",
        "emitted_ns",
        "queue + preprocess + inference + emit",
        "queue + preprocess + inference + emit",
    ),
)
"""In the order in which they are printed."""

WAIT = "wait"
"""A duration between two frames: from the last frame's emitted_ns to this frame's dequeued_ns; 0 where this frame was
taken up before that, while the last one was still computed or emitted. The loop has nothing to do but get the next
frame. Where the source decodes or renders while the loop waits, that time is in here."""

WAIT_IN_SHORT = "the loop waited for the source; of a file, for reading and decoding it"

DEVICE_STAGE_PREFIX = "device "
DEVICE_STAGE_IN_SHORT = "by the device's own clock; part of inference"
DEVICE_STAGE_DEFINITION = (
    "measured by the device's own clock, within the wall time of inference; without the wait for the device to be free"
)

POSTPROCESS = "postprocess"
POSTPROCESS_DEFINITION = "checking the probabilities and picking the labels; part of emit"


def timed_apart(trace: FrameTrace) -> list[tuple[str, int]]:
    """Return the stages of a frame, with nanoseconds, that are durations and do not lie between two time points."""
    apart = [] if trace.postprocess_ns is None else [(POSTPROCESS, trace.postprocess_ns)]
    return apart + [(DEVICE_STAGE_PREFIX + name, duration_ns) for name, duration_ns in trace.device_stage_ns]


def capture_definition(*, live: bool, stamp_source: StampSource | None = "host") -> str:
    """Return what "captured" means for a source: the moment from which latencies are counted.

    ``stamp_source`` is None where it is not known what stamped the frames.
    """
    if not live:
        return (
            "when the frame was ready in memory: the source is not live, and reading, decoding or rendering the frame "
            "is outside queue and capture_to_result (as far as the loop had to wait for it, it is in wait)"
        )
    if stamp_source is None:
        return "the camera's or the sender's own time stamp, or when the host received the frame: which is not known"
    if stamp_source == "device":
        return "the camera's own time stamp, converted to the host's monotonic clock"
    if stamp_source == "stream":
        return (
            "the sender's own time stamp, brought to the host's clock by the frames that travelled quickest: what a "
            "frame was delayed beyond those is contained, but not the delay that all frames have in common (exposure, "
            "encoding, the quickest way through the network)"
        )
    return "when the host received the frame: exposure, the sensor's readout, encoding and the network come before"
