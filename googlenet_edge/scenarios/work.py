"""What a scenario asks to be done: frames to labels, or crops to probabilities, each step stamped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from googlenet_edge.errors import BackendError, InputError
from googlenet_edge.runtime.preprocess import preprocess
from googlenet_edge.types import FrameTrace

if TYPE_CHECKING:
    from googlenet_edge.runtime.backend import Ticket
    from googlenet_edge.runtime.classifier import Classifier
    from googlenet_edge.runtime.pending import PendingBatch
    from googlenet_edge.types import Clock, CropRule, ImageArray

__all__ = ["ClassifierWork", "Job", "PreparedWork", "Work", "crops_of", "done_ns", "process"]


class Job(Protocol):
    """A batch under way."""

    def finish(self) -> FrameTrace:
        """Wait for the results and return when each step was done, ``emitted_ns`` included.

        Raises :class:`BackendError` if the inference failed or gave NaN.
        """
        ...


class Work(Protocol):
    """Does what is measured, on a fixed set of frames."""

    @property
    def frames(self) -> int:
        """How many frames there are to choose from."""
        ...

    @property
    def max_batch(self) -> int:
        """The most frames at once."""
        ...

    @property
    def slots(self) -> int:
        """How many batches may be under way at once."""
        ...

    @property
    def contains(self) -> str:
        """What the time from ``dequeued_ns`` to ``emitted_ns`` contains, in one line."""
        ...

    def begin(self, indexes: Sequence[int], sequence: int, captured_ns: int | None = None) -> Job:
        """Start on a batch of these frames, 1 to ``max_batch``; ``sequence`` is its number in the traces.

        ``captured_ns``: when it came in; None for now. Raises :class:`InputError` for too many frames, and what the
        work itself raises.
        """
        ...


class ClassifierWork:
    """Frames as a camera delivers them to labels: crop, resize, inference, top-k."""

    contains = (
        "crop and resize, copies to and from the device, normalisation, network, softmax and the top-5 labels, of "
        "frames that lie decoded in memory"
    )

    def __init__(
        self,
        classifier: Classifier,
        images: Sequence[ImageArray],
        *,
        max_batch: int | None = None,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        """``images``: uint8 (height, width, 3) BGR, any sizes. The classifier stays the caller's.

        ``max_batch``: compute at most so many together, though the classifier may take more.
        """
        if not images:
            raise InputError("frames: got none, expected at least one")
        self._classifier, self._images, self._clock = classifier, tuple(images), clock
        self._max_batch = classifier.max_batch if max_batch is None else min(max_batch, classifier.max_batch)

    @property
    def frames(self) -> int:
        """See :class:`Work`."""
        return len(self._images)

    @property
    def max_batch(self) -> int:
        """See :class:`Work`."""
        return self._max_batch

    @property
    def slots(self) -> int:
        """See :class:`Work`."""
        return self._classifier.slots

    def begin(self, indexes: Sequence[int], sequence: int, captured_ns: int | None = None) -> Job:
        """See :class:`Work`."""
        pending = self._classifier.submit_batch([self._images[index] for index in indexes])
        return _Pending(pending, sequence, captured_ns, self._clock)


class _Pending:
    def __init__(self, pending: PendingBatch, sequence: int, captured_ns: int | None, clock: Clock) -> None:
        self._pending, self._sequence, self._captured_ns, self._clock = pending, sequence, captured_ns, clock

    def finish(self) -> FrameTrace:
        last = self._pending.result()[-1].trace
        return FrameTrace(
            sequence=self._sequence,
            captured_ns=last.dequeued_ns if self._captured_ns is None else self._captured_ns,
            dequeued_ns=last.dequeued_ns,
            preprocessed_ns=last.preprocessed_ns,
            inferred_ns=last.inferred_ns,
            emitted_ns=self._clock(),
            device_stage_ns=last.device_stage_ns,
        )


class PreparedWork:
    """Crops that were prepared before to probabilities: the backend alone."""

    contains = (
        "a copy of prepared crops to the backend's input, copies to and from the device, normalisation, network and "
        "softmax; neither crop and resize nor labels"
    )

    def __init__(
        self,
        classifier: Classifier,
        crops: ImageArray,
        *,
        max_batch: int | None = None,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        """``crops``: uint8 (N, size, size, 3) BGR, from :func:`crops_of`. Else as :class:`ClassifierWork`."""
        if not len(crops):
            raise InputError("frames: got none, expected at least one")
        self._backend, self._crops, self._clock = classifier.backend, crops, clock
        self._max_batch = classifier.max_batch if max_batch is None else min(max_batch, classifier.max_batch)

    @property
    def frames(self) -> int:
        """See :class:`Work`."""
        return len(self._crops)

    @property
    def max_batch(self) -> int:
        """See :class:`Work`."""
        return self._max_batch

    @property
    def slots(self) -> int:
        """See :class:`Work`."""
        return self._backend.slots

    def begin(self, indexes: Sequence[int], sequence: int, captured_ns: int | None = None) -> Job:
        """See :class:`Work`."""
        if not 1 <= len(indexes) <= self._max_batch:
            raise InputError(f"frames: got {len(indexes)} at once, expected 1 to {self._max_batch}; split the batch")
        began_ns = self._clock()
        with self._backend.staging(len(indexes)) as batch:
            for row, index in zip(batch, indexes, strict=True):
                row[...] = self._crops[index]
            ticket = self._backend.submit(batch)
        stamps = FrameTrace(sequence, began_ns if captured_ns is None else captured_ns, began_ns, began_ns, began_ns)
        return _Submitted(ticket, stamps, self._clock)


class _Submitted:
    def __init__(self, ticket: Ticket, stamps: FrameTrace, clock: Clock) -> None:
        self._ticket, self._stamps, self._clock = ticket, stamps, clock

    def finish(self) -> FrameTrace:
        _, probabilities = self._ticket.result()
        ready_ns, now_ns = self._ticket.ready_ns, self._clock()
        if not np.isfinite(probabilities).all():
            raise BackendError("inference: got probabilities that are not finite, expected 0 to 1; deploy it as fp32")
        stamps = self._stamps
        return FrameTrace(
            sequence=stamps.sequence,
            captured_ns=stamps.captured_ns,
            dequeued_ns=stamps.dequeued_ns,
            preprocessed_ns=stamps.preprocessed_ns,
            inferred_ns=now_ns if ready_ns is None else ready_ns,
            emitted_ns=now_ns,
            device_stage_ns=self._ticket.device_stage_ns,
        )


def crops_of(images: Sequence[ImageArray], rule: CropRule) -> ImageArray:
    """Return the network's inputs for frames, uint8 (N, size, size, 3) BGR. Raises :class:`InputError` for none."""
    if not images:
        raise InputError("frames: got none, expected at least one")
    return np.stack([preprocess(image, rule) for image in images])


