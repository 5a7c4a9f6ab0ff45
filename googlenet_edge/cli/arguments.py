"""Types and checks of arguments that several verbs have."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from googlenet_edge.errors import UsageError

__all__ = ["check_outside", "path_argument", "whole_number"]

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
