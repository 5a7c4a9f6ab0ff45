"""The host's path in order: load, export, simplify, take to the precision that is wanted, judge, write."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from googlenet_edge.atomic import check_writable
from googlenet_edge.bundle import Accuracy, Bundle, BundleFacts, GoldenFrames, Lineage, Step
from googlenet_edge.bundle.writer import check_target, write_bundle
from googlenet_edge.demo import checkpoint_path
from googlenet_edge.deploy.config import DEMO_CHECKPOINT, DeployConfig
from googlenet_edge.deploy.float32 import crop_rule, make_graph
from googlenet_edge.deploy.inputs import open_inputs
from googlenet_edge.deploy.judge import Judge, choose_golden, golden_tolerance
from googlenet_edge.deploy.lower import Counts
from googlenet_edge.deploy.precision import Outcome, Task, beside, make_precision
from googlenet_edge.deploy.record import check_record, remove_record, write_record
from googlenet_edge.deploy.start import find_labels, open_start
from googlenet_edge.evaluation.dataset import Dataset
from googlenet_edge.evaluation.evaluate import evaluate
from googlenet_edge.graph.rows import node_rows
from googlenet_edge.graph.store import describe, save_graph
from googlenet_edge.runtime.classifier import Classifier

__all__ = ["Deployment", "deploy"]

_log = logging.getLogger(__name__)

_TOOLS = ("torch", "onnx", "onnxsim", "onnxscript", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Deployment:
    """What :func:`deploy` made."""

    bundle: Bundle
    steps: tuple[Step, ...]
    accuracy: Accuracy | None
    outcome: Outcome | None = None
    """What came of the precision; None for fp32."""


def deploy(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    config: DeployConfig | None = None,
    *,
    progress: Callable[[str], None] = _log.info,
    counts: Counts | None = None,
) -> Deployment:
    """Make a bundle: load, export, simplify, prove each step, lower the precision and judge it, write.

    ``checkpoint`` is a state dict (``.pth``, ``.pt``, ``.safetensors``), an ONNX classifier (``.onnx``), or
    :data:`DEMO_CHECKPOINT`. ``progress`` is told each step as it begins, ``counts`` how far a long one is. Beside the
    bundle, ``OUTPUT.calibration.json`` is left where there were calibration images, and is reused by the next run if it
    fits; ``OUTPUT.quantization.json`` says how INT8 came about.

    Raises what the steps raise: CheckpointError, LabelsError, GraphError (FP16 cannot hold a value), VerificationError
    (a step changed the results), :class:`AccuracyError`, which is one (the precision costs more than the budget; no
    bundle is written), SourceError and DatasetError (frames, images, evaluation), CalibrationError, BundleError and
    OutputError (the folder), UsageError.
    """
    config = config or DeployConfig()
    options, told = config.precision, counts or _ignore
    target = Path(os.path.realpath(output))
    check_target(output, overwrite=config.overwrite)
    if options.precision == "int8" and target.parent.is_dir():
        check_record(beside(target, "quantization"))
        check_writable(beside(target, "quantization"), what="quantization record")
    source = checkpoint_path() if os.fspath(checkpoint) == DEMO_CHECKPOINT else Path(checkpoint)
    if options.precision != "fp32" and config.evaluate_on is None and options.select_on is None:
        _log.warning(
            "%s is not judged on labelled images: what it costs is not known; give --eval DATASET", options.precision
        )
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="googlenet-edge-")))
        progress(f"loading {source.name}")
        start = open_start(source, config)
        inputs = labels = None
        if start.checkpoint is not None:
            # What is wrong with the images is better known now than after the work.
            labels = find_labels(start.labels, start.class_count, config)
            inputs = open_inputs(config, labels, crop_rule(config, config.crop_px or 224), told, stack)
        graph = scratch / "model.onnx"
        crop, crops, steps = make_graph(source, start, config, graph, progress)
        spec = describe(graph)
        if inputs is None or labels is None:
            labels = find_labels(None, spec.class_count, config)
            inputs = open_inputs(config, labels, crop, told, stack)
        outcome = None
        if options.precision != "fp32":
            task = Task(graph, steps[-1].artefact, target, crop, crops, inputs, config)
            outcome = make_precision(task, progress, told)
            steps += outcome.steps
            graph = scratch / "deployed.onnx"
            save_graph(outcome.lowered.model, graph)
        facts = BundleFacts(
            name=config.name or source.stem,
            form=start.form,
            precision=options.precision,
            crop=crop,
            input=spec.input,
            outputs=(spec.outputs[0], spec.outputs[1]),
            normalization=start.normalization,
            lineage=Lineage(start.artefact, inputs.images.sha256 if inputs.images is not None else None),
            accuracy=outcome.accuracies if outcome is not None else (),
            comparison=outcome.comparison if outcome is not None else None,
            steps=steps,
            tools=_tool_versions(),
            labels=labels,
            nodes=node_rows(graph),
        )
        if outcome is None:
            with Judge("fp32", graph) as judge:
                golden, tolerance = choose_golden(judge, crops), golden_tolerance("fp32")
        else:
            golden, tolerance = outcome.golden, outcome.tolerance
        # What is written is what was proved: it is first opened as a device would, with all golden frames checked.
        draft = _write(scratch / "draft", facts, graph, golden, tolerance)
        with Classifier(draft, golden_frames=None) as classifier:
            if outcome is None and inputs.test is not None and config.evaluate_on is not None:
                progress(f"measuring the accuracy on {config.evaluate_on}")
                facts = replace(facts, accuracy=(_evaluate(classifier, inputs.test, config.evaluate_on, told),))
        progress(f"writing {os.fspath(output)}")
        record = outcome.record(graph) if outcome is not None else None
        with write_record(beside(target, "quantization"), record) if record is not None else nullcontext():
            bundle = _write(Path(output), facts, graph, golden, tolerance, overwrite=config.overwrite)
        if record is None:
            remove_record(beside(target, "quantization"))
    return Deployment(bundle, steps, facts.accuracy[0] if facts.accuracy else None, outcome)


def _write(
    folder: Path, facts: BundleFacts, graph: Path, golden: GoldenFrames, tolerance: float, *, overwrite: bool = False
) -> Bundle:
    return write_bundle(
        folder, facts, graph=graph.read_bytes(), golden=golden, tolerance=tolerance, overwrite=overwrite
    )


def _evaluate(classifier: Classifier, dataset: Dataset, name: str, counts: Counts) -> Accuracy:
    report = evaluate(classifier, dataset, progress=lambda done: counts("test set", done, len(dataset)))
    # With fewer than five classes every answer is among the best five.
    top5 = report.top5.percent if report.top5 is not None else 100.0
    return Accuracy(name, report.count, report.top1.percent, top5)


def _tool_versions() -> dict[str, str]:
    found = {}
    for tool in _TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:  # installed under another name, as onnxruntime-gpu
            continue
    return found


def _ignore(*_: object) -> None:
    """For a caller who wants no progress."""
