"""Which TensorRT there is, and what differs between ``tensorrt`` and ``tensorrt_rtx``: the only place that knows.

Each difference names the version that it was read from: RTX 1.7.1 was run; the names of 10.3.0 and 11.4.0 were read
from the strings of their bindings; the rest is from NVIDIA's release notes.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from googlenet_edge.engine.host import ROOT, is_jetson
from googlenet_edge.engine.import_failure import explain_import, no_builder
from googlenet_edge.engine.library_version import exact_version
from googlenet_edge.errors import EngineError, GoogLeNetEdgeError

if TYPE_CHECKING:
    from googlenet_edge.engine.api import TensorRT

__all__ = ["DlaSupport", "Flavour", "FlavourName", "load_flavour"]

logger = logging.getLogger(__name__)

FlavourName: TypeAlias = Literal["tensorrt", "tensorrt_rtx"]

DlaSupport: TypeAlias = Literal["calibration cache", "strongly typed", "none"]
"""How INT8 reaches a DLA: by a calibration cache in a weakly typed build, by Q/DQ pairs as everywhere, or never."""

ONLY_IN: Final[Mapping[str, FlavourName]] = {
    "ComputeCapability": "tensorrt_rtx",
    "num_compute_capabilities": "tensorrt_rtx",
    "set_compute_capability": "tensorrt_rtx",
    "create_runtime_config": "tensorrt_rtx",  # 11.4 has it too, 10.3 not
    "CudaGraphStrategy": "tensorrt_rtx",
    "WHOLE_GRAPH_CAPTURE": "tensorrt_rtx",
    "cuda_graph_strategy": "tensorrt_rtx",
    "create_runtime_cache": "tensorrt_rtx",
    "set_runtime_cache": "tensorrt_rtx",
    "DISABLED": "tensorrt_rtx",
    "deserialize": "tensorrt_rtx",
}
"""Names of the interface that we use and only one flavour has: read from RTX 1.7.1, and from 10.3.0 and 11.4.0."""

OLDEST: Final[Mapping[FlavourName, tuple[int, ...]]] = {"tensorrt": (10, 3), "tensorrt_rtx": (1,)}

LAST_WITH_CALIBRATED_DLA = (10, 7)
"""Release notes: 10.7 was the last 10.x with DLA."""
FIRST_WITH_TYPED_DLA = (11, 4, 1)
"""Release notes: 11.4.1 brings it back on AGX Orin, strongly typed."""


@dataclass(frozen=True)
class Flavour:
    """A TensorRT that was imported."""

    name: FlavourName
    version: str
    """The exact version, for example ``"10.3.0.30"``: a plan fits this one only."""
    api: TensorRT

    @property
    def title(self) -> str:
        """For people: ``"TensorRT 10.3.0.30"``."""
        return f"{_TITLES[self.name]} {self.version}"

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version as numbers: (10, 3, 0, 30)."""
        return version_numbers(self.version)

    @property
    def is_rtx(self) -> bool:
        """Whether this is TensorRT-RTX."""
        return self.name == "tensorrt_rtx"

    @property
    def network_flags(self) -> int:
        """What ``create_network`` takes for a strongly typed network.

        10.3 has to be asked for one. RTX 1.7.1 takes the flag and makes the same engine without it. 11.0 knows no other
        kind of network; 11.4 still has the flag, deprecated.
        """
        if self.name == "tensorrt" and self.numbers >= (11,):
            return 0
        return 1 << int(self.api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    @property
    def has_targets(self) -> bool:
        """Whether GPUs that are not in this machine can be built for: RTX 1.7.1 only; 10.3 and 11.4 lack the names."""
        return self.is_rtx

    @property
    def has_timing_cache(self) -> bool:
        """Whether timings of tactics can be kept. RTX 1.7.1 times nothing: its calls warn that they do nothing."""
        return not self.is_rtx

    @property
    def dla(self) -> DlaSupport:
        """How this version brings INT8 to a DLA."""
        if self.is_rtx:
            return "none"
        if self.numbers[:2] <= LAST_WITH_CALIBRATED_DLA:
            return "calibration cache"
        return "strongly typed" if self.numbers[:3] >= FIRST_WITH_TYPED_DLA else "none"

    @property
    def has_version_compatibility(self) -> bool:
        """Whether plans for newer versions can be made: RTX 1.7.1 fails for want of a library that it does not have."""
        return not self.is_rtx

    def has_hardware_compatibility(self, root: Path = ROOT) -> bool:
        """Whether plans for every GPU from Ampere on can be made: RTX 1.7.1 ignores the level, JetPack has none."""
        return not self.is_rtx and not is_jetson(root)


_TITLES: dict[FlavourName, str] = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}


def load_flavour(name: FlavourName | None = None, *, root: Path = ROOT) -> Flavour:
    """Import the TensorRT of this name; None: ``tensorrt`` if it works, else ``tensorrt_rtx``.

    ``root`` is where the machine's files are looked for, in order to explain a failed import.

    Raises :class:`MissingPackageError` if it is not installed, :class:`EngineError` if it is but cannot be used: the
    message says why, and what to install.
    """
    if name is not None:
        return _load(name, root)
    try:
        return _load("tensorrt", root)
    except GoogLeNetEdgeError as error:
        first = error
    try:
        found = _load("tensorrt_rtx", root)
    except GoogLeNetEdgeError as error:
        # One that is there but broken is the news; where both are missing, the one that pip can install anywhere.
        broken = [failure for failure in (first, error) if isinstance(failure, EngineError)]
        raise (broken[0] if broken else error) from error
    if isinstance(first, EngineError):
        logger.warning("%s is used instead: %s", found.title, first)
    return found


def version_numbers(version: str) -> tuple[int, ...]:
    """Return a version's leading numbers: ``"10.3.0.30"`` -> (10, 3, 0, 30)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match.group().split("."))) if match else ()


def _load(name: FlavourName, root: Path) -> Flavour:
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a broken binary package raises whatever it likes
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error  # compiled modules make an ImportError of a Ctrl-C
        raise explain_import(name, error, root=root) from error
    # Only TensorRT itself has it: stubs and folders that an uninstall left import as well.
    if not hasattr(module, "Builder"):
        raise no_builder(name, getattr(module, "__file__", None))
    version = str(getattr(module, "__version__", "unknown"))
    if version_numbers(version) < OLDEST[name]:
        oldest = ".".join(map(str, OLDEST[name]))
        remedy = (
            "flash JetPack 6.1 or newer" if is_jetson(root) else f"pip install --upgrade '{name.replace('_', '-')}'"
        )
        raise EngineError(f"{_TITLES[name]}: got version {version}, expected {oldest} or newer; {remedy}")
    return Flavour(name, exact_version(name, version), cast("TensorRT", module))
