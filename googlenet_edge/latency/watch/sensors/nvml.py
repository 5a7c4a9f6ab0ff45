"""NVIDIA's management library, through its own Python package ``nvidia-ml-py``, which is optional.

Source: https://docs.nvidia.com/deploy/nvml-api: ``nvmlDeviceGetTotalEnergyConsumption`` counts millijoules since the
driver was loaded (Volta and newer); ``nvmlDeviceGetPowerUsage`` is in milliwatts, averaged over a second on most GPUs
since Ampere; both are of the whole board with its memory. On a Jetson NVML reports no power: the board's own sensors
do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, cast

from googlenet_edge.latency.watch.sensors.gpu import Gpu
from googlenet_edge.latency.watch.sensors.rail import Channel, Look, Rail, Unreadable

__all__ = ["Nvml", "NvmlMeter", "NvmlProbe", "open_nvml", "throttle_names"]

_THROTTLES = {
    0x4: "power limit",
    0x8: "hardware slowdown: heat or power",
    0x20: "heat (driver)",
    0x40: "heat (hardware)",
    0x80: "power brake of the supply",
    0x10: "clocks of several GPUs kept alike",
    0x200: "limit of the board",
    0x400: "limit for reliability",
}
"""Bits of nvmlClocksEventReasons that mean slower than asked for. Idle (0x1), clocks set by someone (0x2) and display
settings (0x100) do not."""
_REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
"""Drivers and packages before 535 know the function by the second name only."""
_DRIVER = ("sys/module/nvidia", "proc/driver/nvidia", "dev/nvidiactl", "dev/dxg")
"""Any of these shows one; the last in the Windows Subsystem for Linux."""
_SM, _MEMORY, _TEMPERATURE = 1, 2, 0  # NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU


class _Library(Protocol):
    """What is used of pynvml, which has no types. Handles are opaque."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: N802
    def nvmlShutdown(self) -> None: ...  # noqa: N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802
    def nvmlDeviceGetHandleByIndex(self, index: int) -> object: ...  # noqa: N802
    def nvmlDeviceGetName(self, handle: object) -> str | bytes: ...  # noqa: N802
    def nvmlDeviceGetPowerUsage(self, handle: object) -> int: ...  # noqa: N802
    def nvmlDeviceGetEnforcedPowerLimit(self, handle: object) -> int: ...  # noqa: N802
    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int: ...  # noqa: N802
    def nvmlDeviceGetTemperature(self, handle: object, sensor: int) -> int: ...  # noqa: N802
    def nvmlDeviceGetClockInfo(self, handle: object, clock: int) -> int: ...  # noqa: N802
    def nvmlDeviceGetMaxClockInfo(self, handle: object, clock: int) -> int: ...  # noqa: N802


