"""Prove a step of the path: the same frames through the step before and the step after, and what came of it.

Max abs error and SQNR are of the logits; SQNR = 10 log10(sum(a^2) / sum((a - b)^2)), with ``a`` from the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from googlenet_edge.errors import BackendError, InputError, VerificationError
from googlenet_edge.graph.session import FloatArray, Images, Runnable, Runner, open_runner
from googlenet_edge.types import Agreement

__all__ = ["Tolerance", "compare", "sqnr_db"]


@dataclass(frozen=True)
class Tolerance:
    """How far two steps may be apart. The defaults are for steps that compute the same in float32, rounding aside."""

    max_abs_error: float = 1e-2
    """Largest absolute difference of a logit; ``math.inf`` for steps that round on purpose."""
    min_sqnr_db: float = 90.0
    """Smallest SQNR of the logits in dB; float32 alone gives about 110 to 140."""
    min_top1_agreement: float = 1.0
    """Smallest share of frames with the same best class, 0 to 1."""

    def __post_init__(self) -> None:
        if not (self.max_abs_error >= 0 and self.min_sqnr_db == self.min_sqnr_db and 0 <= self.min_top1_agreement <= 1):
            raise InputError(
                f"tolerance: got {self}, expected max_abs_error >= 0, an SQNR in dB, an agreement of 0 to 1"
            )


def compare(
    reference: Runnable,
    candidate: Runnable,
    frames: Images,
    *,
    batches: Sequence[int] = (1, 8),
    tolerance: Tolerance | None = None,
    threads: int = 2,
) -> tuple[Agreement, ...]:
    """Run the frames through both and return how well they agree, one entry for each batch size.

    ``frames`` is uint8 (K, H, W, 3), BGR, cropped as for the network; K need not be a multiple of the batch size.
    Raises :class:`VerificationError` if results are not finite, are beyond the tolerance, or if the candidate's results
    depend on the batch size: the message names the frame, and the first tensor in which the two differ.
    """
    _check_arguments(frames, batches)
    allowed = tolerance or Tolerance()
    first, second = open_runner(reference, threads=threads), open_runner(candidate, threads=threads)
    results = []
    alone: FloatArray | None = None
    for batch in batches:
        a, _ = _run_batches(first, frames, batch)
        b, probabilities = _run_batches(second, frames, batch)
        context = f"{second.name} against {first.name}, batch {batch}"
        if a.shape != b.shape:
            raise VerificationError(f"{context}: got logits of shape {b.shape}, expected {a.shape}")
        for runner, values in ((first, a), (second, b), (second, probabilities)):
            _check_finite(runner, values, frames, batch)
        sums = np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1.0)
        if sums.max() > 1e-3 or probabilities.min() < 0:
            frame = int(sums.argmax())
            raise VerificationError(
                f"{context}: got probabilities that sum to {1 + sums[frame]:.6f} for frame {frame}, not to 1"
            )
        agreement = _agreement(a, b, batch)
        results.append(agreement)
        problem = _beyond(agreement, allowed)
        if problem:
            raise VerificationError(f"{context}: got {problem}; {_locate(first, second, frames, batch, a, b, allowed)}")
        if alone is None:
            alone = b
        else:
            same = _agreement(alone, b, batch)
            problem = _beyond(same, allowed)
            if problem:
                raise VerificationError(
                    f"{second.name}: batch {batch} and batch {batches[0]} give different results for the same frames: "
                    f"{problem}; something in the graph mixes the images of a batch, or holds its size for a constant"
                )
    return tuple(results)


def sqnr_db(reference: FloatArray, candidate: FloatArray) -> float:
    """Return the signal to quantization noise ratio in dB: inf if both are equal, -inf if only noise is left."""
    signal = float(np.sum(np.square(reference, dtype=np.float64)))
    noise = float(np.sum(np.square(reference.astype(np.float64) - candidate.astype(np.float64))))
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")


def _check_arguments(frames: Images, batches: Sequence[int]) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or len(frames) == 0:
        raise InputError(
            f"frames: got {frames.dtype} {frames.shape}, expected uint8 (K, H, W, 3), BGR, with at least one frame; "
            f"stack the crops as the preprocessing delivers them"
        )
    if not batches or min(batches) < 1:
        raise InputError(f"batches: got {tuple(batches)}, expected at least one batch size of 1 or more")


def _run_batches(runner: Runner, frames: Images, batch: int) -> tuple[FloatArray, FloatArray]:
    logits, probabilities = [], []
    for start in range(0, len(frames), batch):
        images = np.ascontiguousarray(frames[start : start + batch])
        try:
            a, b = runner.run(images)
        except BackendError as error:
            raise VerificationError(f"{error}; it fails at batch {len(images)}: is the batch size dynamic?") from error
        if a.ndim != 2 or a.shape != b.shape or len(a) != len(images):
            raise VerificationError(
                f"{runner.name}: got logits {a.shape} and probabilities {b.shape} for {len(images)} images, "
                f"expected ({len(images)}, classes) twice"
            )
        logits.append(a)
        probabilities.append(b)
    return np.concatenate(logits), np.concatenate(probabilities)


def _agreement(a: FloatArray, b: FloatArray, batch: int) -> Agreement:
    return Agreement(
        batch=batch,
        frames=len(a),
        max_abs_error=float(np.abs(a.astype(np.float64) - b).max()),
        sqnr_db=sqnr_db(a, b),
        top1_agreement=float((a.argmax(axis=1) == b.argmax(axis=1)).mean()),
    )


def _beyond(agreement: Agreement, allowed: Tolerance) -> str:
    """What is beyond the tolerance, in words; empty if nothing is."""
    found = []
    if not agreement.max_abs_error <= allowed.max_abs_error:
        found.append(f"max abs error {agreement.max_abs_error:.3g} (at most {allowed.max_abs_error:g})")
    if not agreement.sqnr_db >= allowed.min_sqnr_db:
        found.append(f"SQNR {agreement.sqnr_db:.1f} dB (at least {allowed.min_sqnr_db:g})")
    if agreement.top1_agreement < allowed.min_top1_agreement:
        found.append(f"top-1 agreement {agreement.top1_agreement:.2%} (at least {allowed.min_top1_agreement:.2%})")
    return ", ".join(found)


def _check_finite(runner: Runner, values: FloatArray, frames: Images, batch: int) -> None:
    bad = ~np.isfinite(values).all(axis=1)
    if not bad.any():
        return
    frame = int(bad.argmax())
    start = frame - frame % batch
    inside = runner.tensors(np.ascontiguousarray(frames[start : start + batch]))
    where = next((name for name, tensor in inside.items() if not np.isfinite(tensor).all()), "the output")
    raise VerificationError(
        f"{runner.name}, batch {batch}: got NaN or infinite results for frame {frame}, first in tensor {where!r}; "
        f"expected finite numbers: check the weights, and that no value exceeds what its type can hold"
    )


def _locate(
    first: Runner, second: Runner, frames: Images, batch: int, a: FloatArray, b: FloatArray, allowed: Tolerance
) -> str:
    """Say which frame is worst and in which tensor the two first differ."""
    moved = a.argmax(axis=1) != b.argmax(axis=1)
    error = np.abs(a.astype(np.float64) - b).max(axis=1)
    only_top1 = bool(moved.any()) and float(error.max()) <= allowed.max_abs_error
    frame = int(np.where(moved | (not only_top1), error, -1.0).argmax())
    start = frame - frame % batch
    images = np.ascontiguousarray(frames[start : start + batch])
    ours, theirs = first.tensors(images), second.tensors(images)
    common = [name for name in theirs if name in ours and ours[name].shape == theirs[name].shape]
    if not set(common) - {"logits", "probabilities"}:
        return (
            f"worst for frame {frame}; the two have no tensor between input and output in common, so where is not known"
        )
    ratios = [(name, sqnr_db(ours[name], theirs[name])) for name in common]
    before, quality = "the input", float("inf")
    # Beyond the tolerance if any is; or else the tensor at which the most is lost.
    drops = []
    for name, ratio in ratios:
        if ratio < allowed.min_sqnr_db:
            return f"worst for frame {frame}; the first tensor beyond it is {name!r} ({ratio:.1f} dB, after {before!r})"
        drops.append((min(quality, 200.0) - min(ratio, 200.0), name, ratio))
        before, quality = name, ratio
    _, name, ratio = max(drops)
    return f"worst for frame {frame}; the most is lost at tensor {name!r} ({ratio:.1f} dB)"
