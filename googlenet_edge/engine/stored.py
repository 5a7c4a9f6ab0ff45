"""One engine on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from googlenet_edge.engine.key import EngineKey
from googlenet_edge.engine.plain_file import read_plain
from googlenet_edge.engine.sidecar import BuildFacts, GoldenCheck, Sidecar, read_sidecar
from googlenet_edge.errors import EngineError

__all__ = ["StoredEngine", "plan_path", "sidecar_path"]


@dataclass(frozen=True)
class StoredEngine:
    """A plan on disk whose sidecar was read."""

    path: Path
    """The plan; the sidecar has the same name with ``.json``."""
    key: EngineKey
    plan_sha256: str
    size_bytes: int
    facts: BuildFacts
    checks: tuple[GoldenCheck, ...]

    def read(self) -> bytes:
        """Return the plan. Raises :class:`EngineError` if it is not the one that was stored: cut short or altered."""
        try:
            plan = read_plain(self.path, self.size_bytes + 1)
        except OSError as error:
            raise EngineError(f"engine {str(self.path)!r}: cannot be read: {error.strerror}") from error
        if len(plan) < self.size_bytes:
            raise EngineError(
                f"engine {str(self.path)!r}: got {len(plan)} bytes, expected {self.size_bytes}: it was cut short"
            )
        if len(plan) > self.size_bytes:
            raise EngineError(f"engine {str(self.path)!r}: got more than {self.size_bytes} bytes: it was altered")
        sha256 = hashlib.sha256(plan).hexdigest()
        if sha256 != self.plan_sha256:
            raise EngineError(
                f"engine {str(self.path)!r}: got sha256 {sha256}, expected {self.plan_sha256}: it was altered"
            )
        return plan

    def check_like(self, check: GoldenCheck) -> GoldenCheck | None:
        """Return how the golden frames went on the device, driver and TensorRT of ``check``; None if not run yet."""
        return next((known for known in self.checks if known.is_about(check)), None)

    @classmethod
    def open(cls, sidecar: Path) -> StoredEngine:
        """Read this sidecar, and not yet the plan; errors as :func:`read_sidecar`."""
        return cls.of(plan_path(sidecar), read_sidecar(sidecar))

    @classmethod
    def of(cls, path: Path, sidecar: Sidecar) -> StoredEngine:
        """Return the engine of this plan file and its record."""
        return cls(path, sidecar.key, sidecar.plan_sha256, sidecar.plan_size_bytes, sidecar.facts, sidecar.checks)


def sidecar_path(plan: Path) -> Path:
    """Return where the sidecar of a plan is."""
    return plan.with_name(f"{plan.name.removesuffix('.plan')}.json")


def plan_path(sidecar: Path) -> Path:
    """Return where the plan of a sidecar is."""
    return sidecar.with_name(f"{sidecar.name.removesuffix('.json')}.plan")
