"""What is deployed: a trained checkpoint, or an ONNX classifier made elsewhere; and the names of its classes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from googlenet_edge.bundle import Artefact
from googlenet_edge.deploy.config import DeployConfig
from googlenet_edge.errors import CheckpointError, UsageError
from googlenet_edge.graph.store import load_graph, sha256_of
from googlenet_edge.model.checkpoint import Checkpoint, load_checkpoint
from googlenet_edge.model.labels import read_labels
from googlenet_edge.types import Normalization

__all__ = ["Start", "find_labels", "open_start"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Where the path begins: a network or a graph made elsewhere."""

    artefact: Artefact
    form: str
    normalization: Normalization
    class_count: int
    labels: tuple[str, ...] | None
    checkpoint: Checkpoint | None


def open_start(source: Path, config: DeployConfig) -> Start:
    """Open a checkpoint or an ONNX file. Raises CheckpointError, GraphError; UsageError for options that do not fit."""
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
        return Start(artefact, "onnx", config.normalization, 0, None, None)
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
    return Start(artefact, loaded.form, loaded.normalization, loaded.class_count, loaded.labels, loaded)


def find_labels(known: tuple[str, ...] | None, class_count: int, config: DeployConfig) -> tuple[str, ...]:
    """Return the names of the classes: of the file in ``config``, else those that are known, else made-up ones."""
    if config.labels is not None:
        return read_labels(config.labels, class_count)
    if known is not None:
        return known
    _log.warning("no labels are known: the classes are called 'class 0' and so on; give a file with --labels")
    return tuple(f"class {index}" for index in range(class_count))
