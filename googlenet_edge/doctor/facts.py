"""What the doctor finds, as plain data: the types of its report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

__all__ = [
    "Board",
    "Camera",
    "CudaDevice",
    "CudaDriver",
    "Diagnosis",
    "Feature",
    "GStreamer",
    "Need",
    "Package",
    "PythonInstall",
    "Resources",
]


@dataclass(frozen=True)
class PythonInstall:
    """The Python that runs."""

    version: tuple[int, int, int]
    executable: str
    prefix: str
    base_prefix: str
    """Differs from ``prefix`` in a virtual environment."""
    system_site_packages: bool | None = None
    """Whether the virtual environment also sees the system's packages; None outside of one."""

    @property
    def in_venv(self) -> bool:
        """Whether this is a virtual environment."""
        return self.prefix != self.base_prefix


@dataclass(frozen=True)
class Package:
    """An importable package, as a process of its own found it."""

    name: str
    installed: bool
    version: str | None = None
    path: str | None = None
    error: str | None = None
    """What the import raised, or how the process ended; None if it works or is not installed."""
    details: dict[str, object] = field(default_factory=dict)
    distributions: dict[str, str] = field(default_factory=dict)
    """Name and version of each pip distribution that brings it; none if it came from the system's package manager."""
    hidden: str | None = None
    """A folder of the system's Python that has it, where this Python does not look."""

    @property
    def works(self) -> bool:
        """Installed, and the import succeeded."""
        return self.installed and self.error is None


@dataclass(frozen=True)
class CudaDevice:
    """A GPU, as the CUDA driver describes it."""

    name: str
    compute_capability: str
    memory_bytes: int


@dataclass(frozen=True)
class CudaDriver:
    """The CUDA driver, libcuda."""

    version: str | None
    """The newest CUDA that it serves, for example "12.6"; None if there is no driver."""
    devices: tuple[CudaDevice, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Board:
    """The machine: what it is and how it is clocked. What cannot be read is None."""

    cpu: str
    architecture: str
    system: str
    """The operating system's own name, for example "Ubuntu 22.04.5 LTS"."""
    in_container: bool = False
    nvidia_gpu_on_pci: bool | None = None
    """Whether the PCI bus has a device of NVIDIA's; a Jetson's GPU is not on it."""
    model: str | None = None
    """The board's name from its device tree."""
    is_jetson: bool = False
    l4t: str | None = None
    """Release of Linux for Tegra, for example "36.4.3"."""
    jetpack: str | None = None
    power_mode: str | None = None
    """``nvpmodel``'s present mode, for example "MAXN (0)"."""
    fastest_mode: int | None = None
    """The number of the MAXN mode, which differs from board to board."""
    clocks: str | None = None
    """Range or fixed value of the CPU clock, and its governor."""
    clocks_locked: bool | None = None
    """Whether every CPU core's lowest clock is its highest, as ``jetson_clocks`` sets it."""


@dataclass(frozen=True)
class Resources:
    """Room to work in, in bytes. What cannot be read is None."""

    memory_total_bytes: int | None
    memory_available_bytes: int | None
    disk_free_bytes: int | None
    """Of the file system with the present folder."""


@dataclass(frozen=True)
class Camera:
    """A video device."""

    device: str
    name: str | None
    readable: bool


@dataclass(frozen=True)
class GStreamer:
    """GStreamer's programs and elements, which pipelines and CSI cameras run on."""

    launch: str | None = None
    """Where gst-launch-1.0 is; None if it is not installed."""
    elements: dict[str, bool | None] = field(default_factory=dict)
    """Whether an element is there, by its name; None where gst-inspect-1.0, which would tell, is missing."""


@dataclass(frozen=True)
class Need:
    """One thing that a feature lacks on this machine, and how to mend it."""

    what: str
    remedy: str


@dataclass(frozen=True)
class Feature:
    """Something that the package can do, and what it lacks here."""

    name: str
    """What ``--require`` takes."""
    title: str
    missing: tuple[Need, ...]

    @property
    def ready(self) -> bool:
        """Nothing is missing."""
        return not self.missing


@dataclass(frozen=True)
class Diagnosis:
    """All that the doctor found."""

    package_version: str
    python: PythonInstall
    packages: dict[str, Package]
    cuda: CudaDriver
    board: Board
    resources: Resources
    cameras: tuple[Camera, ...]
    gstreamer: GStreamer = GStreamer()
    features: tuple[Feature, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return everything as JSON values."""
        document = asdict(self)
        for feature, entry in zip(self.features, document["features"], strict=True):
            entry["ready"] = feature.ready
        return {"schema_version": 1, **document}
