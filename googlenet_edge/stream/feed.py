"""What brings the frames of all cameras through the classifier, and what that needs of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from googlenet_edge.errors import GoogLeNetEdgeError
from googlenet_edge.stream.counting import CaptureCount
from googlenet_edge.types import Frame, Prediction, Region

__all__ = ["Ended", "Event", "Feed", "FrameClassifier", "PendingFrames", "Result"]


@dataclass(frozen=True)
class Result:
    """A frame and what was seen in it."""

    camera: int
    """The camera's place among those of the run."""
    frame: Frame
    prediction: Prediction


@dataclass(frozen=True)
class Ended:
    """A camera delivers no more, and nothing of it is under way."""

    camera: int
    error: GoogLeNetEdgeError | None = None
    """Why, where it did not end by itself."""


Event: TypeAlias = Result | Ended
"""What comes out of a feed."""


class PendingFrames(Protocol):
    """Frames that are computed together: a :class:`~googlenet_edge.runtime.pending.PendingBatch`."""

    def result(self) -> list[Prediction]:
        """Wait for the frames and return their predictions in order, once."""

    def done(self) -> bool:
        """Say whether :meth:`result` would return, or raise, at once."""

    def withdraw(self) -> bool:
        """Take the frames back if computing them has not begun, and say whether that was so."""


class FrameClassifier(Protocol):
    """What the loop needs of a :class:`~googlenet_edge.runtime.classifier.Classifier`.

    Where capture, inference and emission overlap, ``submit_batch`` is called from another thread than the one that
    takes the results.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each class id."""

    @property
    def slots(self) -> int:
        """How many batches may be under way at once; 1 where ``submit_batch`` computes before it returns."""

    @property
    def max_batch(self) -> int:
        """The most frames that are computed together."""

    def classify(self, image: Frame, *, top_k: int = 5, region: Region | None = None) -> Prediction:
        """Label one frame; the trace is filled up to ``inferred_ns``."""

    def submit_batch(
        self, images: Sequence[Frame], *, top_k: int = 5, region: Region | None = None, hold: bool = False
    ) -> PendingFrames:
        """Prepare frames and start on them; with ``hold``, only when nothing else is being computed."""


class Feed(AbstractContextManager["Feed"], Protocol):
    """Frames with their predictions, each camera's in the order of capture. Used by one thread, in its ``with`` block.

    A camera is named by its place among those of the run.
    """

    @property
    def stuck(self) -> bool:
        """An inference has been under way for longer than any should take."""

    @property
    def batches(self) -> dict[int, int]:
        """How many batches of each size came out."""

    def count(self, camera: int) -> CaptureCount:
        """The frames of this camera, so far."""

    def idle(self, camera: int) -> bool:
        """Say whether no frame of this camera is under way."""

    def next(self, timeout_s: float) -> Event | None:
        """Wait for what comes out next, and return None where nothing does in this time.

        Raises what ends the run: what the classifier raises, but for a frame that it does not take, and any exception
        of a source that is not one of ours.
        """
