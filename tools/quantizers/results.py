"""What is known of each peer at each number of images: kept in files, so that a run goes on where another ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from googlenet_edge.atomic import atomic_file

from .evaluator import Score
from .inspection import Inspection

__all__ = ["Build", "Calibrated", "Result", "key_of", "load_result", "rank", "save_json", "save_result"]


@dataclass(frozen=True)
class Calibrated:
    """How the tool's own process went."""

    status: str
    """``ok``, ``error``, ``out of memory``, ``out of time`` or ``not installed``."""
    error: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    """``total``: calibration and quantization, without imports; ``table``: until all thresholds are known."""
    wall_seconds: float | None = None
    """From the start of the process to its end."""
    peak_bytes: int | None = None
    """Largest resident memory."""
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    model_sha256: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class Build:
    """What TensorRT-RTX made of the graph."""

    parsed: bool
    built: bool
    error: str | None
    target: str
    batches: tuple[int, ...]
    versions: Mapping[str, str]
    seconds: float | None = None
    plan_bytes: int | None = None
    warnings: Mapping[str, int] = field(default_factory=dict)
    """What the parser warned of, and how often."""


@dataclass(frozen=True)
class Result:
    """One peer at one number of images."""

    peer: str
    images: int
    note: str
    options: Mapping[str, Any]
    calibrated: Calibrated
    fault: str | None = None
    """Why its graph could not be judged."""
    inspection: Inspection | None = None
    score: Score | None = None
    build: Build | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    """Of each part, a hash over all that it depends on."""
    ranked: bool = True
    """Whether it competes; ours with an option left out does not."""

    @property
    def problem(self) -> str | None:
        """Why the result has no rank; None if it has one."""
        if self.calibrated.status != "ok":
            return self.calibrated.status
        if self.fault or self.inspection is None or self.score is None:
            return self.fault or "not judged"
        if self.inspection.faults:
            return "; ".join(self.inspection.faults)
        if self.score.sqnr_db is None:
            return "equal to the float32 graph"
        return self.build.error if self.build else None


def rank(results: Iterable[Result]) -> dict[str, int]:
    """Return the place of each peer by SQNR, best first, among results of one size that TensorRT accepts."""
    ranked = [result for result in results if result.ranked and result.problem is None]
    ranked.sort(key=lambda result: -result.score.sqnr_db if result.score and result.score.sqnr_db is not None else 0)
    return {result.peer: place for place, result in enumerate(ranked, 1)}


def key_of(**parts: Any) -> str:
    """Return a hash over everything that a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def save_result(result: Result, path: Path) -> None:
    """Write a result."""
    save_json(asdict(result), path)


def load_result(path: Path) -> Result | None:
    """Read a result; None if there is none, or one of another version of this tool."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError):
        return None


def save_json(content: Any, path: Path) -> None:
    """Write a JSON file whole or not at all."""
    with atomic_file(path, what="results") as file:
        file.write(json.dumps(content, indent=1, allow_nan=False).encode() + b"\n")
