"""Bundles of the tiny classifier that call themselves of several precisions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from googlenet_edge.bundle import BundleFacts, Comparison, GoldenFrames, Precision, PrecisionRow
from googlenet_edge.bundle.writer import write_bundle


@dataclass(frozen=True)
class Maker:
    """Makes bundles in a folder."""

    folder: Path
    facts: BundleFacts
    golden: GoldenFrames
    graph: bytes

    def make(self, name: str, precision: Precision = "fp32", **changed: object) -> Path:
        """Write a bundle whose manifest differs from the tiny one's in what is given, and return its folder."""
        facts = replace(self.facts, precision=precision, **changed)  # type: ignore[arg-type]
        write_bundle(self.folder / name, facts, graph=self.graph, golden=self.golden, tolerance=1e-4)
        return self.folder / name


def row(precision: Precision, top1: float, difference: float = 0.0, within: float = 0.5) -> PrecisionRow:
    """A row of a manifest's comparison."""
    equal = precision == "fp32"
    return PrecisionRow(
        precision=precision,
        top1_percent=top1,
        top1_low_percent=top1 - within,
        top1_high_percent=min(100.0, top1 + within),
        top5_percent=99.9,
        agreement_percent=100.0 if equal else 98.5,
        sqnr_db=30.0,
        size_bytes=1000,
        difference_points=difference,
        difference_low_points=difference if equal else difference - 0.3,
        difference_high_points=difference if equal else difference + 0.3,
    )


def comparison(precision: Precision, top1: float, difference: float) -> Comparison:
    """A manifest's comparison of FP32 and one more, on 400 images."""
    return Comparison("scenes", 400, (row("fp32", top1 - difference), row(precision, top1, difference)))
