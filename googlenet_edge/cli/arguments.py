"""Types and checks of arguments that several verbs have."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet_edge.errors import UsageError

if TYPE_CHECKING:
    from googlenet_edge.engine.flavour import FlavourName

__all__ = ["FLAVOURS", "check_outside", "flavour_name", "path_argument", "whole_number"]

FLAVOURS: Mapping[str, FlavourName | None] = {"auto": None, "tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""What ``--flavour`` takes; None: the one that there is."""

_MOST = 2**31 - 1


def whole_number(least: int, most: int = _MOST) -> Callable[[str], int]:
    """Return a type for argparse: whole numbers from ``least`` to ``most``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from {least} to {most}")
        return value

    return parse


def path_argument(text: str) -> Path:
    """A type for argparse: a path that is not empty. ``Path("")`` is the current folder, which nobody meant."""
    if not text:
        raise argparse.ArgumentTypeError("got '', expected a path; an unset variable in a script?")
    return Path(text)


def flavour_name(flavour: str, targets: Sequence[str], dla: int | None = None) -> FlavourName | None:
    """Return which TensorRT shall build: targets are TensorRT-RTX's, and a DLA is TensorRT's, whatever is installed."""
    name = FLAVOURS[flavour]
    if name is None and targets:
        return "tensorrt_rtx"
    if name is None and dla is not None:
        return "tensorrt"
    return name


def check_outside(bundle: Path, places: Mapping[str, Path | None]) -> None:
    """Raise :class:`UsageError` if something is to be written at or inside a bundle, which would not open any more.

    ``places`` are paths by the options that they were given to; None is passed over. Links are followed.
    """
    # realpath() does not raise for a loop of links, which resolve() does.
    folder = Path(os.path.realpath(bundle))
    for option, path in places.items():
        if path is None:
            continue
        place = Path(os.path.realpath(path))
        if place == folder or folder in place.parents:
            raise UsageError(f"{option}: got {path}, which is inside the bundle; expected a place outside of it")
