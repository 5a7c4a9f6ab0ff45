"""What an inference library must do to serve the classifier, and the check that an engine does it right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import BackendError, InputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from googlenet_edge.bundle import Bundle
    from googlenet_edge.types import ImageArray, TensorSpec

__all__ = ["Backend", "Outputs", "Ticket", "check_batch", "check_frames", "check_golden"]

Outputs: TypeAlias = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Logits and probabilities, each float32 (frames, classes)."""


class Ticket(Protocol):
    """A batch that was submitted; its outputs are had once, with :meth:`result`."""

    def result(self) -> Outputs:
        """Wait for the batch and return (logits, probabilities). Raises :class:`BackendError` if it failed."""
        ...

    def done(self) -> bool:
        """Say whether :meth:`result` would return, or raise, at once."""
        ...

    def withdraw(self) -> bool:
        """Take the batch back if computing it has not begun, and say whether that was so.

        A batch that waits for nothing more than its turn on an idle device counts as begun.

        After True, there is no result (asking for it raises :class:`BackendError`), the batch is the caller's again,
        and its slot is free.
        """
        ...

    @property
    def ready_ns(self) -> int | None:
        """After :meth:`result`: when the outputs were on the host, by ``time.monotonic_ns``.

        None where ``result`` returned as soon as they were. They may lie ready long before someone asks for them.
        """
        ...

    @property
    def device_stage_ns(self) -> tuple[tuple[str, int], ...]:
        """After :meth:`result`: durations that the device measured, such as (("h2d", 41_000),); () where ``submit``
        computes before it returns.
        """
        ...


class Backend(Protocol):
    """One loaded graph or engine, ready to compute.

    Buffers: the caller keeps a submitted batch unchanged until its ticket's ``result()`` has returned; from then on the
    backend does not look at it again. The arrays that ``result()`` returns belong to the caller: the backend never
    writes to them afterwards, so they may be kept.

    Memory: a batch may lie anywhere, but one that was written into the array of :meth:`staging` is not copied once more
    before it goes to the device.

    Order: ``submit`` may return before the batch is computed, so that the next frame is prepared meanwhile; results
    come in the order of submission. A backend need not allow calls from several threads; the one that does says so.
    With two or more ``slots`` it does: frames are submitted in one thread, and their results taken in another.
    """

    @property
    def input(self) -> TensorSpec:
        """``image`` uint8 ("N", size, size, 3), BGR."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, TensorSpec]:
        """``logits`` and ``probabilities``, float32 ("N", classes)."""
        ...

    @property
    def max_batch(self) -> int | None:
        """The most frames that ``submit`` takes at once; None for no limit but memory."""
        ...

    @property
    def slots(self) -> int:
        """How many batches may be under way at once: 1 where ``submit`` computes before it returns."""
        ...

    def staging(self, frames: int) -> AbstractContextManager[ImageArray]:
        """Lend an array uint8 (frames, size, size, 3) to write a batch into, and to ``submit`` before the block ends.

        Waits while all slots are taken. A batch that was not submitted is forgotten when the block ends; after that,
        the array is the backend's. Raises :class:`InputError` for a number of frames that ``submit`` would not take.
        """
        ...

    def submit(self, batch: ImageArray, *, hold: bool = False) -> Ticket:
        """Start on a batch: uint8 (frames, size, size, 3), C-contiguous, 1 to ``max_batch`` frames.

        ``hold``: do not queue it on the device behind another one, but begin when nothing else is being computed; until
        then :meth:`Ticket.withdraw` can make room for a newer frame.

        Raises :class:`InputError` for any other array, :class:`BackendError` if the library fails.
        """
        ...

    def infer(self, batch: ImageArray) -> Outputs:
        """Return ``submit(batch).result()``."""
        ...

    def describe(self) -> dict[str, str]:
        """Say what computes, for reports: ``backend``, ``version``, ``provider`` and what else matters."""
        ...

    def close(self) -> None:
        """Free what the backend holds. May be called again; nothing else may."""
        ...

    def __enter__(self) -> Backend: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def check_batch(batch: object, spec: TensorSpec, max_batch: int | None) -> None:
    """Raise :class:`InputError` unless the batch is an array that a backend with this input takes."""
    if (
        isinstance(batch, np.ndarray)
        and batch.dtype == np.dtype(spec.dtype)
        and batch.shape[1:] == spec.shape[1:]
        and batch.flags.c_contiguous
        and 1 <= len(batch) <= (max_batch or len(batch))
    ):
        return  # before the words for anything else are put together, which takes longer than this check
    size = ", ".join(str(d) for d in spec.shape[1:])
    expected = f"expected {spec.dtype} (N, {size}) BGR"
    if not isinstance(batch, np.ndarray):
        raise InputError(f"input {spec.name!r}: got {type(batch).__name__}, {expected} as a numpy array")
    got = f"input {spec.name!r}: got {batch.dtype} {batch.shape}, {expected}"
    if batch.dtype != spec.dtype or batch.ndim != len(spec.shape) or batch.shape[1:] != spec.shape[1:]:
        raise InputError(f"{got}; normalisation is in the graph: pass the crops of runtime.preprocess as they are")
    if not 1 <= len(batch) <= (max_batch or len(batch)):
        raise InputError(f"{got} with 1 to {max_batch or 'any number of'} frames; split the batch")
    if not batch.flags.c_contiguous:
        raise InputError(f"{got}, C-contiguous, but its strides are {batch.strides}; use numpy.ascontiguousarray")


def check_frames(frames: object, spec: TensorSpec, max_batch: int | None) -> None:
    """Raise :class:`InputError` unless this is a number of frames that a backend with this input takes at once."""
    # A bool is an int, and True frames is no number of frames.
    if type(frames) is not int or not 1 <= frames <= (max_batch or frames):
        raise InputError(
            f"input {spec.name!r}: got a batch of {frames!r} frames, expected 1 to {max_batch or 'any number'}; "
            "split the batch"
        )


def check_golden(backend: Backend, bundle: Bundle, *, frames: int | None = None) -> float:
    """Compare the backend with the bundle's golden frames and return the largest absolute difference of a probability.

    Args:
        backend: A loaded graph or engine of this bundle.
        bundle: Where the golden frames and the tolerance are.
        frames: How many of the golden frames to compare, from the first; None for all.

    Raises:
        BackendError: A probability is further from the golden one than the manifest allows.
        BundleError: The golden frames cannot be read.
    """
    golden, tolerance = bundle.golden(), bundle.manifest.golden.tolerance
    images = golden.images[:frames]
    step = min(backend.max_batch or len(images), len(images))
    parts = [backend.infer(images[start : start + step])[1] for start in range(0, len(images), step)]
    got, expected = np.concatenate(parts), golden.probabilities[: len(images)]
    difference = np.abs(got - expected)
    # NaN compares false with everything: it must not pass as a small difference.
    difference[~np.isfinite(difference)] = np.inf
    worst_frame, worst_class = np.unravel_index(int(difference.argmax()), difference.shape)
    worst = float(difference[worst_frame, worst_class])
    if worst > tolerance:
        worst_got, worst_expected = got[worst_frame, worst_class], expected[worst_frame, worst_class]
        raise BackendError(
            f"golden frame {worst_frame} of bundle {bundle.name!r}: got probability {worst_got:.6f} "
            f"for {bundle.labels[worst_class]!r}, expected {worst_expected:.6f} within {tolerance:g}: "
            f"{backend.describe().get('backend', 'the backend')} does not compute what the bundle was made with; "
            "build the engine again, or try another precision or version of the inference library"
        )
    return worst
