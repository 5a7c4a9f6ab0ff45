"""The demo's labelled scenes: three splits, each scene made from the split's seed and its own number.

Training draws from easier ranges than the other two; ``selection`` and ``test`` have backgrounds and kinds of nuisance
that training never shows. ``selection`` is for whatever is tuned, ``test`` for final figures only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from googlenet_edge.demo.render import SceneRanges, render_scene
from googlenet_edge.demo.signs import LABELS
from googlenet_edge.errors import UsageError
from googlenet_edge.types import ImageArray

__all__ = ["LABELS", "RANGES", "SCENE_SIZE_PX", "SPLITS", "SPLIT_COUNTS", "scene", "scenes"]

SCENE_SIZE_PX = (341, 256)
"""Width and height of a scene unless asked otherwise: the short side is what the crop rule resizes to."""

_TRAIN_BACKGROUNDS = ("road", "foliage", "town", "clutter", "plain")
_TRAIN_NUISANCES = ("side_light", "blur", "low_resolution")

TRAIN = SceneRanges(
    backgrounds=_TRAIN_BACKGROUNDS,
    nuisances=_TRAIN_NUISANCES,
    nuisance_count=(0, 3),
    amount=(0.0, 1.0),
    diameter=(0.32, 0.86),
    yaw_deg=48,
    pitch_deg=26,
    roll_deg=14,
    offset=0.13,
    occlusion=(0.3, 0.4),
)

HARD = SceneRanges(
    backgrounds=(*_TRAIN_BACKGROUNDS, "brick", "night", "fence", "autumn"),
    nuisances=(
        *_TRAIN_NUISANCES,
        "motion_blur",
        "cast_shadow",
        "fog",
        "rain",
        "lens_dirt",
        "glare",
        "salt_and_pepper",
    ),
    nuisance_count=(1, 2),
    amount=(0.0, 0.7),
    diameter=(0.31, 0.88),
    yaw_deg=50,
    pitch_deg=28,
    roll_deg=16,
    offset=0.14,
    occlusion=(0.32, 0.42),
)

RANGES: dict[str, SceneRanges] = {"train": TRAIN, "selection": HARD, "test": HARD}

_SEEDS = {"train": 20_140_917, "selection": 20_150_211, "test": 20_151_202}

SPLIT_COUNTS: dict[str, int] = {"train": 1_000_000, "selection": 4_000, "test": 10_000}
"""Scenes in each split."""

SPLITS: tuple[str, ...] = tuple(RANGES)


def scene(split: str, number: int, *, size_px: tuple[int, int] = SCENE_SIZE_PX) -> tuple[ImageArray, int]:
    """Return scene ``number`` of a split, uint8 (height, width, 3) BGR, and its class id.

    Classes take turns. Raises :class:`UsageError` for an unknown split or a number outside it.
    """
    if split not in RANGES:
        raise UsageError(f"demo scenes: got split {split!r}, expected one of {', '.join(SPLITS)}")
    if not 0 <= number < SPLIT_COUNTS[split]:
        raise UsageError(f"demo scenes: got scene {number} of split {split!r}, expected 0 to {SPLIT_COUNTS[split] - 1}")
    class_id = number % len(LABELS)
    rng = np.random.default_rng([_SEEDS[split], number])
    return render_scene(class_id, rng, RANGES[split], size_px), class_id


def scenes(
    split: str, count: int | None = None, *, size_px: tuple[int, int] = SCENE_SIZE_PX, start: int = 0
) -> Iterator[tuple[ImageArray, int]]:
    """Yield ``count`` scenes of a split (default: all) from number ``start`` on, as :func:`scene` makes them."""
    stop = SPLIT_COUNTS.get(split, 0) if count is None else start + count
    for number in range(start, max(stop, start + 1) if split not in RANGES else stop):
        yield scene(split, number, size_px=size_px)
