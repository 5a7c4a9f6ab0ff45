"""Trees of /proc and /sys for machines that are not here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).with_name("data")


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that builds the tree of a sample below a root, and returns the root."""

    def build(name: str) -> Path:
        root = tmp_path / name
        for line in (DATA / f"{name}.tree").read_text().splitlines():
            if " -> " in line:
                link, target = (root / side.lstrip("/") for side in line.split(" -> "))
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(target)
            elif line and not line.startswith("#"):
                path, _, content = line.partition(" =")
                file = root / path.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("a") as out:
                    out.write(content.removeprefix(" ").replace("\\0", "\0") + "\n")
        return root

    return build


@pytest.fixture
def tegrastats_lines() -> dict[str, str]:
    """Return a line of tegrastats of each board, by "board, release"."""
    lines = (DATA / "tegrastats.txt").read_text().splitlines()
    return {title.removeprefix("# "): line for title, line in zip(lines[::2], lines[1::2], strict=True)}
