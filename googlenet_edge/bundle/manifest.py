"""What ``bundle.json`` holds, as frozen dataclasses that check themselves; ``codec.py`` reads and writes them."""

# No `from __future__ import annotations` here: msgspec reads these annotations when it decodes.
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from googlenet_edge.errors import InputError
from googlenet_edge.types import Agreement, CropRule, NodeRow, Normalization, TensorSpec

__all__ = [
    "SCHEMA_VERSION",
    "Accuracy",
    "Artefact",
    "BundleFacts",
    "Comparison",
    "FileRecord",
    "GoldenRecord",
    "Lineage",
    "Manifest",
    "Precision",
    "PrecisionRow",
    "Step",
]

SCHEMA_VERSION: Final = 2
"""Raised by one whenever a field appears, goes or changes its meaning; only this very version is read."""

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
"""The number format the graph is deployed in; it lives in the graph itself, here it is only named."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def _check_sha256(value: str, what: str) -> None:
    if not _SHA256.fullmatch(value):
        raise InputError(f"sha256 of {what}: got {value!r}, expected 64 lower-case hexadecimal digits")


@dataclass(frozen=True)
class Artefact:
    """A file of the path from checkpoint to bundle: its name, without folder, and its content."""

    name: str
    sha256: str

    def __post_init__(self) -> None:
        _check_sha256(self.sha256, repr(self.name))


@dataclass(frozen=True)
class FileRecord:
    """One file of the bundle."""

    name: str
    """A plain file name: a bundle has no sub-folders."""
    sha256: str
    size_bytes: int

    def __post_init__(self) -> None:
        _check_sha256(self.sha256, repr(self.name))
        if self.name in ("", ".", "..") or any(c in "/\\\0" for c in self.name):
            raise InputError(f"file name: got {self.name!r}, expected a plain name inside the bundle's folder")


@dataclass(frozen=True)
class Accuracy:
    """A measured accuracy of the deployed graph."""

    dataset: str
    count: int
    """Images evaluated."""
    top1_percent: float
    top5_percent: float

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.top1_percent <= self.top5_percent <= 100:
            raise InputError(f"accuracy: got {self}, expected count >= 1 and 0 <= top-1 <= top-5 <= 100 percent")


@dataclass(frozen=True)
class PrecisionRow:
    """One precision of the same network on a labelled set; intervals are those of 95 % confidence."""

    precision: Precision
    top1_percent: float
    top1_low_percent: float
    top1_high_percent: float
    top5_percent: float
    agreement_percent: float
    """Images with the same best class as the float32 network."""
    sqnr_db: float
    """Of the logits over all images, against the float32 network; inf if equal."""
    size_bytes: int
    """Of the ONNX file."""
    difference_points: float
    """Top-1 less that of the float32 network, in percentage points."""
    difference_low_points: float
    difference_high_points: float

    def __post_init__(self) -> None:
        shares = (self.top1_low_percent, self.top1_percent, self.top1_high_percent)
        differences = (self.difference_low_points, self.difference_points, self.difference_high_points)
        if self.precision not in get_args(Precision):
            raise InputError(f"precision: got {self.precision!r}, expected one of {', '.join(get_args(Precision))}")
        if (
            list(shares) != sorted(shares)
            or list(differences) != sorted(differences)
            or not 0 <= shares[0] <= shares[2] <= 100
            or not self.top1_percent <= self.top5_percent <= 100
            or not 0 <= self.agreement_percent <= 100
            or self.size_bytes < 1
        ):
            raise InputError(f"precision row: got {self}, expected low <= value <= high, and percentages from 0 to 100")


@dataclass(frozen=True)
class Comparison:
    """Every precision that was judged when the bundle was made, on the same images, the float32 network first."""

    dataset: str
    count: int
    """Images evaluated."""
    rows: tuple[PrecisionRow, ...]

    def __post_init__(self) -> None:
        names = [row.precision for row in self.rows]
        if self.count < 1 or names[:1] != ["fp32"] or len(set(names)) != len(names):
            raise InputError(f"comparison: got {self.count} images, rows {names}, expected fp32 first, and each once")


@dataclass(frozen=True)
class Step:
    """One arrow of the path, for example "export" or "simplify", and how well its result agrees with what went in."""

    name: str
    parent: Artefact
    artefact: Artefact
    agreements: tuple[Agreement, ...]


@dataclass(frozen=True)
class Lineage:
    """Where the graph came from."""

    checkpoint: Artefact
    calibration_images_sha256: str | None = None
    """Over the bytes of all calibration crops; None unless the precision was calibrated."""

    def __post_init__(self) -> None:
        if self.calibration_images_sha256 is not None:
            _check_sha256(self.calibration_images_sha256, "the calibration images")


@dataclass(frozen=True)
class GoldenRecord:
    """The golden frames: where they are, and how far from their probabilities an engine's may be."""

    file: str
    count: int
    tolerance: float
    """Largest allowed absolute difference of a probability, above 0 and at most 1."""

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 < self.tolerance <= 1:
            raise InputError(f"golden frames: got {self}, expected count >= 1 and 0 < tolerance <= 1")


