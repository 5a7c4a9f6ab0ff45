"""What a precision costs on the test set, whether that is within the budget, and what to try if it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from googlenet_edge.bundle import Accuracy, Comparison, Precision, PrecisionRow
from googlenet_edge.deploy.config import PrecisionConfig
from googlenet_edge.errors import VerificationError
from googlenet_edge.evaluation.precisions import PrecisionFigures, PrecisionReport
from googlenet_edge.quantization.budget import BudgetSearch

__all__ = ["AccuracyError", "Verdict", "accuracy_of", "check_selection", "decide", "row_of"]

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Verdict:
    """The comparison of the precisions, and what follows from it."""

    precision: Precision
    budget_points: float
    comparison: Comparison
    report: PrecisionReport
    """Every image's result."""

    @property
    def row(self) -> PrecisionRow:
        """The precision that is deployed."""
        return next(row for row in self.comparison.rows if row.precision == self.precision)

    @property
    def passed(self) -> bool:
        """Whether top-1 is at most the budget below FP32."""
        return -self.row.difference_points <= self.budget_points + _ROUNDING

    @property
    def unsure(self) -> bool:
        """Whether the interval of the difference is wider than the budget: too few images to tell."""
        return self.row.difference_high_points - self.row.difference_low_points > self.budget_points

    @property
    def doubt(self) -> str:
        """What to say if :attr:`unsure`; else nothing."""
        if not self.unsure:
            return ""
        low, high = self.row.difference_low_points, self.row.difference_high_points
        return (
            f"{self.comparison.count} images are too few to tell a difference of {self.budget_points:g} points: the "
            f"interval is {high - low:.2f} points wide"
        )

    def __str__(self) -> str:
        row = self.row
        return (
            f"{self.precision.upper()} less FP32 on {self.comparison.dataset}: {row.difference_points:+.2f} points of "
            f"top-1 (95 % interval, paired: {row.difference_low_points:+.2f} to {row.difference_high_points:+.2f}), "
            f"budget {self.budget_points:g}"
        )


class AccuracyError(VerificationError):
    """The precision costs more than the accuracy budget.

    ``verdict`` has the figures of the test set, if it was read, and ``search`` what the selection set decided.
    """

    def __init__(self, message: str, *, verdict: Verdict | None = None, search: BudgetSearch | None = None) -> None:
        super().__init__(message)
        self.verdict = verdict
        self.search = search


def row_of(figures: PrecisionFigures, precision: Precision, size_bytes: int) -> PrecisionRow:
    """Return a precision's figures as the manifest has them."""
    low, high = figures.top1.interval_percent
    difference_low, difference_high = figures.paired.interval_points
    difference = figures.paired.difference_points
    return PrecisionRow(
        precision=precision,
        top1_percent=figures.top1.percent,
        top1_low_percent=low,
        top1_high_percent=high,
        # With fewer than five classes every answer is among the best five.
        top5_percent=figures.top5.percent if figures.top5 is not None else 100.0,
        agreement_percent=figures.agreement.percent,
        sqnr_db=figures.sqnr_db,
        size_bytes=size_bytes,
        difference_points=difference,
        # Rounding may leave it a hair outside, where both are equal.
        difference_low_points=min(difference, difference_low),
        difference_high_points=max(difference, difference_high),
    )


def accuracy_of(row: PrecisionRow, comparison: Comparison) -> Accuracy:
    """Return a row as the manifest's accuracy."""
    return Accuracy(comparison.dataset, comparison.count, row.top1_percent, row.top5_percent)


def decide(
    report: PrecisionReport,
    sizes: Mapping[Precision, int],
    options: PrecisionConfig,
    dataset: str,
    search: BudgetSearch | None = None,
) -> Verdict:
    """Return the verdict on the precision that is to be deployed. Raises :class:`AccuracyError` if it falls short.

    ``search`` is what the selection set decided before, for the error.
    """
    rows = tuple(row_of(report.figures(precision), precision, size) for precision, size in sizes.items())
    comparison = Comparison(dataset, report.count, rows)
    verdict = Verdict(options.precision, options.budget_points, comparison, report)
    if not verdict.passed:
        raise AccuracyError(
            f"{verdict}: it falls short, and no bundle is written; {_remedies(options)}"
            + (f" ({verdict.doubt})" if verdict.unsure else ""),
            verdict=verdict,
            search=search,
        )
    return verdict


def check_selection(search: BudgetSearch, options: PrecisionConfig) -> None:
    """Raise :class:`AccuracyError` if the search met the budget with no set of layers."""
    if not search.met:
        raise AccuracyError(
            f"INT8 on {options.select_on}: got top-1 {search.before_percent:.2f} %, FP32 has "
            f"{search.float_percent:.2f} %, and keeping layers in floating point does not bring it within "
            f"{options.budget_points:g} points; no bundle is written; {_remedies(options)}",
            search=search,
        )


def _remedies(options: PrecisionConfig) -> str:
    if options.precision == "fp16":
        return "try --keep NODE to leave layers in FP32, a larger --accuracy-budget, or --precision fp32"
    tries = ["more or other calibration images (--images, --count)"]
    if options.select_on is None:
        tries.append("--select DATASET, so that the layers that cost most can stay in floating point")
    else:
        tries.append("more images in --select: what was chosen on few fits few")
    tries += ["--keep NODE", "another --method", "a larger --accuracy-budget", "--precision fp16"]
    return f"try {', '.join(tries[:-1])}, or {tries[-1]}; the calibration table is kept"
