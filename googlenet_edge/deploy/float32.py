"""From what is deployed to its simplified float32 graph, and the frames on which every step is compared."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from googlenet_edge.bundle import Artefact, Step
from googlenet_edge.capture.source import open_source
from googlenet_edge.deploy.config import DeployConfig
from googlenet_edge.deploy.start import Start
from googlenet_edge.errors import InputError, UsageError
from googlenet_edge.graph.export import export_onnx
from googlenet_edge.graph.foreign import ForeignRunner, adapt_onnx
from googlenet_edge.graph.head import DeployableNetwork
from googlenet_edge.graph.session import Runnable
from googlenet_edge.graph.simplify import simplify_onnx
from googlenet_edge.graph.verify import compare
from googlenet_edge.runtime.preprocess import preprocess
from googlenet_edge.types import CropRule, ImageArray

__all__ = ["PROOF_FRAMES", "crop_rule", "make_graph", "proof_crops"]

PROOF_FRAMES = 20
"""Frames that each step is compared on; not a multiple of 8, so that a batch that is not full is tried too."""


def make_graph(
    source: Path, start: Start, config: DeployConfig, graph: Path, progress: Callable[[str], None]
) -> tuple[CropRule, ImageArray, tuple[Step, ...]]:
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
        crops = proof_crops(config.frames, crop_rule(config, config.crop_px or 224))  # before the long work
        network = start.checkpoint.network
        spec = export_onnx(network, raw, normalization=start.normalization, input_px=config.crop_px or 224)
        reference = DeployableNetwork(network, start.normalization)
    if config.crop_px not in (None, spec.input_px):
        raise UsageError(f"crop: got {config.crop_px} px, but {source} takes {spec.input_px} px")
    crop = crop_rule(config, spec.input_px)
    crops = proof_crops(config.frames, crop) if crops is None else crops
    progress(f"proving the {name} on {len(crops)} frames")
    exported = Artefact(raw.name, spec.sha256)
    first = Step(name, start.artefact, exported, compare(reference, raw, crops))
    progress("simplifying and proving that")
    simplified = Artefact(graph.name, simplify_onnx(raw, graph).sha256)
    return crop, crops, (first, Step("simplify", exported, simplified, compare(raw, graph, crops)))


def crop_rule(config: DeployConfig, input_px: int) -> CropRule:
    """Return how frames become the input of a network of this size. Raises UsageError if ``config`` does not fit."""
    resize_px = config.resize_px or round(input_px * 8 / 7)
    if resize_px < input_px:
        raise UsageError(f"got resize {resize_px} px and a network that takes {input_px} px, expected resize >= crop")
    return CropRule(resize_px, input_px)


def proof_crops(uri: str, rule: CropRule) -> ImageArray:
    """Return frames of the source, cropped as the device crops: uint8 (K, crop, crop, 3)."""
    with open_source(uri) as source:
        # Every seventh frame of a stream, so that they differ; all of a source that has few.
        frames = [frame.image for frame in itertools.islice(source, 7 * PROOF_FRAMES)]
    if not frames:
        raise InputError(f"frames: got none from {uri}, expected at least one to compare the steps on")
    chosen = frames[:: max(1, len(frames) // PROOF_FRAMES)][:PROOF_FRAMES]
    return np.stack([preprocess(image, rule) for image in chosen])
