"""The choice on a machine without a GPU; tests/softcuda has the tests of the other one."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import onnxruntime
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.errors import BackendError, DeviceError, InputError, MissingPackageError
from googlenet_edge.runtime import open_backend as module
from googlenet_edge.runtime.open_backend import BackendChoice, BackendOptions, open_backend


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


@pytest.fixture(autouse=True)
def _no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for a driver that no machine has."""
    monkeypatch.setattr(module, "_DRIVER", "libno-such-driver.so.1")


def test_without_a_driver_it_is_onnx_runtime_and_one_line_says_why(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=module.__name__)
    opened = open_backend(bundle, BackendOptions(threads=1))
    with opened.backend as backend:
        assert backend.describe()["backend"] == "onnxruntime"
        assert backend.describe()["threads"] == "1"
    version = onnxruntime.__version__
    assert opened.line == f"ONNX Runtime {version} on the CPU: no TensorRT: this machine has no NVIDIA driver"
    assert opened.line in caplog.messages
    assert not (bundle.path / "engines").exists()


def test_a_driver_without_pycuda_names_the_package(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DRIVER", "libc.so.6")  # any library that there is
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    opened = open_backend(bundle)
    opened.backend.close()
    assert opened.line.endswith(
        "on the CPU: no TensorRT: package 'pycuda' cannot be imported: it is needed for this step"
    )
    with pytest.raises(MissingPackageError, match="pycuda"):
        open_backend(bundle, BackendOptions("tensorrt"))


def test_onnx_runtime_is_taken_without_a_look_at_tensorrt(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_tensorrt_here", None)
    opened = open_backend(bundle, BackendOptions("onnxruntime"))
    opened.backend.close()
    assert opened.line.endswith("on the CPU: as asked for")


@pytest.mark.parametrize("choice", ["tensorrt", "tensorrt_rtx"])
def test_a_forced_choice_that_is_impossible_is_an_error(
    bundle: Bundle, choice: BackendChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # also where there is a GPU
    with pytest.raises((DeviceError, MissingPackageError)):
        open_backend(bundle, BackendOptions(choice))


def test_a_graph_that_onnx_runtime_refuses_is_its_error(bundle: Bundle) -> None:
    bundle.graph_path.write_bytes(b"no graph")
    with pytest.raises(BackendError, match="cannot load it"):
        open_backend(bundle)


def test_options_check_themselves() -> None:
    with pytest.raises(
        InputError, match=r"backend: got 'cuda', expected one of auto, onnxruntime, tensorrt, tensorrt_rtx"
    ):
        BackendOptions("cuda")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="max_batch: got it and build"):
        BackendOptions(build=BuildOptions(), max_batch=3)
    with pytest.raises(InputError, match="built_batch: got 0"):
        BackendOptions(built_batch=0)
