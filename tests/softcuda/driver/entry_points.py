"""Writes the rest of the driver as C: an entry point for each function of CUDA's headers that the sources lack, which
answers CUDA_ERROR_NOT_SUPPORTED, and the table that cuGetProcAddress searches.

Usage: entry_points.py CUDA_INCLUDE_FOLDER OUTPUT COMPILER OBJECT...
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# cuda.h shows another set of names under each of these.
VIEWS = ((), ("-DCUDA_API_PER_THREAD_DEFAULT_STREAM",), ("-D__CUDA_API_VERSION_INTERNAL",))
HEADERS = "#include <cuda.h>\n#include <cudaProfiler.h>\n"


def declared(include: Path, compiler: str) -> set[str]:
    """The names of all functions that CUDA's driver headers declare."""
    names: set[str] = set()
    for view in VIEWS:
        command = [compiler, "-E", "-P", *view, f"-I{include}", "-x", "c", "-"]
        text = subprocess.run(command, input=HEADERS, text=True, capture_output=True, check=True).stdout
        names.update(re.findall(r"\b(cu[A-Z]\w*)\s*\(", text))
    return {name for name in names if not name.endswith("Callback")}


def defined(objects: Sequence[str]) -> set[str]:
    """The names of the driver's functions that the object files define."""
    lines = subprocess.run(
        ["nm", "-g", "--defined-only", *objects], text=True, capture_output=True, check=True
    ).stdout.splitlines()
    return {words[2] for words in map(str.split, lines) if len(words) == 3 and re.match(r"cu[A-Z]", words[2])}


def table(names: set[str], include: Path) -> list[tuple[str, int, str]]:
    """(name, CUDA version, symbol) for each name that cuGetProcAddress knows.

    A name's symbols are cuX, cuX_v2, and so on. The versions that they came with are those of cudaTypedefs.h; both are
    matched from the newest, because the oldest are no longer typed there.
    """
    versions: dict[str, set[int]] = {}
    typedefs = (include / "cudaTypedefs.h").read_text(encoding="utf-8")
    for name, version in re.findall(r"\*PFN_(cu[A-Z]\w*?)_v(\d+)\)", typedefs):
        versions.setdefault(name, set()).add(int(version))
    symbols: dict[str, list[tuple[int, str]]] = {}
    for symbol in names:
        match = re.fullmatch(r"(\w+?)(?:_v(\d))?", symbol)
        if match and not symbol.endswith(("_ptsz", "_ptds")):
            symbols.setdefault(match[1], []).append((int(match[2] or 1), symbol))
    rows = []
    for name in sorted(symbols):
        newest_first = sorted(versions.get(name, ()), reverse=True)
        for place, (_, symbol) in enumerate(sorted(symbols[name], reverse=True)):
            rows.append((name, newest_first[place] if place < len(newest_first) else 0, symbol))
    return rows


def source(names: set[str], ours: set[str], rows: Sequence[tuple[str, int, str]]) -> str:
    """The C source."""
    missing = sorted(names - ours)
    lines = ["/* Made by entry_points.py. */", "#include <stddef.h>", "int sc_not_supported(const char *call);"]
    lines += [f'int {name}(void) {{ return sc_not_supported("{name}"); }}' for name in missing]
    lines += [f"int {name}(void);" for name in sorted(ours)]
    lines += ["struct entry_point { const char *name; int version; void *function; };"]
    lines += ["const struct entry_point sc_entry_points[] = {"]
    lines += [f'    {{"{name}", {version}, (void *){symbol}}},' for name, version, symbol in rows]
    lines += ["    {NULL, 0, NULL},", "};"]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> None:
    include, output, compiler, objects = Path(arguments[0]), Path(arguments[1]), arguments[2], arguments[3:]
    ours = defined(objects)
    names = declared(include, compiler) | ours
    output.write_text(source(names, ours, table(names, include)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
