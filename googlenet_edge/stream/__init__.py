"""The running loop: frames from a source through the classifier to the sinks, with the time of every step.

``loop`` runs it, ``feed`` brings the frames through the classifier, one at a time or one ahead of the device.
"""

from googlenet_edge.stream.accuracy import Accuracy, AccuracyCounter
from googlenet_edge.stream.config import StreamConfig
from googlenet_edge.stream.feed import FrameClassifier, PendingFrame
from googlenet_edge.stream.loop import EndReason, StreamReport, run_stream

__all__ = [
    "Accuracy",
    "AccuracyCounter",
    "EndReason",
    "FrameClassifier",
    "PendingFrame",
    "StreamConfig",
    "StreamReport",
    "run_stream",
]
