"""The power rails of NVIDIA's boards: what each includes, and which ones add up to the board's power.

Names and meanings are those of NVIDIA's Jetson Linux Developer Guide, "Platform Power and Performance" of each board.
Where the board measures its input, that is the total, and the other rails are parts of it. AGX Orin and AGX Xavier
measure no input: the total is the sum of the rails, without what the carrier board draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from googlenet_edge.latency.watch.sensors.rail import Rail

__all__ = ["INPUTS", "board_rails"]

INPUTS: Final = {
    "VIN": "whole board at its input, carrier board included (Thor)",
    "VDD_IN": "whole module at its input; without the carrier board",
    "POM_5V_IN": "whole module at its input; without the carrier board",
}
"""Rails that include all others of their board; the first that a board has is its total."""

_PARTS: Final = {
    "VDD_CPU_GPU_CV": "CPU, GPU, DLA and vision accelerator",
    "VDD_SOC": "the chip without CPU, GPU and accelerators",
    "VDD_GPU_SOC": "GPU and the rest of the chip",
    "VDD_CPU_CV": "CPU, DLA and vision accelerator",
    "VDD_GPU": "GPU",
    "VDD_CPU_SOC_MSS": "CPU, the rest of the chip and its memory subsystem",
    "VIN_SYS_5V0": "module's 5 V input",
    "GPU": "GPU",
    "CPU": "CPU",
    "SOC": "the rest of the chip",
    "CV": "DLA and vision accelerator",
    "VDDRQ": "memory",
    "SYS5V": "module's 5 V input",
    "POM_5V_CPU": "CPU",
    "POM_5V_GPU": "GPU",
}
_WITHIN_OTHERS: Final = {"VDDQ_VDD2_1V8AO": "memory; fed by the module's 5 V input"}
_UNUSED: Final = {"NC", "NC1", "NC2"}


def board_rails(names: Sequence[str], meters: Sequence[str]) -> list[Rail]:
    """Return the rails of one board, as powers. ``meters`` says what measures each name."""
    total = next((name for name in INPUTS if name in names), None)
    rails = []
    for name, meter in zip(names, meters, strict=True):
        within = name in _WITHIN_OTHERS or name in _UNUSED
        counted = name == total if total is not None else not within
        covers = INPUTS.get(name) or _PARTS.get(name) or _WITHIN_OTHERS.get(name) or "rail of the board"
        rails.append(Rail(name, meter, "power", covers, counted))
    return rails
