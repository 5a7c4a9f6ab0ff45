"""The same frames through every graph, in ONNX Runtime with its optimizations off: the graph as it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

import googlenet_edge
from googlenet_edge.evaluation.dataset import open_dataset
from googlenet_edge.graph.session import OnnxRunner
from googlenet_edge.graph.verify import sqnr_db
from googlenet_edge.runtime.preprocess import preprocess
from googlenet_edge.types import CropRule

__all__ = ["Frames", "Progress", "Score", "load_frames", "logits_of", "score", "sha256_of_sources"]

Progress = Callable[[int, int], None]
"""Called with how many are done, and of how many."""

_PACKAGE = Path(googlenet_edge.__file__).parent


@dataclass(frozen=True)
class Frames:
    """Frames to judge by."""

    description: str
    images: npt.NDArray[np.uint8]
    """uint8 (K, crop, crop, 3), BGR, as the graph takes them."""
    truth: npt.NDArray[np.int64]
    """int64 (K,): the right class ids."""
    sha256: str
    """Of all frames and class ids."""


@dataclass(frozen=True)
class Score:
    """How good a graph is, beside the float32 graph that it was made from."""

    frames: int
    sqnr_db: float | None
    """Of the logits: 10 log10(sum(a^2) / sum((a - b)^2)), a from the float32 graph; None where both are equal."""
    agreement_percent: float
    """Frames with the same best class as the float32 graph."""
    top1_percent: float
    """Frames with the right best class."""
    max_abs_error: float
    """Largest absolute difference of a logit."""


def load_frames(
    split: str, count: int, labels: Sequence[str], rule: CropRule, folder: Path, progress: Progress
) -> Frames:
    """Return the first frames of a split of the demo; drawn once and then kept in ``folder``."""
    drawn_by = sha256_of_sources(_PACKAGE / "demo", _PACKAGE / "runtime" / "preprocess.py")
    key = hashlib.sha256(repr((drawn_by, tuple(labels), rule)).encode()).hexdigest()[:12]
    stem = f"frames-{split}-{count}-{key}"
    images_path, truth_path = folder / f"{stem}.npy", folder / f"{stem}-truth.npy"
    if not (images_path.is_file() and truth_path.is_file()):
        partial = folder / f".{stem}.partial"
        images = np.lib.format.open_memmap(
            partial, mode="w+", dtype=np.uint8, shape=(count, rule.crop_px, rule.crop_px, 3)
        )
        truth = np.empty(count, np.int64)
        for number, item in enumerate(open_dataset(f"demo:{split}?count={count}", labels)):
            assert item.image is not None  # noqa: S101 - the demo draws its scenes, no file can fail
            preprocess(item.image, rule, out=images[number])
            truth[number] = item.truth
            progress(number + 1, count)
        images.flush()
        np.save(truth_path, truth)
        partial.replace(images_path)
    return from_arrays(f"demo:{split}?count={count}", np.load(images_path, mmap_mode="r"), np.load(truth_path))


def from_arrays(description: str, images: npt.NDArray[np.uint8], truth: npt.NDArray[np.int64]) -> Frames:
    """Return frames with their hash."""
    digest = hashlib.sha256(truth.tobytes())
    for start in range(0, len(images), 64):
        digest.update(images[start : start + 64].tobytes())
    return Frames(description, images, truth, digest.hexdigest())


def logits_of(graph: Path, frames: Frames, progress: Progress, *, batch: int = 8) -> npt.NDArray[np.float32]:
    """Return float32 (K, classes): what the graph says of every frame. Raises what ONNX Runtime has against it."""
    runner = OnnxRunner(graph)
    parts = []
    for start in range(0, len(frames.images), batch):
        logits, _ = runner.run(np.ascontiguousarray(frames.images[start : start + batch]))
        parts.append(logits)
        progress(min(start + batch, len(frames.images)), len(frames.images))
    return cast("npt.NDArray[np.float32]", np.concatenate(parts))


def score(reference: npt.NDArray[np.float32], got: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> Score:
    """Judge logits by those of the float32 graph and by the right classes."""
    if reference.shape != got.shape or len(truth) != len(got) or not np.isfinite(got).all():
        raise ValueError(f"logits: got {got.shape} or numbers that are not finite, expected {reference.shape}")
    ratio_db = sqnr_db(reference, got)
    best = got.argmax(axis=1)
    return Score(
        frames=len(got),
        sqnr_db=ratio_db if np.isfinite(ratio_db) else None,
        agreement_percent=100 * float((best == reference.argmax(axis=1)).mean()),
        top1_percent=100 * float((best == truth).mean()),
        max_abs_error=float(np.abs(reference.astype(np.float64) - got).max()),
    )


def sha256_of_sources(*paths: Path) -> str:
    """Return one hash over Python files; of a folder, over all below it."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
