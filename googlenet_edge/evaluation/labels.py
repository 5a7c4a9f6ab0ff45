"""Finds the class that a folder's name or a row of a CSV file means."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING

from googlenet_edge.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ClassFinder"]


class ClassFinder:
    """Looks class ids up by label, or else by number.

    A label wins over a number, so that a class that is called "30" is found by its name. Numbers may be padded with
    zeros, as folders that sort well are.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._ids = {label: class_id for class_id, label in enumerate(self._labels)}
        self._repeated = {label for label, count in Counter(self._labels).items() if count > 1}

    def find(self, name: str) -> int:
        """Return the class id of a label or a number; DatasetError names the nearest label."""
        if name in self._repeated:
            ids = [str(class_id) for class_id, label in enumerate(self._labels) if label == name]
            raise DatasetError(f"label {name!r} belongs to classes {', '.join(ids)}: write the class id instead")
        if name in self._ids:
            return self._ids[name]
        if name.isascii() and name.isdigit():
            # A number with thousands of digits is no class id, and int() refuses it.
            class_id = int(name) if len(name) < 10 else len(self._labels)
            if class_id < len(self._labels):
                return class_id
            raise DatasetError(f"class id {_shorten(name)}: expected 0 to {len(self._labels) - 1}")
        raise DatasetError(f"unknown label {_shorten(name)!r}: {self._advice(name)}")

    def _advice(self, name: str) -> str:
        # By lower case, so that "Stop_Sign" finds "stop sign".
        by_lower = {label.lower(): label for label in self._labels}
        nearest = difflib.get_close_matches(name.lower()[:200], by_lower, n=1, cutoff=0.5)
        expected = f"expected one of the bundle's {len(self._labels)} labels or a class id"
        return f"did you mean {by_lower[nearest[0]]!r}? {expected}" if nearest else expected


def _shorten(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:57]}..."
