"""The host's path, from a trained checkpoint or an ONNX classifier to a bundle; every step is proved."""

from __future__ import annotations

import itertools
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from googlenet_edge.bundle import Accuracy, Artefact, Bundle, BundleFacts, GoldenFrames, Lineage, Step
from googlenet_edge.bundle.writer import check_target, write_bundle
from googlenet_edge.capture.source import open_source
from googlenet_edge.demo import checkpoint_path
from googlenet_edge.errors import CheckpointError, InputError, UsageError
from googlenet_edge.evaluation.dataset import open_dataset
from googlenet_edge.evaluation.evaluate import evaluate
from googlenet_edge.graph.export import export_onnx
from googlenet_edge.graph.foreign import ForeignRunner, adapt_onnx
from googlenet_edge.graph.head import DeployableNetwork
from googlenet_edge.graph.rows import node_rows
from googlenet_edge.graph.session import Runnable
from googlenet_edge.graph.simplify import simplify_onnx
from googlenet_edge.graph.store import describe, load_graph, sha256_of
from googlenet_edge.graph.verify import compare
from googlenet_edge.model.checkpoint import Checkpoint, load_checkpoint
from googlenet_edge.model.labels import read_labels
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.ort_backend import OrtBackend
from googlenet_edge.runtime.preprocess import preprocess
from googlenet_edge.types import CropRule, Normalization

__all__ = ["DEMO_CHECKPOINT", "DeployConfig", "Deployment", "deploy"]

_log = logging.getLogger(__name__)

DEMO_CHECKPOINT = "demo"
"""In the place of a checkpoint: the trained one that comes with the package."""

PROOF_FRAMES = 20
"""Frames that each step is compared on; not a multiple of 8, so that a batch that is not full is tried too."""

GOLDEN_FRAMES = 4
GOLDEN_TOLERANCE = 0.01
"""How far a probability of another engine for the same float32 graph may be off. Float32 on another machine gives 1e-5;
TensorRT may use TF32, with 10 bits of mantissa."""

_TOOLS = ("torch", "onnx", "onnxsim", "onnxscript", "onnxruntime", "numpy")


