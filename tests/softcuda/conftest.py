"""These tests run in a process of their own, in which the software CUDA driver is loaded before anything asks for CUDA.

`pytest tests/softcuda` (or a file in it) is such a process: this file builds the driver if need be and loads it. In any
other run these tests are left out, because NVIDIA's own libraries, which other tests load, must not meet this driver.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DRIVER = ROOT / "build" / "softcuda"
STANDIN = HERE / "standin"


def _is_for_us(config: pytest.Config) -> bool:
    """Whether every path that pytest was started with lies in this folder."""
    paths = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    inside = [path.is_relative_to(HERE) for path in paths]
    if any(inside) and not all(inside):
        raise pytest.UsageError("tests/softcuda needs a process of its own; run `pytest tests/softcuda` by itself")
    return all(inside)


def _load_driver() -> None:
    built = subprocess.run(["sh", HERE / "driver" / "build.sh", DRIVER], text=True, capture_output=True, check=False)
    if built.returncode:
        raise pytest.UsageError(f"the software CUDA driver could not be built: {built.stderr.strip()}")
    # Whoever asks for libcuda.so.1 from now on gets this one, because a library of that name is there already.
    ctypes.CDLL(str(DRIVER / "libcuda.so.1"), mode=ctypes.RTLD_GLOBAL)
    # Child processes find it, and the stand-in, by the environment.
    for name, folders in (("LD_LIBRARY_PATH", [DRIVER]), ("PYTHONPATH", [ROOT, STANDIN])):
        os.environ[name] = os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get(name)])])
    sys.path[:0] = [str(ROOT), str(STANDIN)]


def pytest_configure(config: pytest.Config) -> None:
    if not _is_for_us(config):
        return
    _load_driver()
    missing = [name for name in ("pycuda", "cuda.bindings") if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(f"{' and '.join(missing)} missing: `make test-softcuda` builds and installs them once")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return None if _is_for_us(config) else True


def pytest_report_collectionfinish(config: pytest.Config) -> str | None:
    return None if _is_for_us(config) else "tests/softcuda runs in a process of its own: make test-softcuda"


@pytest.fixture(autouse=True)
def driver_as_new() -> Iterator[None]:
    """Each test finds the driver with its first settings and without faults, and leaves no context pushed."""
    from tests.softcuda import control

    settings = {setting: control.get(setting) for setting in control.Setting}
    yield
    for setting, value in settings.items():
        control.set_to(setting, value)
    control.clear_faults()
    assert not control.counters().pushed_here, "the test left a context pushed in this thread"


@pytest.fixture
def context() -> Iterator[None]:
    """The primary context, pushed in this thread. The test has to put away all else."""
    from tests.softcuda import control
    from tests.softcuda.driver_api import bindings, pycuda

    pycuda.init()
    pushed = pycuda.Device(0).retain_primary_context()
    pushed.push()
    yield
    gc.collect()
    left = control.counters().left
    pushed.detach()
    bindings.cuCtxPopCurrent()  # pycuda took it off its own stack, and not off the driver's
    assert left == {"contexts": 1, "primary_references": 1, "pushed_here": 1, "pushed": 1}, "left by the test"
