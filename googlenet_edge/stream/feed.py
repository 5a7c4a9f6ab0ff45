"""What brings the frames of a source through the classifier, and the plain way: one frame at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias

from googlenet_edge.types import Frame, Prediction, Region

if TYPE_CHECKING:
    from types import TracebackType

    from googlenet_edge.capture.source import Source
    from googlenet_edge.stream.config import StreamConfig

__all__ = ["Feed", "FrameClassifier", "Labelled", "PendingFrame", "Serial"]

Labelled: TypeAlias = tuple[Frame, Prediction]
"""A frame and what was seen in it."""


class PendingFrame(Protocol):
    """A frame under way: a :class:`~googlenet_edge.runtime.pending.PendingPrediction`."""

    def result(self) -> Prediction:
        """Wait for the frame and return its prediction, once."""

    def done(self) -> bool:
        """Say whether :meth:`result` would return, or raise, at once."""

    def withdraw(self) -> bool:
        """Take the frame back if computing it has not begun, and say whether that was so."""


class FrameClassifier(Protocol):
    """What the loop needs of a :class:`~googlenet_edge.runtime.classifier.Classifier`.

    With more than one slot, ``submit`` is called from another thread than the one that takes the results.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each class id."""

    @property
    def slots(self) -> int:
        """How many frames may be under way at once."""

    def classify(self, image: Frame, *, top_k: int = 5, region: Region | None = None) -> Prediction:
        """Label one frame; the trace is filled up to ``inferred_ns``."""

    def submit(self, image: Frame, *, top_k: int = 5, region: Region | None = None, hold: bool = False) -> PendingFrame:
        """Prepare one frame and start on it; with ``hold``, only when nothing else is being computed."""


class Feed(AbstractContextManager["Feed"], Protocol):
    """Frames with their predictions, in the order of capture. Used by one thread, within its ``with`` block."""

    @property
    def replaced(self) -> int:
        """Frames that the source handed out, and that gave way to a newer one, so far."""

    def next(self) -> Labelled | None:
        """Wait for the next frame and its prediction; None at the source's end. Raises what either of them raises."""


class Serial:
    """A :class:`Feed` of one frame at a time, on the caller's thread."""

    replaced = 0
    """None is ever replaced."""

    def __init__(self, source: Source, classifier: FrameClassifier, config: StreamConfig) -> None:
        self._frames, self._classifier, self._config = iter(source), classifier, config

    def next(self) -> Labelled | None:
        """Take the next frame up and classify it."""
        frame = next(self._frames, None)
        if frame is None:
            return None
        return frame, self._classifier.classify(frame, top_k=self._config.top_k, region=self._config.region)

    def __enter__(self) -> Serial:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