def done_ns(trace: FrameTrace) -> int:
    """Return when all was done: ``emitted_ns``, which a finished job's trace has."""
    return trace.inferred_ns if trace.emitted_ns is None else trace.emitted_ns


def process(work: Work, indexes: Sequence[int], sequence: int, captured_ns: int | None = None) -> FrameTrace:
    """Do frames together, or, where they are more than the work takes at once, piece by piece; wait for all.

    Pieces are begun while earlier ones are computed, as far as there are slots. Then ``preprocessed_ns`` is that of the
    first piece (preparing the others is in the inference), and the device's durations are added up.
    """
    most = work.max_batch
    if len(indexes) <= most:
        return work.begin(indexes, sequence, captured_ns).finish()
    under_way: list[Job] = []
    done: list[FrameTrace] = []
    for start in range(0, len(indexes), most):
        if len(under_way) == work.slots:
            done.append(under_way.pop(0).finish())
        under_way.append(work.begin(indexes[start : start + most], sequence, captured_ns))
    done += [job.finish() for job in under_way]
    first, last = done[0], done[-1]
    device: dict[str, int] = {}
    for trace in done:
        for name, duration_ns in trace.device_stage_ns:
            device[name] = device.get(name, 0) + duration_ns
    return FrameTrace(
        sequence=sequence,
        captured_ns=first.captured_ns,
        dequeued_ns=first.dequeued_ns,
        preprocessed_ns=first.preprocessed_ns,
        inferred_ns=last.inferred_ns,
        emitted_ns=last.emitted_ns,
        device_stage_ns=tuple(device.items()),
    )
