"""Documents, lines and tables as verbs write and print them at the end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.table import Table

__all__ = ["print_shown", "write_json"]

_WIDE = 10_000
"""Characters, in which any table fits."""


def write_json(place: Path, document: Mapping[str, object]) -> None:
    """Write a document whole or not at all. Raises :class:`GoogLeNetEdgeError` where it cannot be written."""
    from googlenet_edge.atomic import atomic_file

    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
    with atomic_file(place, what="JSON file") as file:
        file.write(f"{text}\n".encode("utf-8", "backslashreplace"))


def print_shown(shown: Sequence[str | Table]) -> None:
    """Print lines, whatever is in them, and tables, whose cells are escaped for rich's markup."""
    from rich.console import Console

    from googlenet_edge.plain import printable

    console = Console(highlight=False, soft_wrap=True)
    for part in shown:
        if isinstance(part, str):
            console.print(printable(part), markup=False)
        else:  # on a narrow terminal its lines wrap; cut figures would be wrong ones
            needed = Console(width=_WIDE).measure(part).maximum
            Console(highlight=False, soft_wrap=True, width=max(console.width, needed)).print(part)