class Nvml:
    """The library, opened; whoever opened it closes it, after the meter and the probe that use it."""

    def __init__(self, library: _Library) -> None:
        self._library = library
        self._reasons: list[Callable[..., int]] = [
            function for name in _REASONS if (function := getattr(library, name, None)) is not None
        ]
        self._handles: list[object] = []
        library.nvmlInit()
        try:
            count = library.nvmlDeviceGetCount()
            self._handles = [library.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            self._names = [_text(library.nvmlDeviceGetName(handle)) for handle in self._handles]
        except BaseException:
            library.nvmlShutdown()
            raise

    def close(self) -> None:
        """Shut the library down."""
        self._ask(self._library.nvmlShutdown)

    @property
    def names(self) -> list[str]:
        """The GPUs' names, as nvidia-smi lists them; several of one kind are numbered."""
        if len(self._names) == 1:
            return list(self._names)
        return [f"{name} #{index}" for index, name in enumerate(self._names)]

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the state of every GPU."""
        library = self._library
        states = []
        for name, handle in zip(self.names, self._handles, strict=True):
            power = self.power_mw(handle)
            limit = self._ask(library.nvmlDeviceGetEnforcedPowerLimit, handle)
            states.append(
                Gpu(
                    name=name,
                    source="nvml",
                    current_mhz=_number(self._ask(library.nvmlDeviceGetClockInfo, handle, _SM)),
                    highest_mhz=_number(self._ask(library.nvmlDeviceGetMaxClockInfo, handle, _SM)),
                    memory_mhz=_number(self._ask(library.nvmlDeviceGetClockInfo, handle, _MEMORY)),
                    celsius=_number(self._ask(library.nvmlDeviceGetTemperature, handle, _TEMPERATURE)),
                    power_w=None if power is None else power / 1000,
                    power_limit_w=None if limit is None else limit / 1000,
                    throttles=tuple(self.throttles(handle)),
                )
            )
        return tuple(states)

    def clock_mhz(self, handle: object) -> float | None:
        """Return the clock of the part that computes."""
        return _number(self._ask(self._library.nvmlDeviceGetClockInfo, handle, _SM))

    def celsius(self, handle: object) -> float | None:
        """Return the GPU's temperature."""
        return _number(self._ask(self._library.nvmlDeviceGetTemperature, handle, _TEMPERATURE))

    def power_mw(self, handle: object) -> int | None:
        """Return the board's power in milliwatts."""
        return self._ask(self._library.nvmlDeviceGetPowerUsage, handle)

    def energy_mj(self, handle: object) -> int | None:
        """Return the board's energy since the driver was loaded, in millijoules."""
        return self._ask(self._library.nvmlDeviceGetTotalEnergyConsumption, handle)

    def throttles(self, handle: object) -> list[str]:
        """Return what slows the GPU down now."""
        for function in self._reasons:
            reasons = self._ask(function, handle)
            if reasons is not None:
                return throttle_names(reasons)
        return []

    @property
    def handles(self) -> Sequence[object]:
        """One a GPU, in the order of ``names``."""
        return self._handles

    def _ask(self, function: Callable[..., int | None], *arguments: object) -> int | None:
        """Call a function of the library; None where this GPU or driver does not support it, or just now fails."""
        try:
            return function(*arguments)
        except self._library.NVMLError:
            return None


class NvmlMeter:
    """Energy of the GPUs' boards; see :class:`~googlenet_edge.latency.watch.sensors.rail.Meter`."""

    def __init__(self, nvml: Nvml) -> None:
        """Raises nothing; ``rails`` is empty where NVML reports neither energy nor power."""
        self._nvml = nvml
        self._sources: list[tuple[object, bool]] = []
        rails = []
        for name, handle in zip(nvml.names, nvml.handles, strict=True):
            counts = nvml.energy_mj(handle) is not None
            if counts or nvml.power_mw(handle) is not None:
                self._sources.append((handle, counts))
                rails.append(
                    Rail(name, "nvml", "energy" if counts else "power", "graphics board with its memory", True)
                )
        self.rails: Sequence[Rail] = rails

    def read(self) -> list[int | None]:
        """Return microjoules, or microwatts where the GPU has no counter."""
        values = [
            self._nvml.energy_mj(handle) if counts else self._nvml.power_mw(handle) for handle, counts in self._sources
        ]
        return [None if value is None else 1000 * value for value in values]

    def close(self) -> None:
        """Do nothing: the library is closed by whoever opened it."""


class NvmlProbe:
    """Follows clocks and temperatures of the GPUs, and what slows them down."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._sources: list[tuple[Callable[[object], float | None], object]] = []
        channels: list[Channel] = []
        for name, handle in zip(nvml.names, nvml.handles, strict=True):
            asked: tuple[tuple[Callable[[object], float | None], Channel], ...] = (
                (nvml.clock_mhz, Channel(name, "MHz")),
                (nvml.celsius, Channel(name, "C")),
            )
            for function, channel in asked:
                if function(handle) is not None:  # a Jetson's NVML knows little
                    self._sources.append((function, handle))
                    channels.append(channel)
        self.channels: Sequence[Channel] = channels

    def look(self) -> Look:
        """Look once."""
        causes = [f"GPU: {cause}" for handle in self._nvml.handles for cause in self._nvml.throttles(handle)]
        return Look([function(handle) for function, handle in self._sources], list(dict.fromkeys(causes)))

    def close(self) -> None:
        """Do nothing: the library is closed by whoever opened it."""


def open_nvml(root: Path = Path("/")) -> Nvml | Unreadable:
    """Return the library with at least one GPU, or why it cannot be used. ``root`` is where /proc and /sys are."""
    try:
        library = cast(_Library, importlib.import_module("pynvml"))
    except ImportError:
        if not any((root / where).exists() for where in _DRIVER):
            return Unreadable("nvml", "no driver of NVIDIA's is loaded")
        return Unreadable("nvml", "the package nvidia-ml-py is not installed: pip install nvidia-ml-py")
    try:
        nvml = Nvml(library)
    except (library.NVMLError, OSError) as error:
        return Unreadable("nvml", f"NVIDIA's driver does not answer: {error}")
    if not nvml.handles:
        nvml.close()
        return Unreadable("nvml", "NVIDIA's driver reports no GPU")
    return nvml


def throttle_names(reasons: int) -> list[str]:
    """Return what the bits of nvmlClocksEventReasons mean, without those that slow nothing down."""
    return [name for bit, name in _THROTTLES.items() if reasons & bit]


def _number(value: int | None) -> float | None:
    return None if value is None else float(value)


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
