"""A bundle and a backend, put together: frames of any size in, top-k labels out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np

from googlenet_edge.bundle.reader import Bundle
from googlenet_edge.errors import BackendError, InputError
from googlenet_edge.runtime.backend import check_golden
from googlenet_edge.runtime.pending import PendingBatch, PendingPrediction
from googlenet_edge.runtime.preprocess import check_frame, preprocess
from googlenet_edge.types import Frame, FrameTrace, ImageArray, Prediction

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType

    from googlenet_edge.runtime.backend import Backend
    from googlenet_edge.types import Clock, Region

__all__ = ["Classifier"]

# A longer list is computed in pieces, even where the backend sets no limit: a frame's activations take megabytes.
_MOST_AT_ONCE: Final = 32


class Classifier:
    """Classifies frames with a bundle's graph.

    >>> with Classifier("demo_bundle") as classifier:
    ...     prediction = classifier.classify(cv2.imread("sign.jpg"))
    ...     print(prediction.label, prediction.probability)

    A classifier keeps no state between frames: one on ONNX Runtime, the default, may be used from several threads. With
    another backend, what that backend says holds.
    """

    def __init__(
        self,
        bundle: Bundle | str | os.PathLike[str],
        *,
        threads: int | None = None,
        backend: Backend | None = None,
        clock: Clock = time.monotonic_ns,
        golden_frames: int | None = 1,
    ) -> None:
        """Open a bundle and load its graph.

        Args:
            bundle: The folder of a bundle, or an opened one.
            threads: Threads for ONNX Runtime; None for one a physical core. Not together with ``backend``.
            backend: What computes, loaded with this bundle's graph or an engine of it; None for ONNX Runtime on the
                CPU. The classifier closes it.
            clock: Monotonic nanoseconds, for the traces.
            golden_frames: How many golden frames to check the backend against now. One is enough to find an inference
                library that computes nonsense on this machine, and also warms it up; a new engine needs all: None.

        Raises:
            BundleError: The bundle is not what it says.
            BackendError: The graph cannot be loaded, is not the one of the bundle, or misses a golden frame.
            InputError: A parameter is out of its range.
        """
        if golden_frames is not None and golden_frames < 0:
            raise InputError(f"golden_frames: got {golden_frames}, expected a number from 0, or None for all")
        if threads is not None and backend is not None:
            raise InputError(f"threads: got {threads} and a backend, expected one of the two; set the backend's own")
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        self._clock = clock
        self._backend = _open_backend(self.bundle, threads) if backend is None else backend
        try:
            self._check_specs()
            if golden_frames != 0:
                check_golden(self._backend, self.bundle, frames=golden_frames)
        except BaseException:
            self._backend.close()
            raise

    @property
    def labels(self) -> tuple[str, ...]:
        """One label a class, by class id."""
        return self.bundle.labels

    @property
    def backend(self) -> Backend:
        """What computes."""
        return self._backend

    @property
    def slots(self) -> int:
        """How many batches may be under way at once: see :attr:`Backend.slots`."""
        return self._backend.slots

    @property
    def max_batch(self) -> int:
        """The most frames that are computed together: what the backend takes, and at most 32."""
        return min(self._backend.max_batch or _MOST_AT_ONCE, _MOST_AT_ONCE)

    def describe(self) -> dict[str, str]:
        """Say what classifies, for reports: model, precision, the hashes, and what the backend says of itself."""
        bundle = self.bundle
        return {
            "model": bundle.manifest.name,
            "precision": bundle.manifest.precision,
            "graph_sha256": bundle.graph_sha256,
            "bundle_sha256": bundle.sha256,
            **self._backend.describe(),
        }

    def verify(self) -> float:
        """Check the backend against all golden frames; return the largest absolute difference of a probability.

        Raises :class:`BackendError` if that is above the bundle's tolerance.
        """
        return check_golden(self._backend, self.bundle)

    def classify(self, image: ImageArray | Frame, *, top_k: int = 5, region: Region | None = None) -> Prediction:
        """Classify one frame.

        Args:
            image: uint8 BGR (height, width, 3) of any size; grey (height, width) and BGRA (height, width, 4) are
                converted; or a :class:`Frame`, whose sequence number and capture time then go into the trace.
            top_k: How many of the best classes to return, from 1; of a model with fewer, all.
            region: Classify only this part of the frame.

        Raises:
            InputError: The image, the region or top_k is not as described.
            BackendError: The inference failed, or gave NaN.
        """
        return self.submit(image, top_k=top_k, region=region).result()

    def submit(
        self, image: ImageArray | Frame, *, top_k: int = 5, region: Region | None = None, hold: bool = False
    ) -> PendingPrediction:
        """Prepare one frame and start on it, so that the next one can be prepared while the device computes.

        The frame is cropped and resized before this returns, and is not looked at again. Waits while all the backend's
        ``slots`` are taken: with more frames under way than that, take a result first. ``hold``: begin only when the
        device computes nothing else; until then the frame can be withdrawn. Else as :meth:`classify`.
        """
        return PendingPrediction(self.submit_batch([image], top_k=top_k, region=region, hold=hold))

    def submit_batch(
        self, images: Sequence[ImageArray | Frame], *, top_k: int = 5, region: Region | None = None, hold: bool = False
    ) -> PendingBatch:
        """Prepare 1 to ``max_batch`` frames, also of different sizes, and start on them together; as :meth:`submit`.

        Plain arrays are numbered in the trace by their place in ``images``.
        """
        dequeued_ns = self._clock()
        _check_top_k(top_k)
        if not 1 <= len(images) <= self.max_batch:
            raise InputError(f"images: got {len(images)} frames, expected 1 to {self.max_batch}; split the batch")
        for image in images:
            check_frame(image.image if isinstance(image, Frame) else image)
        traces = tuple(_begun(image, index, dequeued_ns) for index, image in enumerate(images))
        return self._submit(images, traces, top_k=top_k, region=region, hold=hold)

    def classify_batch(
        self, images: Sequence[ImageArray | Frame] | ImageArray, *, top_k: int = 5, region: Region | None = None
    ) -> list[Prediction]:
        """Classify several frames, also of different sizes, and return their predictions in the same order.

        They are computed together, as many at once as the backend takes, and at most 32. ``region`` holds for each of
        them. Plain arrays are numbered in the trace by their place in ``images``. Else as :meth:`classify`.
        """
        if isinstance(images, np.ndarray) and images.ndim != 4:
            raise InputError(f"images: got one array {images.shape}, expected a list of frames; use classify for one")
        dequeued_ns = self._clock()
        _check_top_k(top_k)
        # All are looked at before any is computed: a bad one late in the list does not waste the work on the others.
        for image in images:
            check_frame(image.image if isinstance(image, Frame) else image)
        most = self.max_batch
        predictions: list[Prediction] = []
        for start in range(0, len(images), most):
            chunk = images[start : start + most]
            traces = tuple(_begun(image, start + index, dequeued_ns) for index, image in enumerate(chunk))
            # One at a time: two threads that each hold a slot while they wait for a second one would wait for ever.
            predictions += self._submit(chunk, traces, top_k=top_k, region=region).result()
        return predictions

    def close(self) -> None:
        """Free the backend. May be called again; classifying is then an error."""
        self._backend.close()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_specs(self) -> None:
        manifest = self.bundle.manifest
        got = (self._backend.input, *self._backend.outputs)
        expected = (manifest.input, *manifest.outputs)
        if got != expected:
            raise BackendError(
                f"backend of bundle {manifest.name!r}: got {'; '.join(map(str, got))}, "
                f"expected {'; '.join(map(str, expected))} as in bundle.json; load the graph of this bundle"
            )

    def _submit(
        self,
        images: Sequence[ImageArray | Frame] | ImageArray,
        traces: tuple[FrameTrace, ...],
        *,
        top_k: int,
        region: Region | None,
        hold: bool = False,
    ) -> PendingBatch:
        rule = self.bundle.crop
        ready = []
        with self._backend.staging(len(images)) as batch:
            for image, trace, row in zip(images, traces, batch, strict=True):
                preprocess(image.image if isinstance(image, Frame) else image, rule, region=region, out=row)
                ready.append(trace.with_preprocessed(self._clock()))
            ticket = self._backend.submit(batch, hold=hold)
        return PendingBatch(ticket, tuple(ready), top_k, self.bundle, self._clock)


def _check_top_k(top_k: object) -> None:
    if type(top_k) is not int or top_k < 1:
        raise InputError(f"top_k: got {top_k!r}, expected a whole number from 1")


def _begun(image: ImageArray | Frame, number: int, dequeued_ns: int) -> FrameTrace:
    """Return the trace of a frame that was just taken up. What comes later is set when it is known."""
    return FrameTrace(
        sequence=image.sequence if isinstance(image, Frame) else number,
        captured_ns=image.captured_ns if isinstance(image, Frame) else dequeued_ns,
        dequeued_ns=dequeued_ns,
        preprocessed_ns=dequeued_ns,
        inferred_ns=dequeued_ns,
    )


def _open_backend(bundle: Bundle, threads: int | None) -> Backend:
    from googlenet_edge.runtime.ort_backend import OrtBackend, OrtConfig  # an engine does not need it

    return OrtBackend(bundle.graph_path, OrtConfig(threads=threads))
