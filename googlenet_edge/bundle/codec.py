"""The manifest as JSON: human readable, and read strictly.

The JSON has the names and the nesting of the dataclasses of ``manifest.py``. One thing that JSON cannot say: an
infinite SQNR (two results that are equal) is written as ``null``.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from googlenet_edge.bundle.manifest import SCHEMA_VERSION, Manifest
from googlenet_edge.errors import BundleError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["decode_manifest", "encode_manifest", "listed_files"]

# Short facts first, long lists last: so a person who opens the file reads the interesting part on the first screen.
_ORDER = (
    "schema_version", "name", "form", "precision", "created", "graph", "golden", "files", "crop", "input", "outputs",
    "normalization", "accuracy", "comparison", "lineage", "steps", "tools", "labels", "nodes",
)  # fmt: skip


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON, checked to read back.

    Raises :class:`InputError` for a field of the wrong type, a NaN, or an infinity other than that of an SQNR.
    """
    try:
        fields: dict[str, Any] = msgspec.to_builtins(manifest, enc_hook=_plain_number)
        for entry in _with_sqnr(fields):
            sqnr_db = entry["sqnr_db"]
            if not sqnr_db > -math.inf:  # NaN compares false
                raise InputError(f"manifest: got an SQNR of {sqnr_db} dB, expected a number above -inf")
            if sqnr_db == math.inf:
                entry["sqnr_db"] = None
        text = msgspec.json.encode({key: fields[key] for key in _ORDER})
        _convert(msgspec.json.decode(text))
    except (msgspec.ValidationError, TypeError) as error:
        raise InputError(
            f"manifest: {error}; every field must be of its declared type, and floats finite (NaN and inf become null)"
        ) from error
    return msgspec.json.format(text, indent=2) + b"\n"


def decode_manifest(data: bytes, source: str) -> Manifest:
    """Read what :func:`encode_manifest` wrote. ``source`` names the file in messages.

    Raises :class:`BundleError` for text that is no JSON, another schema version, and missing, unknown or wrong fields.
    """
    try:
        fields = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BundleError(f"{source}: got {len(data)} bytes that are no JSON ({error}); {_COPY_AGAIN}") from error
    if not isinstance(fields, dict) or type(fields.get("schema_version")) is not int:
        raise BundleError(f"{source}: got no integer schema_version, expected {SCHEMA_VERSION}; is this a bundle's?")
    _check_version(fields, source)
    try:
        manifest = _convert(fields)
        # Not msgspec.to_builtins: that leaves out the fields that got their default, and these must be found missing.
        difference = _difference(fields, asdict(manifest), "$")
    except (msgspec.ValidationError, RecursionError) as error:
        raise BundleError(f"{source}: {error}; {_COPY_AGAIN}") from error
    if difference:
        raise BundleError(
            f"{source}: {difference}, expected exactly those of schema version {SCHEMA_VERSION}; {_COPY_AGAIN}"
        )
    return manifest


def listed_files(data: bytes, source: str) -> set[str]:
    """Return the names of the files that a manifest lists, also one of another schema version, which may be replaced.

    Raises :class:`BundleError` for what is no manifest at all.
    """
    try:
        fields = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        fields = None
    if isinstance(fields, dict) and type(fields.get("schema_version")) is int:
        names = {str(record.get("name")) for record in _items(fields.get("files"))}
        if fields["schema_version"] != SCHEMA_VERSION and names:
            return names
    return {record.name for record in decode_manifest(data, source).files}


_COPY_AGAIN = "copy the bundle again, or make it again with `googlenet-edge deploy`"


def _check_version(fields: dict[str, Any], source: str) -> None:
    got = fields["schema_version"]
    if got == SCHEMA_VERSION:
        return
    tools = fields.get("tools")
    maker = tools.get("googlenet_edge", "unknown") if isinstance(tools, dict) else "unknown"
    age, remedy = (
        ("a newer", "upgrade it here: pip install --upgrade googlenet-edge")
        if got > SCHEMA_VERSION
        else ("an older", "make the bundle again with `googlenet-edge deploy`")
    )
    raise BundleError(
        f"{source}: got schema_version {got}, made by {age} googlenet_edge ({maker}); "
        f"this one reads {SCHEMA_VERSION}; {remedy}"
    )


def _convert(fields: dict[str, Any]) -> Manifest:
    for entry in _with_sqnr(fields):
        if entry.get("sqnr_db", 0.0) is None:
            entry["sqnr_db"] = math.inf
    return msgspec.convert(fields, Manifest)


def _plain_number(value: object) -> object:
    """Let numpy's scalars through as the Python numbers that they stand for."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"got {value!r} of type {type(value).__name__}, expected what JSON can hold")


def _with_sqnr(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every part with an SQNR of fields that may have any shape: what is wrong is found by the conversion."""
    for step in _items(fields.get("steps")):
        yield from _items(step.get("agreements"))
    comparison = fields.get("comparison")
    if isinstance(comparison, dict):
        yield from _items(comparison.get("rows"))


def _items(value: object) -> Iterator[dict[str, Any]]:
    """Yield the dictionaries of a list; nothing of anything else."""
    return (item for item in (value if isinstance(value, list | tuple) else ()) if isinstance(item, dict))


def _difference(value: Any, known: Any, path: str) -> str | None:
    """Say which field of nested dicts and lists is in only one of the two, which else are of the same nesting."""
    if isinstance(value, dict):
        for key in value.keys() ^ known.keys():
            return f"got the field {path}.{key}" if key in value else f"got no field {path}.{key}"
        pairs = [(f"{path}.{key}", item, known[key]) for key, item in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{path}[{i}]", *pair) for i, pair in enumerate(zip(value, known, strict=True))]
    else:
        return None
    found = (_difference(item, expected, where) for where, item, expected in pairs)
    return next(filter(None, found), None)
