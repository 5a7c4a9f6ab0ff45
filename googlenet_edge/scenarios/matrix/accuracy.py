"""What is known of a bundle's accuracy: measured here, or what its maker recorded in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from googlenet_edge.bundle import Comparison, PrecisionRow
from googlenet_edge.evaluation.paired import PairedCounts
from googlenet_edge.evaluation.report import Accuracy
from googlenet_edge.scenarios.matrix.candidates import Candidate
from googlenet_edge.scenarios.matrix.cell import Figure
from googlenet_edge.scenarios.matrix.jobs import Evaluated

__all__ = ["CellAccuracy", "comparable", "measured_accuracy", "recorded_accuracy"]

_TOP = 5


@dataclass(frozen=True)
class CellAccuracy:
    """An accuracy in percent, with the ends of its 95 % interval."""

    source: Literal["measured", "recorded"]
    dataset: str
    count: int
    """Images."""
    top1: Figure
    top5_percent: float | None
    """None with five classes or fewer."""
    agreement_percent: float | None
    """Images with the same best class as FP32; None where FP32 is not known on the same images."""
    drop: Figure | None
    """Top-1 of FP32 less this one, in percentage points, image by image; None likewise."""
    skipped: int = 0
    """Images that could not be used."""


def measured_accuracy(evaluated: Evaluated, reference: Evaluated | None) -> CellAccuracy:
    """Return the accuracy that a classified set shows; ``reference`` is FP32's, on the same set."""
    count = len(evaluated.results)
    top1 = Accuracy(sum(best[0] == truth for _, truth, best in evaluated.results), count)
    top5 = sum(truth in best[:_TOP] for _, truth, best in evaluated.results)
    agreement, drop = (None, None) if reference is None else _against(evaluated, reference)
    return CellAccuracy(
        source="measured",
        dataset=evaluated.dataset,
        count=count,
        top1=_figure(top1),
        top5_percent=100 * top5 / count if evaluated.class_count > _TOP else None,
        agreement_percent=agreement,
        drop=drop,
        skipped=evaluated.skipped,
    )


def recorded_accuracy(candidate: Candidate, candidates: Sequence[Candidate]) -> CellAccuracy | None:
    """Return what the bundle's manifest says, on the CPU that judged it; None where it says nothing.

    Of an FP32 bundle that was not evaluated itself, what another bundle of the same checkpoint and crop says of FP32.
    """
    manifest = candidate.bundle.manifest
    if manifest.comparison is not None:
        row = next((row for row in manifest.comparison.rows if row.precision == manifest.precision), None)
        if row is not None:
            return _from_row(manifest.comparison, row)
    classes = len(manifest.labels)
    for recorded in manifest.accuracy:
        top1 = Accuracy(round(recorded.top1_percent * recorded.count / 100), recorded.count)
        equal = Figure(0.0, 0.0, 0.0) if manifest.precision == "fp32" else None
        agreement = 100.0 if manifest.precision == "fp32" else None
        top5 = recorded.top5_percent if classes > _TOP else None
        return CellAccuracy("recorded", recorded.dataset, recorded.count, _figure(top1), top5, agreement, equal)
    if manifest.precision == "fp32":
        for other in candidates:
            theirs = other.bundle.manifest
            if theirs.comparison is not None and theirs.lineage.checkpoint.sha256 == manifest.lineage.checkpoint.sha256:
                return _from_row(theirs.comparison, theirs.comparison.rows[0])
    return None


def comparable(accuracies: Mapping[str, CellAccuracy | None]) -> bool:
    """Whether all are known, and from the same images."""
    known = [one for one in accuracies.values() if one is not None]
    return len(known) == len(accuracies) > 0 and len({(one.source, one.dataset, one.count) for one in known}) == 1


def _from_row(comparison: Comparison, row: PrecisionRow) -> CellAccuracy:
    return CellAccuracy(
        source="recorded",
        dataset=comparison.dataset,
        count=comparison.count,
        top1=Figure(row.top1_percent, row.top1_low_percent, row.top1_high_percent),
        # The manifest has 100 where there are fewer than five classes.
        top5_percent=row.top5_percent,
        agreement_percent=row.agreement_percent,
        drop=Figure(0.0, 0.0, 0.0)  # of itself, FP32 loses nothing, however many images there were
        if row.precision == "fp32"
        else _loss(row.difference_points, row.difference_low_points, row.difference_high_points),
    )


def _against(evaluated: Evaluated, reference: Evaluated) -> tuple[float | None, Figure | None]:
    """Return agreement and drop on the images that both could use."""
    known = {name: (truth, best) for name, truth, best in reference.results}
    pairs = [(known[name], truth, best) for name, truth, best in evaluated.results if name in known]
    if not pairs:
        return None, None
    rights = [(theirs[1][0] == theirs[0], best[0] == truth) for theirs, truth, best in pairs]
    same = sum(theirs[1][0] == best[0] for theirs, _, best in pairs)
    paired = PairedCounts(
        rights.count((True, True)),
        rights.count((True, False)),
        rights.count((False, True)),
        rights.count((False, False)),
    )
    low, high = paired.interval_points
    if evaluated is reference:
        return 100.0, Figure(0.0, 0.0, 0.0)
    return 100 * same / len(pairs), _loss(paired.difference_points, low, high)


def _figure(accuracy: Accuracy) -> Figure:
    low, high = accuracy.interval_percent
    return Figure(accuracy.percent, min(low, accuracy.percent), max(high, accuracy.percent))


def _loss(difference: float, low: float, high: float) -> Figure:
    """Return what is lost, given what is gained; 0 less 0 is 0, where -0 would be shown with its sign."""
    return Figure(0.0 - difference, min(0.0 - high, 0.0 - difference), max(0.0 - low, 0.0 - difference))
