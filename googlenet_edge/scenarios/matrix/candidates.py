"""The bundles that take part in a matrix: one network in several precisions, each a bundle of its own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from googlenet_edge.bundle import MANIFEST_NAME, Bundle, Precision
from googlenet_edge.errors import UsageError

__all__ = ["PRECISIONS", "Candidate", "Missing", "bundle_folders", "differing_origins", "find_candidates"]

PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)
"""The widest number format first."""


@dataclass(frozen=True)
class Candidate:
    """A bundle that takes part."""

    title: str
    """Its precision; of several with the same one, with the folder's name."""
    bundle: Bundle

    @property
    def precision(self) -> Precision:
        """Of its graph."""
        return self.bundle.manifest.precision


@dataclass(frozen=True)
class Missing:
    """A precision that was asked for, and that no bundle has."""

    precision: Precision

    @property
    def reason(self) -> str:
        """What to do about it."""
        images = " --images IMAGES" if self.precision == "int8" else ""
        return (
            f"none of the bundles is {self.precision}; make one with `googlenet-edge deploy CHECKPOINT --precision "
            f"{self.precision}{images} -o FOLDER`, and name it too"
        )


def find_candidates(
    paths: Sequence[Path], precisions: Sequence[Precision] | None = None
) -> tuple[list[Candidate], list[Missing]]:
    """Open bundles, each verified, and return those of the precisions, in that order; and which precisions none has.

    ``paths`` are bundles, or folders with bundles in them. ``precisions`` None: all that there are, the widest first.
    Raises :class:`BundleError` for one that does not open, and :class:`UsageError` where they cannot be compared:
    other labels or another crop, or a folder given twice.
    """
    bundles = [Bundle.open(path) for path in bundle_folders(paths)]
    first = bundles[0]
    for bundle in bundles[1:]:
        for what, got, expected in (
            ("labels", bundle.labels, first.labels),
            ("crop rule", bundle.crop, first.crop),
        ):
            if got != expected:
                raise UsageError(
                    f"bench: got bundles with different {what}, {first.path} and {bundle.path}, expected one network "
                    "in several precisions"
                )
    wanted = PRECISIONS if precisions is None else tuple(dict.fromkeys(precisions))
    chosen = [bundle for precision in wanted for bundle in bundles if bundle.manifest.precision == precision]
    titles = _titles(chosen)
    there = {bundle.manifest.precision for bundle in chosen}
    missing = [] if precisions is None else [Missing(precision) for precision in wanted if precision not in there]
    return [Candidate(title, bundle) for title, bundle in zip(titles, chosen, strict=True)], missing


def differing_origins(candidates: Sequence[Candidate]) -> str | None:
    """Return what to say where bundles were made from different checkpoints; None where all are of one."""
    checkpoints = dict.fromkeys(one.bundle.manifest.lineage.checkpoint for one in candidates)
    if len(checkpoints) < 2:
        return None
    names = ", ".join(f"{one.name} ({one.sha256[:8]})" for one in checkpoints)
    return f"these bundles were made from different checkpoints, so more than the precision differs: {names}"


def bundle_folders(paths: Sequence[Path]) -> list[Path]:
    """Return the bundles that paths stand for: themselves, or those in a folder that is none, by name.

    What is neither is returned as it is, so that opening it says why. Raises :class:`UsageError` for a folder that is
    there twice.
    """
    found: list[Path] = []
    for path in paths:
        if (path / MANIFEST_NAME).exists() or not path.is_dir():
            found.append(path)
            continue
        inside = sorted(entry.parent for entry in path.glob(f"*/{MANIFEST_NAME}"))
        found += inside or [path]
    places = Counter(os.path.realpath(path) for path in found)
    twice = next((place for place, count in places.items() if count > 1), None)
    if twice is not None:
        raise UsageError(f"bench: got the bundle {twice} twice, expected each once")
    return found


def _titles(bundles: Sequence[Bundle]) -> list[str]:
    """Return a name for each: as short as tells them apart."""
    precisions = [bundle.manifest.precision for bundle in bundles]
    for name in (lambda path: path.name, str):
        named = [
            precision if precisions.count(precision) == 1 else f"{precision} {name(bundle.path)}"
            for precision, bundle in zip(precisions, bundles, strict=True)
        ]
        if len(set(named)) == len(named):
            break
    return named
