"""The plain way: one camera, one frame at a time, on the caller's thread."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from googlenet_edge.errors import GoogLeNetEdgeError
from googlenet_edge.stream.counting import CaptureCount
from googlenet_edge.stream.decide import asked_top_k
from googlenet_edge.stream.feed import Ended, Result

if TYPE_CHECKING:
    from types import TracebackType

    from googlenet_edge.capture.source import Source
    from googlenet_edge.stream.config import StreamConfig
    from googlenet_edge.stream.feed import Event, FrameClassifier

__all__ = ["Serial"]


class Serial:
    """A :class:`~googlenet_edge.stream.feed.Feed` that has nothing under way while the caller has time to ask."""

    stuck = False

    def __init__(self, source: Source, name: str | None, classifier: FrameClassifier, config: StreamConfig) -> None:
        self._source, self._name = source, name
        self._classifier, self._region = classifier, config.region
        self._top_k = asked_top_k(config, len(classifier.labels))
        self._frames = iter(source)
        self._count = CaptureCount(source)
        self._delivered = 0

    @property
    def batches(self) -> dict[int, int]:
        """All are of one frame."""
        return {1: self._delivered} if self._delivered else {}

    def count(self, camera: int) -> CaptureCount:  # noqa: ARG002 - there is one
        """Return the frames of the camera, so far."""
        return self._count

    def idle(self, camera: int) -> bool:  # noqa: ARG002 - there is one
        """Say that no frame is under way."""
        return True

    def next(self, timeout_s: float) -> Event | None:  # noqa: ARG002 - the source keeps its own time limits
        """Take the next frame up and classify it."""
        try:
            frame = next(self._frames, None)
        except GoogLeNetEdgeError as error:
            return Ended(0, error)
        if frame is None:
            return Ended(0)
        self._count.add(frame)
        if self._name is not None:
            frame = replace(frame, camera=self._name)
        prediction = self._classifier.classify(frame, top_k=self._top_k, region=self._region)
        self._delivered += 1
        return Result(0, frame, prediction)

    def __enter__(self) -> Serial:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
