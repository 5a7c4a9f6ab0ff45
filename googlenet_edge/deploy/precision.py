"""FP16 or INT8 of a proved float32 graph: calibrate, convert, choose what stays in floating point, judge."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from googlenet_edge.bundle import Accuracy, Artefact, Comparison, GoldenFrames, Precision, Step
from googlenet_edge.deploy.config import DeployConfig
from googlenet_edge.deploy.inputs import Inputs
from googlenet_edge.deploy.judge import Judge, choose_golden, golden_tolerance
from googlenet_edge.deploy.lower import (
    Counts,
    Lowered,
    calibrate_graph,
    check_keep,
    lower_fp16,
    lower_int8,
    prove,
    quantize,
)
from googlenet_edge.deploy.record import QuantizationRecord
from googlenet_edge.deploy.select import Selection, Sensitivities, float_share, select_layers
from googlenet_edge.deploy.verdict import Verdict, accuracy_of, check_selection, decide
from googlenet_edge.errors import GraphError
from googlenet_edge.evaluation.precisions import PrecisionReport, compare_precisions
from googlenet_edge.graph.store import sha256_of
from googlenet_edge.quantization.calibrate import Calibration
from googlenet_edge.quantization.images import CalibrationImages
from googlenet_edge.quantization.quantize import Quantized
from googlenet_edge.quantization.sensitivity import LayerSensitivity
from googlenet_edge.quantization.table import CalibrationTable
from googlenet_edge.types import CropRule, ImageArray

__all__ = ["Outcome", "Task", "beside", "make_precision"]

_log = logging.getLogger(__name__)

_NAMED = 5
"""So many images that were left out are named."""


@dataclass(frozen=True)
class Task:
    """What there is to work with."""

    graph: Path
    """The simplified float32 graph."""
    artefact: Artefact
    output: Path
    """The folder of the bundle, without links in it."""
    crop: CropRule
    crops: ImageArray
    """The proof frames, uint8 (K, crop, crop, 3) BGR."""
    inputs: Inputs
    config: DeployConfig


@dataclass(frozen=True)
class _Int8:
    """How the INT8 graph came about."""

    quantized: Quantized
    selection: Selection | None
    sensitivity: tuple[LayerSensitivity, ...]
    float_share: float

    @property
    def kept(self) -> tuple[str, ...]:
        return () if self.selection is None else tuple(layer.node for layer in self.selection.search.kept)


@dataclass(frozen=True)
class Outcome:
    """A graph in the precision that was asked for, and all that is known of it."""

    lowered: Lowered
    steps: tuple[Step, ...]
    golden: GoldenFrames
    tolerance: float
    config: DeployConfig
    calibration: Calibration | None
    int8: _Int8 | None
    """None for fp16."""
    verdict: Verdict | None
    """None if there was no test set."""

    @property
    def comparison(self) -> Comparison | None:
        """The figures on the test set."""
        return None if self.verdict is None else self.verdict.comparison

    @property
    def accuracies(self) -> tuple[Accuracy, ...]:
        """The accuracy of this precision on the test set, if there was one."""
        return () if self.verdict is None else (accuracy_of(self.verdict.row, self.verdict.comparison),)

    def record(self, graph: Path) -> QuantizationRecord | None:
        """Return what ``BUNDLE.quantization.json`` says, for the file that is deployed; None for fp16."""
        if self.int8 is None:
            return None
        return QuantizationRecord(
            options=self.config.precision,
            graph_sha256=sha256_of(graph),
            quantized=self.int8.quantized,
            deployed=self.lowered.quantized or self.int8.quantized.model,
            search=self.int8.selection.search if self.int8.selection is not None else None,
            sensitivity=self.int8.sensitivity,
            float_share=self.int8.float_share,
            verdict=self.verdict,
        )


def beside(bundle: Path, kind: str) -> Path:
    """Return the name of a file that goes with a bundle, next to its folder."""
    return bundle.with_name(f"{bundle.name}.{kind}.json")


def make_precision(task: Task, progress: Callable[[str], None], counts: Counts) -> Outcome:
    """Make and judge the graph. Raises GraphError, CalibrationError, AccuracyError and what calibration raises."""
    options = task.config.precision
    check_keep(task.graph, options)
    calibration = None
    if task.inputs.images is not None:
        calibration = _calibrate(task, task.inputs.images, progress, counts)
    int8 = None
    if options.precision == "int8":
        if task.inputs.images is None or calibration is None:  # PrecisionConfig asks for them
            raise AssertionError("int8 without images")
        int8 = _make_int8(task, task.inputs.images, calibration, progress, counts)
        lowered = lower_int8(int8.quantized, int8.kept, options)
    else:
        progress("converting to FP16")
        lowered = lower_fp16(task.graph, calibration.table if calibration is not None else None, options.keep)
    progress(f"proving {lowered.precision} on {len(task.crops)} frames")
    with Judge("fp32", task.graph) as exact, Judge(lowered.precision, lowered.judged) as judge:
        difference = np.abs(judge.probabilities(task.crops) - exact.probabilities(task.crops)).max()
        golden = choose_golden(judge, task.crops)
    steps = prove(task.graph, task.artefact, lowered, task.crops)
    verdict = _judge(task, lowered, int8, progress, counts) if task.inputs.test is not None else None
    tolerance = golden_tolerance(lowered.precision, (float(difference),))
    return Outcome(lowered, steps, golden, tolerance, task.config, calibration, int8, verdict)


def _calibrate(task: Task, images: CalibrationImages, progress: Callable[[str], None], counts: Counts) -> Calibration:
    path = beside(task.output, "calibration")
    progress(f"calibrating on {len(images)} images")
    calibration = calibrate_graph(task.graph, images, path, counts)
    progress(f"calibration table {path}: {'reused' if calibration.reused else 'made'}, {calibration.reason}")
    return calibration


def _make_int8(
    task: Task, images: CalibrationImages, calibration: Calibration, progress: Callable[[str], None], counts: Counts
) -> _Int8:
    options = task.config.precision
    progress("quantizing to INT8")
    quantized = quantize(task.graph, images, calibration, options, counts)
    sensitivities = Sensitivities(quantized, images, progress, counts)
    selection = None
    if task.inputs.selection is not None:
        progress(f"measuring INT8 on {options.select_on}")
        selection = select_layers(
            task.graph, sensitivities, task.inputs.selection, task.crop, options, progress, counts
        )
        check_selection(selection.search, options)
    if options.sensitivity and not sensitivities.layers:
        sensitivities.ranked()
    kept = () if selection is None else tuple(layer.node for layer in selection.search.kept)
    return _Int8(quantized, selection, sensitivities.layers, float_share(task.graph, quantized, kept))


def _judge(
    task: Task, lowered: Lowered, int8: _Int8 | None, progress: Callable[[str], None], counts: Counts
) -> Verdict:
    """Measure FP32, FP16 and what is deployed on the test set, which nothing else reads."""
    judged = [lowered]
    if int8 is not None:
        half = _other_half(task, int8.quantized.table)
        judged = [half, lowered] if half is not None else judged
    try:
        report = _measure(task, judged, progress, counts)
    except GraphError as error:
        if len(judged) == 1:
            raise
        # FP16 may overflow on an image of the test set, where INT8, which is what is wanted, need not.
        _log.warning("no FP16 in the table, if it is to blame: %s", error)
        judged = [lowered]
        report = _measure(task, judged, progress, counts)
    if report.skipped:
        _log.warning(
            "%s: %d images are left out, because they cannot be used: %s",
            report.dataset,
            len(report.skipped),
            "; ".join(f"{entry.name}: {entry.reason}" for entry in report.skipped[:_NAMED]),
        )
    search = int8.selection.search if int8 is not None and int8.selection is not None else None
    sizes: dict[Precision, int] = {"fp32": task.graph.stat().st_size}
    sizes |= {other.precision: other.size_bytes for other in judged}
    return decide(report, sizes, task.config.precision, task.config.evaluate_on or report.dataset, search)


def _measure(task: Task, judged: list[Lowered], progress: Callable[[str], None], counts: Counts) -> PrecisionReport:
    test = task.inputs.test
    if test is None:
        raise AssertionError("no test set")
    progress(f"judging {', '.join(['fp32', *(other.precision for other in judged)])} on {task.config.evaluate_on}")
    with ExitStack() as stack:
        judges: dict[str, Judge] = {"fp32": stack.enter_context(Judge("fp32", task.graph))}
        for other in judged:
            judges[other.precision] = stack.enter_context(Judge(other.precision, other.judged))
        return compare_precisions(judges, test, task.crop, progress=lambda done: counts("test set", done, len(test)))


def _other_half(task: Task, table: CalibrationTable) -> Lowered | None:
    """Return the FP16 graph for the table's sake; None if FP16 cannot hold this network."""
    try:
        half = lower_fp16(task.graph, table)
        with Judge("fp16", half.judged) as judge:
            judge.probabilities(task.crops)
    except GraphError as error:
        _log.warning("no FP16 in the table: %s", error)
        return None
    return half
