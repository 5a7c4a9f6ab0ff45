"""How the software CUDA driver is built, and what is said where it cannot be."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

DRIVER = Path(__file__).parent / "driver"
TOOLS = DRIVER.parents[2] / "tools"


def run(script: Path, *arguments: Path | str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(script), *map(str, arguments)]
    return subprocess.run(command, text=True, capture_output=True, check=False, env={**os.environ, **environment})


def copy_of_sources(folder: Path) -> Path:
    """The sources in a checkout of their own, which a test may change."""
    shutil.copytree(TOOLS, folder / "tools", ignore=lambda _, names: [name for name in names if name != "find_cuda.sh"])
    return Path(shutil.copytree(DRIVER, folder / "tests" / "softcuda" / "driver"))


def test_the_driver_is_built_again_only_when_a_source_is_newer(tmp_path: Path) -> None:
    sources, library = copy_of_sources(tmp_path), tmp_path / "built" / "libcuda.so.1"
    assert run(sources / "build.sh", library.parent).returncode == 0
    first = library.stat().st_mtime_ns
    assert sorted(path.name for path in library.parent.iterdir()) == ["libcuda.so", "libcuda.so.1"]
    assert run(sources / "build.sh", library.parent).returncode == 0
    assert library.stat().st_mtime_ns == first
    os.utime(sources / "graph.c", ns=(first + 1, first + 1))
    assert run(sources / "build.sh", library.parent).returncode == 0
    assert library.stat().st_mtime_ns != first


def test_a_source_that_does_not_compile_leaves_the_old_driver(tmp_path: Path) -> None:
    sources, library = copy_of_sources(tmp_path), tmp_path / "built" / "libcuda.so.1"
    library.parent.mkdir()
    library.write_bytes(b"the old one")
    (sources / "graph.c").write_text("this is not C\n", encoding="utf-8")
    done = run(sources / "build.sh", library.parent)
    assert done.returncode != 0
    assert "graph.c" in done.stderr
    assert [path.name for path in library.parent.iterdir()] == ["libcuda.so.1"]
    assert library.read_bytes() == b"the old one"


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    done = run(DRIVER / "build.sh", tmp_path / "built", CC="no-such-compiler")
    assert done.returncode == 1
    assert done.stderr == "error: no C compiler: got none named no-such-compiler; install gcc, or set CC\n"


def test_the_toolkit_that_cuda_home_names_is_taken_if_it_is_whole(tmp_path: Path) -> None:
    for path in ("bin/nvcc", "include/cuda.h", "include/cudaTypedefs.h"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch(mode=0o755)
    assert run(TOOLS / "find_cuda.sh", CUDA_HOME=str(tmp_path)).stdout == f"{tmp_path}\n"
    (tmp_path / "include/cuda.h").unlink()
    assert run(TOOLS / "find_cuda.sh", CUDA_HOME=str(tmp_path)).stdout != f"{tmp_path}\n"


def test_pycuda_is_not_installed_into_what_is_no_environment(tmp_path: Path) -> None:
    done = run(TOOLS / "build_pycuda.sh", tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path} is no virtual environment with pip; make one: make setup\n"
