"""What is said where there is no GPU; with one, `tests/softcuda` and `tests/gpu`."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from googlenet_edge.errors import DeviceError, MissingPackageError
from googlenet_edge.runtime import trt_device
from googlenet_edge.runtime.trt_device import find_device


def test_without_pycuda_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(MissingPackageError, match=r"pycuda.*\[tensorrt\]"):
        find_device()
    monkeypatch.setattr(trt_device, "is_jetson", lambda: True)
    with pytest.raises(MissingPackageError, match=r"pycuda.*\[jetson\]"):
        find_device()


def test_without_a_driver_the_error_says_so() -> None:
    pytest.importorskip("pycuda", reason="pycuda is not installed")
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("there is a CUDA driver here")
    with pytest.raises(DeviceError, match=r"libcuda.*no NVIDIA driver here.*--backend onnxruntime"):
        find_device()


def test_a_pycuda_that_does_not_fit_is_not_called_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "pycuda"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "driver.py").write_text("raise ImportError('undefined symbol: cuCtxCreate_v4')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "pycuda"]:
        monkeypatch.delitem(sys.modules, name)
    try:
        with pytest.raises(DeviceError, match=r"undefined symbol.*pycuda does not fit this machine"):
            find_device()
    finally:
        sys.modules.pop("pycuda", None)
