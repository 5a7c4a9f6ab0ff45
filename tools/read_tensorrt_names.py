"""List the names that TensorRT's Python module has, read from a wheel of its bindings without loading them.

    pip download --no-deps --python-version 3.10 --only-binary :all: tensorrt_cu12_bindings==10.3.0
    python tools/read_tensorrt_names.py tensorrt_cu12_bindings-10.3.0-*.whl -o tests/engine/data

TensorRT's libraries cannot be installed everywhere, and the bindings do not load without them. But pybind11 gives each
class, method, argument and enum value its name as a C string, and the code takes that string's address with an x86-64
`lea`. So the names are the identifiers that some `lea` points to. Looking at the strings alone is not enough, because
the linker lets "Builder" be the tail of a longer string. Names that are added in Python come from `__init__.py`.

The lists are in tests/engine/data; tests/engine/test_names.py holds every name that we use against them.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import re
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from googlenet_edge.atomic import atomic_file

LEA = re.compile(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d](?=(....))", re.DOTALL)  # lea REGISTER, [rip + N]
LEA_BYTES = 7
IDENTIFIER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{1,80}(?=\0)")
# C++'s own names of types, and fragments of code that look like a name.
NO_NAME = re.compile(r"\d(nvinfer|nvonnxparser|tensorrt|pybind)|^St\d|pybind11|^.{1,3}J$|^_[A-Z]")
LOADED, EXECUTABLE = 1, 1
X86_64 = 62


class Segment(NamedTuple):
    """A part of an ELF file that is loaded: where it stands in the file and in memory, in bytes."""

    offset: int
    address: int
    size: int
    executable: bool


def read_segments(elf: bytes) -> list[Segment]:
    """The loaded segments. Raises ValueError if this is no 64-bit ELF file for x86-64."""
    if elf[:5] != b"\x7fELF\x02" or struct.unpack_from("<H", elf, 18)[0] != X86_64:
        raise ValueError("its bindings are no ELF file for x86-64; take the manylinux wheel for x86_64")
    (table,) = struct.unpack_from("<Q", elf, 32)
    entry_size, entries = struct.unpack_from("<HH", elf, 54)
    segments = []
    for index in range(entries):
        kind, flags, offset, address, _, size = struct.unpack_from("<IIQQQQ", elf, table + index * entry_size)
        if kind == LOADED:
            segments.append(Segment(offset, address, size, bool(flags & EXECUTABLE)))
    return segments


def read_binary_names(elf: bytes) -> Iterator[str]:
    """Identifiers whose address the code takes; some more than once. Raises ValueError as :func:`read_segments`."""
    segments = read_segments(elf)
    for code in segments:
        if not code.executable:
            continue
        for match in LEA.finditer(elf[code.offset : code.offset + code.size]):
            target: int = code.address + match.start() + LEA_BYTES + struct.unpack("<i", match[1])[0]
            for segment in segments:
                if segment.address <= target < segment.address + segment.size:
                    start = segment.offset + target - segment.address
                    if found := IDENTIFIER.match(elf, start):
                        yield found[0].decode()


def read_python_names(source: str) -> Iterator[str]:
    """Functions that a module defines, and names and attributes that it assigns."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


def read_names(wheel: Path) -> list[str]:
    """All names in a wheel, sorted. Raises OSError if it cannot be read, ValueError if it is no wheel of bindings."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            libraries = [name for name in archive.namelist() if re.fullmatch(r"tensorrt\w*_bindings/\w+\.so", name)]
            if len(libraries) != 1:
                raise ValueError(f"expected one shared library in its tensorrt*_bindings/, got {len(libraries)}")
            elf = archive.read(libraries[0])
            python = archive.read(str(Path(libraries[0]).parent / "__init__.py")).decode()
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"it is no wheel: {error}") from error
    names = {*read_binary_names(elf), *read_python_names(python)}
    return sorted(name for name in names if not NO_NAME.search(name))


def write_list(wheel: Path, folder: Path) -> Path:
    """Write ``tensorrt_names_VERSION.txt``; returns its path. Raises as :func:`read_names`."""
    names = read_names(wheel)
    version = wheel.name.split("-")[1]
    header = [
        f"# Names in TensorRT {version}'s Python bindings, one a line.",
        f"# From {wheel.name}, sha256 {hashlib.sha256(wheel.read_bytes()).hexdigest()}",
        f"# by: python tools/read_tensorrt_names.py {wheel.name} -o tests/engine/data",
    ]
    path = folder / f"tensorrt_names_{version}.txt"
    with atomic_file(path, what="list of names") as file:
        file.write("\n".join([*header, *names, ""]).encode())
    return path


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="List the names in wheels of TensorRT's Python bindings.")
    parser.add_argument("wheels", nargs="+", type=Path, metavar="WHEEL")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(), metavar="FOLDER", help="where the lists are written"
    )
    options = parser.parse_args(arguments)
    for wheel in options.wheels:
        try:
            print(write_list(wheel, options.output))
        except (OSError, ValueError) as error:
            print(f"{wheel}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
