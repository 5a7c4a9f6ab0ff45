"""The JSON file beside a stored plan: what it was built for, its hash, on which devices its answers were right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Final

import msgspec

from googlenet_edge.engine.key import EngineKey
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.engine.plain_file import read_plain
from googlenet_edge.errors import EngineError, GoogLeNetEdgeError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "SCHEMA_VERSION",
    "BuildFacts",
    "DamagedSidecarError",
    "GoldenCheck",
    "Sidecar",
    "decode_sidecar",
    "encode_sidecar",
    "key_sha256",
    "read_sidecar",
]

SCHEMA_VERSION: Final = 1

# A sidecar has two kilobytes; a limit keeps a wrong file from filling the memory.
_LIMIT_BYTES: Final = 1 << 20


class DamagedSidecarError(EngineError):
    """A sidecar that was cut short or altered, and not just one of another version."""


@dataclass(frozen=True)
class BuildFacts:
    """How a plan came to be."""

    seconds: float
    created: str
    """UTC, as in ``"2026-11-22T15:04:05.678901Z"``: of two, the later one sorts last."""
    version: str
    """Of googlenet_edge."""
    fallback: tuple[str, ...] = ()
    """Layers that were meant for the DLA and run on the GPU."""


@dataclass(frozen=True)
class GoldenCheck:
    """All golden frames of the bundle were run through the engine on this device; how that ended."""

    device_name: str
    compute_capability: str
    driver_version: str
    tensorrt_version: str
    """The one that ran it: of a version compatible engine not always the one that built it."""
    frames: int
    passed: bool
    detail: str
    """The largest difference of a probability, or the message of the failure."""
    date: str
    """UTC, as ``BuildFacts.created``."""

    def is_about(self, other: GoldenCheck) -> bool:
        """Say whether both speak of the same device, driver and TensorRT."""
        names = ("device_name", "compute_capability", "driver_version", "tensorrt_version")
        return all(getattr(self, name) == getattr(other, name) for name in names)


@dataclass(frozen=True)
class Sidecar:
    """All that the file says."""

    key: EngineKey
    plan_sha256: str
    plan_size_bytes: int
    facts: BuildFacts
    checks: tuple[GoldenCheck, ...] = ()


@dataclass(frozen=True)
class _Key:
    """As :class:`EngineKey`, with types that can be looked up at run time."""

    onnx_sha256: str
    flavour: str
    tensorrt_version: str
    compute_capability: str
    device_name: str
    options: BuildOptions
    recipe: int


@dataclass(frozen=True)
class _Document:
    schema_version: int
    key: _Key
    key_sha256: str
    plan_sha256: str
    plan_size_bytes: int
    facts: BuildFacts
    checks: tuple[GoldenCheck, ...]
    sidecar_sha256: str
    """Of this document, written compactly and in the order of the names, without this field."""


def key_sha256(key: EngineKey) -> str:
    """Return what identifies a key: the sha256 of all its fields and options, defaults included."""
    return _digest(asdict(key))


def encode_sidecar(sidecar: Sidecar) -> bytes:
    """Return the file's bytes: indented JSON with a hash of its own."""
    document: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        **asdict(sidecar),
        "key_sha256": key_sha256(sidecar.key),
    }
    document["sidecar_sha256"] = _digest(document)
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar file; OSError if it cannot be read, else as :func:`decode_sidecar`."""
    data = read_plain(path, _LIMIT_BYTES + 1)
    if len(data) > _LIMIT_BYTES:
        raise DamagedSidecarError("it is damaged: got more than 1 MiB")
    return decode_sidecar(data)


def decode_sidecar(data: bytes) -> Sidecar:
    """Read what :func:`encode_sidecar` wrote.

    Raises :class:`EngineError`, saying what is wrong, for text that is no JSON, another schema version, a document that
    does not fit its own hash, and a key that this version of the package would write in another way.
    """
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DamagedSidecarError(f"it is damaged: {len(data)} bytes that are no JSON ({error})") from error
    if not isinstance(document, dict) or type(version := document.get("schema_version")) is not int:
        raise DamagedSidecarError("it is damaged: got no integer schema_version")
    if version != SCHEMA_VERSION:
        raise EngineError(f"it is of schema version {version}, expected {SCHEMA_VERSION}")
    stated = document.pop("sidecar_sha256", None)
    if stated != _digest(document):
        raise DamagedSidecarError("it is damaged: its contents do not fit its own sha256")
    try:
        read = msgspec.convert({**document, "sidecar_sha256": stated}, _Document)
        key = EngineKey(**{field.name: getattr(read.key, field.name) for field in fields(EngineKey)})
    except (msgspec.ValidationError, GoogLeNetEdgeError, TypeError) as error:
        raise EngineError(f"it is of another version of googlenet_edge: {error}") from error
    # An option that one of two versions does not know gets lost, or its default, in reading: then the hashes differ.
    if read.key_sha256 != key_sha256(key):
        raise EngineError("it is of another version of googlenet_edge, whose engines have other options")
    return Sidecar(key, read.plan_sha256, read.plan_size_bytes, read.facts, read.checks)


def _digest(document: Mapping[str, object]) -> str:
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()
