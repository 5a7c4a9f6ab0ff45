"""The running loop: frames from one source or several through the classifier to the sinks, each step timed.

``loop`` runs it. A feed brings the frames through the classifier: ``serial`` one at a time, ``overlapped`` on threads,
which share ``traffic``: the cameras' ``lanes``, and ``batching``, which says what is computed next. ``tally`` counts
and times what came out of one camera, ``decide`` makes labels of probabilities over time.
"""

from googlenet_edge.stream.accuracy import Accuracy, AccuracyCounter
from googlenet_edge.stream.cameras import Camera, CameraStatus, Monitor
from googlenet_edge.stream.config import StreamConfig
from googlenet_edge.stream.feed import FrameClassifier, PendingFrames
from googlenet_edge.stream.loop import run_stream, run_streams
from googlenet_edge.stream.report import CameraReport, EndReason, StreamReport

__all__ = [
    "Accuracy",
    "AccuracyCounter",
    "Camera",
    "CameraReport",
    "CameraStatus",
    "EndReason",
    "FrameClassifier",
    "Monitor",
    "PendingFrames",
    "StreamConfig",
    "StreamReport",
    "run_stream",
    "run_streams",
]
