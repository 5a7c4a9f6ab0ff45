"""How the doctor reaches the machine: files below a root, commands, and imports in a process of their own."""

from __future__ import annotations

import json
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from googlenet_edge.doctor.facts import PythonInstall

__all__ = ["Machine", "this_python"]

COMMAND_TIMEOUT_S = 10.0
IMPORT_TIMEOUT_S = 120.0
"""For one process's imports together: torch from a board's SD card takes half a minute."""

COMMAND_FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin", "usr/local/bin")


def this_python() -> PythonInstall:
    """Describe the Python that runs."""
    version = sys.version_info
    return PythonInstall(
        version=(version.major, version.minor, version.micro),
        executable=sys.executable,
        prefix=sys.prefix,
        base_prefix=sys.base_prefix,
    )


@dataclass(frozen=True)
class Machine:
    """A machine to examine: the present one, or for a test a tree of files below another root."""

    root: Path = Path("/")
    python: PythonInstall = field(default_factory=this_python)
    package_paths: tuple[Path, ...] = ()
    """Folders where imports look first."""
    cuda_library: str = "libcuda.so.1"
    architecture: str = field(default_factory=platform.machine)
    folder: Path = Path()
    """Where the work is done: its file system's free space counts."""
    import_timeout_s: float = IMPORT_TIMEOUT_S

    def read(self, path: str) -> str | None:
        """Return a text file's content without the zero byte that ends a device tree's strings; None if unreadable."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip("\x00\n ")
        except OSError:
            return None

    def glob(self, pattern: str) -> list[Path]:
        """Return the paths below the root that match, sorted."""
        try:
            return sorted(self.root.glob(pattern))
        except OSError:
            return []

    def find(self, command: str) -> str | None:
        """Return where a command is; None if there is none of that name."""
        return shutil.which(command, path=":".join(str(self.root / folder) for folder in COMMAND_FOLDERS))

    def run(self, command: str, *arguments: str) -> str | None:
        """Return what a command prints; None if there is no such command, it fails or does not end."""
        program = self.find(command)
        if program is None:
            return None
        try:
            finished = subprocess.run(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return finished.stdout.decode(errors="replace")

    def look_at(self, *names: str) -> dict[str, dict[str, object]]:
        """Import each package in another process (see :mod:`~googlenet_edge.doctor.child`) and return what it said.

        A package that ends the process, or never returns, costs only itself: the rest is tried again without it.
        """
        found: dict[str, dict[str, object]] = {}
        remaining = list(names)
        while remaining:
            lines, ending = self._run_child(remaining)
            began = None
            for line in lines:
                if "began" in line:
                    began = str(line["began"])
                else:
                    found[str(line["done"])] = line
                    began = None
            # Whoever was being imported when the process ended is to blame; if none was, the process never started.
            blamed = began if began is not None else next((name for name in remaining if name not in found), None)
            if blamed is not None:
                found[blamed] = {"installed": True, "error": ending}
            remaining = [name for name in remaining if name not in found]
        return found

    def _run_child(self, names: list[str]) -> tuple[list[dict[str, object]], str]:
        """Return the lines that the process wrote, and how it ended."""
        paths = [argument for path in reversed(self.package_paths) for argument in ("--path", str(path))]
        command = [self.python.executable, "-W", "ignore", str(Path(__file__).with_name("child.py")), *paths, *names]
        try:
            finished = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=self.import_timeout_s, check=False
            )
            output, said = finished.stdout, finished.stderr.decode(errors="replace").split("\n")
            ending = _ending(finished.returncode, next((line.strip() for line in reversed(said) if line.strip()), ""))
        except subprocess.TimeoutExpired as error:
            output = error.stdout or b""
            ending = f"the import did not end within {self.import_timeout_s:g} s"
        except OSError as error:
            return [], f"Python could not be started: {error}"
        return list(_whole_lines(output.decode(errors="replace"))), ending


def _ending(code: int, said: str) -> str:
    if code >= 0:
        how = f"the import ended the process with exit code {code}"
    else:
        try:
            how = f"the import crashed the process: {signal.Signals(-code).name}"
        except ValueError:
            how = f"the import crashed the process: signal {-code}"
    return f"{how} ({said[:200]})" if said else how


def _whole_lines(output: str) -> Iterator[dict[str, object]]:
    for line in output.splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # a process that is killed may leave half a line
            return
