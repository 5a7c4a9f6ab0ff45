"""The bundle: the one folder that goes from the host side to the device side, and says what it is.

::

    NAME/
      bundle.json     the manifest: labels, crop rule, inputs and outputs, precision, accuracy, lineage, all hashes
      model.onnx      the graph, with its normalisation inside
      golden.npz      a few frames with the probabilities that the graph gives for them
      engines/        on a device: TensorRT's engines for it, which the manifest does not list

:meth:`Bundle.open` verifies all of it. :func:`googlenet_edge.bundle.writer.write_bundle` writes all of it or nothing;
only its makers import that module, which a device would load for nothing.
"""

from __future__ import annotations

from googlenet_edge.bundle.manifest import (
    SCHEMA_VERSION,
    Accuracy,
    Artefact,
    BundleFacts,
    Comparison,
    FileRecord,
    GoldenRecord,
    Lineage,
    Manifest,
    Precision,
    PrecisionRow,
    Step,
)
from googlenet_edge.bundle.reader import MANIFEST_NAME, Bundle, GoldenFrames

__all__ = [
    "MANIFEST_NAME",
    "SCHEMA_VERSION",
    "Accuracy",
    "Artefact",
    "Bundle",
    "BundleFacts",
    "Comparison",
    "FileRecord",
    "GoldenFrames",
    "GoldenRecord",
    "Lineage",
    "Manifest",
    "Precision",
    "PrecisionRow",
    "Step",
]
