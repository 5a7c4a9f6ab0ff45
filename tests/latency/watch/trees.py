"""Trees of /proc and /sys for machines that are not here."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DATA", "build_tree"]

DATA = Path(__file__).with_name("data")


def build_tree(name: str, folder: Path) -> Path:
    """Build the tree of a sample below a root in ``folder``, and return the root."""
    root = folder / name
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