@dataclass(frozen=True, kw_only=True)
class DeployConfig:
    """How to deploy; None leaves it to the checkpoint."""

    labels: Path | None = None
    """A file with the names of the classes, text or JSON."""
    form: str | None = None
    class_count: int | None = None
    """Refuse a checkpoint with another number of classes."""
    normalization: Normalization | None = None
    """What the network was trained with; needed for an ONNX file."""
    crop_px: int | None = None
    """Side of the network's input; 224 if the checkpoint does not settle it."""
    resize_px: int | None = None
    """Short side to which training resized before it cropped; 8/7 of ``crop_px`` if None."""
    name: str | None = None
    frames: str = "demo:?size=640x360"
    """Source of the frames that the steps are compared on."""
    evaluate_on: str | None = None
    """Data set whose accuracy goes into the bundle; see :func:`~googlenet_edge.evaluation.dataset.open_dataset`."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.class_count is not None and self.class_count < 1:
            raise UsageError(f"classes: got {self.class_count}, expected 1 or more")
        for name, value in (("crop", self.crop_px), ("resize", self.resize_px)):
            if value is not None and not 32 <= value <= 4096:
                raise UsageError(f"{name}: got {value} px, expected 32 to 4096")
        if self.crop_px and self.resize_px and self.resize_px < self.crop_px:
            raise UsageError(f"got resize {self.resize_px} px and crop {self.crop_px} px, expected resize >= crop")


@dataclass(frozen=True)
class Deployment:
    """What :func:`deploy` made."""

    bundle: Bundle
    steps: tuple[Step, ...]
    accuracy: Accuracy | None


@dataclass(frozen=True)
class _Start:
    """Where the path begins: a network or a graph made elsewhere."""

    artefact: Artefact
    form: str
    normalization: Normalization
    class_count: int
    labels: tuple[str, ...] | None
    checkpoint: Checkpoint | None


def deploy(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    config: DeployConfig | None = None,
    *,
    progress: Callable[[str], None] = _log.info,
) -> Deployment:
    """Make a bundle: load, export, simplify, prove each step, choose golden frames, write.

    ``checkpoint`` is a state dict (``.pth``, ``.pt``, ``.safetensors``), an ONNX classifier (``.onnx``), or
    :data:`DEMO_CHECKPOINT`. ``progress`` is told each step as it begins.

    Raises what the steps raise: CheckpointError, LabelsError, GraphError, VerificationError (a step changed the
    results), SourceError and DatasetError (frames, evaluation), BundleError and OutputError (the folder), UsageError.
    """
    config = config or DeployConfig()
    check_target(output, overwrite=config.overwrite)
    source = checkpoint_path() if os.fspath(checkpoint) == DEMO_CHECKPOINT else Path(checkpoint)
    with tempfile.TemporaryDirectory(prefix="googlenet-edge-") as scratch:
        progress(f"loading {source.name}")
        start = _open(source, config)
        labels = _labels(start.labels, start.class_count, config) if start.checkpoint else None
        if config.evaluate_on is not None and labels is not None:
            open_dataset(config.evaluate_on, labels)  # what is wrong with it is better known now than after the work
        graph = Path(scratch) / "model.onnx"
        crop, crops, steps = _make_graph(source, start, config, graph, progress)
        spec = describe(graph)
        if labels is None:
            labels = _labels(None, spec.class_count, config)
        facts = BundleFacts(
            name=config.name or source.stem,
            form=start.form,
            precision="fp32",
            crop=crop,
            input=spec.input,
            outputs=(spec.outputs[0], spec.outputs[1]),
            normalization=start.normalization,
            lineage=Lineage(start.artefact),
            steps=steps,
            tools=_tool_versions(),
            labels=labels,
            nodes=node_rows(graph),
        )
        golden = _golden(graph, crops)
        accuracy = None
        if config.evaluate_on is not None:
            draft = _write(Path(scratch) / "draft", facts, graph, golden, overwrite=False)
            accuracy = _evaluate(draft, config.evaluate_on, progress)
            facts = replace(facts, accuracy=(accuracy,))
        progress(f"writing {os.fspath(output)}")
        bundle = _write(Path(output), facts, graph, golden, overwrite=config.overwrite)
    # What was written is what was proved: open it as a device would, and check all golden frames.
    with Classifier(bundle, golden_frames=None):
        pass
    return Deployment(bundle, steps, accuracy)


def _open(source: Path, config: DeployConfig) -> _Start:
    if source.suffix.lower() == ".onnx":
        if config.normalization is None:
            raise UsageError(
                f"{source}: an ONNX file does not say how its training images were normalised; give it "
                "(--normalization imagenet, caffe, inception, unit, or mean=...;std=...;order=...)"
            )
        for name, value in (("form", config.form), ("classes", config.class_count)):
            if value is not None:
                raise UsageError(f"{name}: got {value!r} for an ONNX file, expected none; the file settles it")
        load_graph(source)  # says what is wrong with the file, if something is
        artefact = Artefact(source.name, sha256_of(source))
        return _Start(artefact, "onnx", config.normalization, 0, None, None)
    loaded = load_checkpoint(
        source, form=config.form, class_count=config.class_count, normalization=config.normalization
    )
    if loaded.input_channels != 3:
        raise CheckpointError(
            f"checkpoint {source}: got a network for {loaded.input_channels} channels, expected 3: cameras deliver BGR"
        )
    if loaded.normalization_source == "default":
        _log.warning(
            "%s does not say how its training images were normalised: taking torchvision's GoogLeNet, (x - 0.5) / 0.5; "
            "if that is wrong, labels will be wrong without an error (--normalization)",
            source.name,
        )
    artefact = Artefact(source.name, loaded.sha256)
    return _Start(artefact, loaded.form, loaded.normalization, loaded.class_count, loaded.labels, loaded)


def _make_graph(
    source: Path, start: _Start, config: DeployConfig, graph: Path, progress: Callable[[str], None]
) -> tuple[CropRule, npt.NDArray[np.uint8], tuple[Step, ...]]:
    """Write the simplified graph; return the crop rule, the frames it was proved on, and the steps."""
    raw = graph.with_name("exported.onnx")
    reference: Runnable
    crops = None
    if start.checkpoint is None:
        progress("adapting the graph")
        name = "adapt"
        spec = adapt_onnx(source, raw, normalization=start.normalization, input_px=config.crop_px)
        reference = ForeignRunner(source, start.normalization)
    else:
        progress(f"exporting the {start.form} form, {start.class_count} classes")
        name = "export"
        crops = _proof_crops(config.frames, _crop_rule(config, config.crop_px or 224))  # before the long work
        network = start.checkpoint.network
        spec = export_onnx(network, raw, normalization=start.normalization, input_px=config.crop_px or 224)
        reference = DeployableNetwork(network, start.normalization)
    if config.crop_px not in (None, spec.input_px):
        raise UsageError(f"crop: got {config.crop_px} px, but {source} takes {spec.input_px} px")
    crop = _crop_rule(config, spec.input_px)
    crops = _proof_crops(config.frames, crop) if crops is None else crops
    progress(f"proving the {name} on {len(crops)} frames")
    exported = Artefact(raw.name, spec.sha256)
    first = Step(name, start.artefact, exported, compare(reference, raw, crops))
    progress("simplifying and proving that")
    simplified = Artefact(graph.name, simplify_onnx(raw, graph).sha256)
    return crop, crops, (first, Step("simplify", exported, simplified, compare(raw, graph, crops)))


def _crop_rule(config: DeployConfig, input_px: int) -> CropRule:
    resize_px = config.resize_px or round(input_px * 8 / 7)
    if resize_px < input_px:
        raise UsageError(f"got resize {resize_px} px and a network that takes {input_px} px, expected resize >= crop")
    return CropRule(resize_px, input_px)


def _proof_crops(uri: str, rule: CropRule) -> npt.NDArray[np.uint8]:
    """Return frames of the source, cropped as the device crops: uint8 (K, crop, crop, 3)."""
    with open_source(uri) as source:
        # Every seventh frame of a stream, so that they differ; all of a source that has few.
        frames = [frame.image for frame in itertools.islice(source, 7 * PROOF_FRAMES)]
    if not frames:
        raise InputError(f"frames: got none from {uri}, expected at least one to compare the steps on")
    chosen = frames[:: max(1, len(frames) // PROOF_FRAMES)][:PROOF_FRAMES]
    return np.stack([preprocess(image, rule) for image in chosen])


def _labels(known: tuple[str, ...] | None, class_count: int, config: DeployConfig) -> tuple[str, ...]:
    if config.labels is not None:
        return read_labels(config.labels, class_count)
    if known is not None:
        return known
    _log.warning("no labels are known: the classes are called 'class 0' and so on; give a file with --labels")
    return tuple(f"class {index}" for index in range(class_count))


def _golden(graph: Path, crops: npt.NDArray[np.uint8]) -> GoldenFrames:
    chosen = np.ascontiguousarray(crops[:: max(1, len(crops) // GOLDEN_FRAMES)][:GOLDEN_FRAMES])
    with OrtBackend(graph) as backend:
        _, probabilities = backend.infer(chosen)
    return GoldenFrames(chosen, probabilities)


def _write(folder: Path, facts: BundleFacts, graph: Path, golden: GoldenFrames, *, overwrite: bool) -> Bundle:
    return write_bundle(
        folder, facts, graph=graph.read_bytes(), golden=golden, tolerance=GOLDEN_TOLERANCE, overwrite=overwrite
    )


def _evaluate(bundle: Bundle, dataset: str, progress: Callable[[str], None]) -> Accuracy:
    progress(f"measuring the accuracy on {dataset}")
    with Classifier(bundle) as classifier:
        report = evaluate(classifier, open_dataset(dataset, bundle.labels))
    # With fewer than five classes every answer is among the best five.
    top5 = report.top5.percent if report.top5 is not None else 100.0
    return Accuracy(dataset, report.count, report.top1.percent, top5)


def _tool_versions() -> dict[str, str]:
    found = {}
    for tool in _TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:  # installed under another name, as onnxruntime-gpu
            continue
    return found
