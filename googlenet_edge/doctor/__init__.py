"""What this machine has, what is missing for which feature, and the command that mends it.

Packages are imported by processes of their own (:mod:`~googlenet_edge.doctor.child`): one that is broken, whatever it
does, is a finding and no failure.
"""

from __future__ import annotations

from dataclasses import replace

from googlenet_edge import __version__
from googlenet_edge.doctor.board import read_board, read_cameras, read_resources
from googlenet_edge.doctor.facts import Diagnosis
from googlenet_edge.doctor.features import FEATURES, judge
from googlenet_edge.doctor.machine import Machine
from googlenet_edge.doctor.software import read_cuda, read_gstreamer, read_packages, read_python

__all__ = ["FEATURES", "Diagnosis", "Machine", "examine"]


def examine(machine: Machine | None = None) -> Diagnosis:
    """Examine a machine, by default the present one: a few seconds, most of them torch's import."""
    machine = machine or Machine()
    diagnosis = Diagnosis(
        package_version=__version__,
        python=read_python(machine),
        packages=read_packages(machine),
        cuda=read_cuda(machine),
        board=read_board(machine),
        resources=read_resources(machine),
        cameras=read_cameras(machine),
        gstreamer=read_gstreamer(machine),
    )
    return replace(diagnosis, features=judge(diagnosis))
