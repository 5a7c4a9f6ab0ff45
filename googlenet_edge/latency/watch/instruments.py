"""All that can be read of a machine's clocks, heat and power while it runs, opened together and closed together."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from googlenet_edge.latency.watch.sensors.cpu import CpuProbe
from googlenet_edge.latency.watch.sensors.hwmon import open_hwmon
from googlenet_edge.latency.watch.sensors.jetson import DevfreqProbe, is_jetson
from googlenet_edge.latency.watch.sensors.nvml import Nvml, NvmlMeter, NvmlProbe, open_nvml
from googlenet_edge.latency.watch.sensors.rail import Meter, Probe, Unreadable
from googlenet_edge.latency.watch.sensors.rapl import open_rapl
from googlenet_edge.latency.watch.sensors.tegrastats_meter import open_tegrastats
from googlenet_edge.latency.watch.sensors.thermal import ThermalProbe

__all__ = ["Instruments", "open_instruments"]


@dataclass(frozen=True)
class Instruments:
    """What was found. A context manager: it closes all. Used by one thread at a time."""

    probes: Sequence[Probe]
    meters: Sequence[Meter]
    unreadable: Sequence[Unreadable]
    """Meters that give nothing, and why."""
    root: Path = Path("/")
    nvml: Nvml | None = field(default=None, repr=False)

    def __enter__(self) -> Instruments:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close files, processes and the library."""
        with contextlib.ExitStack() as stack:
            if self.nvml is not None:
                stack.callback(self.nvml.close)  # the last one: others use it
            for probe in self.probes:
                stack.callback(probe.close)
            for meter in self.meters:
                stack.callback(meter.close)


def open_instruments(root: Path = Path("/"), *, power: bool = True) -> Instruments:
    """Open what can be read on this machine; ``power=False`` leaves the power meters out.

    A Jetson's power comes from the board's own sensors, or from tegrastats where those cannot be read as files (which
    takes up to 5 s); another machine's from the graphics boards (NVML) and the processor's counters (RAPL).
    """
    nvml = open_nvml(root)
    meters: list[Meter] = []
    unreadable: list[Unreadable] = []
    if not power:
        unreadable.append(Unreadable("all meters", "left out, as was asked for"))
    else:
        for found in _meters(root, nvml):
            if isinstance(found, Unreadable):
                unreadable.append(found)
            else:
                meters.append(found)
    probes: list[Probe] = [CpuProbe(root), DevfreqProbe(root), ThermalProbe(root)]
    if isinstance(nvml, Nvml):
        probes.append(NvmlProbe(nvml))
    return Instruments(probes, meters, unreadable, root, nvml if isinstance(nvml, Nvml) else None)


def _meters(root: Path, nvml: Nvml | Unreadable) -> list[Meter | Unreadable]:
    if is_jetson(root):
        # NVML reports no power there, and the GPU is in the board's rails in any case.
        board = open_hwmon(root)
        return [board, open_tegrastats(root)] if isinstance(board, Unreadable) else [board]
    graphics: Meter | Unreadable
    if isinstance(nvml, Unreadable):
        graphics = nvml
    else:
        graphics = NvmlMeter(nvml)
        if not graphics.rails:
            graphics = Unreadable("nvml", f"{', '.join(nvml.names)}: the driver reports neither energy nor power")
    return [graphics, open_rapl(root)]