@dataclass(frozen=True, kw_only=True)
class BundleFacts:
    """What the maker of a bundle states about it; :func:`write_bundle` adds the rest."""

    name: str
    """What to call the model in reports."""
    form: str
    """The form of the network, for example ``"torchvision"``, or ``"onnx"`` for a graph made elsewhere."""
    precision: Precision
    crop: CropRule
    input: TensorSpec
    """``image`` uint8 ("N", crop, crop, 3), BGR."""
    outputs: tuple[TensorSpec, TensorSpec]
    """``logits`` and ``probabilities``, float32 ("N", classes)."""
    normalization: Normalization
    """For information: the graph does it."""
    lineage: Lineage
    accuracy: tuple[Accuracy, ...] = ()
    """Of the deployed precision."""
    comparison: Comparison | None = None
    """What the precision costs; None for fp32, and where no labelled set was given."""
    steps: tuple[Step, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    """Name and version of everything that had a part in making the graph."""
    labels: tuple[str, ...]
    """One a class, by class id. Two classes may share a label (ImageNet has two cranes)."""
    nodes: tuple[NodeRow, ...] = ()
    """Each node of the graph and its row of Table 1."""

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise InputError(f"precision: got {self.precision!r}, expected one of {', '.join(get_args(Precision))}")
        if not self.labels:
            raise InputError("labels: got none, expected one a class")
        crop_px, classes = self.crop.crop_px, len(self.labels)
        expected = (
            TensorSpec("image", ("N", crop_px, crop_px, 3), "uint8"),
            TensorSpec("logits", ("N", classes), "float32"),
            TensorSpec("probabilities", ("N", classes), "float32"),
        )
        for got, want in zip((self.input, *self.outputs), expected, strict=True):
            if got != want:
                raise InputError(
                    f"input or output: got {got}, expected {want} "
                    f"(the crop rule gives {crop_px} px, and there are {classes} labels)"
                )


@dataclass(frozen=True, kw_only=True)
class Manifest(BundleFacts):
    """All that ``bundle.json`` holds."""

    schema_version: int
    created: str
    """UTC, for example ``2025-01-31T12:00:00Z``."""
    graph: str
    """The name of the ONNX file."""
    golden: GoldenRecord
    files: tuple[FileRecord, ...]
    """Every file of the bundle but ``bundle.json`` itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _CREATED.fullmatch(self.created):
            raise InputError(f"created: got {self.created!r}, expected UTC as 2025-01-31T12:00:00Z")
        names = [record.name for record in self.files]
        if len(set(names)) != len(names):
            raise InputError(f"files: got {', '.join(sorted(names))}, expected each name once")
        for name in (self.graph, self.golden.file):
            if name not in names:
                raise InputError(f"files: got {', '.join(sorted(names)) or 'none'}, expected {name!r} among them")

    def record(self, name: str) -> FileRecord:
        """Return the record of the file with this name, which must be one of :attr:`files`."""
        return next(record for record in self.files if record.name == name)
