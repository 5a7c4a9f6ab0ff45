"""The choice of TensorRT, its store and its golden check, with the real backend on the software driver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tensorrt import control as standin

from googlenet_edge.bundle import Bundle
from googlenet_edge.engine.build import BuildSettings
from googlenet_edge.engine.flavour import load_flavour
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.engine.stored import StoredEngine
from googlenet_edge.errors import DeviceError, EngineError
from googlenet_edge.runtime import find_or_build
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.engines import EngineRequest, build_into_store
from googlenet_edge.runtime.open_backend import BackendOptions, open_backend
from googlenet_edge.runtime.trt_config import TrtConfig
from googlenet_edge.runtime.trt_device import find_device
from tests.softcuda import control


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the stand-in settings that last for one test, and see that nothing of it is left alive."""
    monkeypatch.setattr(standin, "settings", replace(standin.settings))
    yield
    assert +standin.live == {}
    assert standin.misuses == []
    assert control.counters().left == {}


@pytest.mark.parametrize("config", [TrtConfig(), TrtConfig(cuda_graph="off", zero_copy="on")])
def test_with_a_gpu_and_tensorrt_the_engine_is_built_once_checked_and_serves_the_classifier(
    bundle: Bundle, config: TrtConfig, caplog: pytest.LogCaptureFixture
) -> None:
    device, flavour = find_device(), load_flavour("tensorrt")
    opened = open_backend(bundle, BackendOptions(trt=config))
    start = f"{flavour.title} on {device.name} (compute capability {device.compute_capability}): engine tensorrt-"
    assert opened.line.startswith(start)
    assert ", built in " in opened.line
    assert ", golden frames right (" in opened.line
    red = np.full((300, 400, 3), (0, 0, 200), np.uint8)
    with Classifier(bundle, backend=opened.backend) as classifier:
        assert classifier.classify(red).label == "red"
        assert classifier.describe()["backend"] == "tensorrt"
    again = open_backend(bundle, BackendOptions("tensorrt", trt=config))
    with Classifier(bundle, backend=again.backend) as classifier:
        assert [prediction.label for prediction in classifier.classify_batch([red] * 20)] == ["red"] * 20
    assert again.line.startswith(start)
    assert again.line.endswith(".plan")
    assert caplog.text == ""


def test_the_sidecar_notes_on_which_device_the_golden_frames_were_right(bundle: Bundle) -> None:
    open_backend(bundle).backend.close()
    (path,) = (bundle.path / "engines").glob("*.json")
    engine, device = StoredEngine.open(path), find_device()
    (check,) = engine.checks
    assert (check.passed, check.frames) == (True, bundle.manifest.golden.count)
    assert (check.device_name, check.driver_version) == (device.name, device.driver_version)
    assert engine.key.device_name == device.name


def test_an_engine_that_computes_something_else_is_refused_with_the_figures(bundle: Bundle) -> None:
    standin.settings.error = 0.01
    with pytest.raises(EngineError, match=r"refused on .*golden frame \d of bundle 'tiny': got probability"):
        open_backend(bundle)
    standin.settings.error = 0.0
    with pytest.raises(EngineError, match=r"refused here until `googlenet-edge build .* --rebuild` replaces it"):
        open_backend(bundle)
    result = build_into_store(bundle, EngineRequest(load_flavour("tensorrt"), BuildOptions()))
    assert result.check is not None
    assert result.check.passed
    open_backend(bundle).backend.close()


def test_a_build_that_makes_a_wrong_engine_says_so_at_once(bundle: Bundle) -> None:
    standin.settings.error = 0.01
    with pytest.raises(EngineError, match="refused on "):
        build_into_store(bundle, EngineRequest(load_flavour("tensorrt"), BuildOptions()))


def test_a_plan_that_tensorrt_does_not_load_is_built_again(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    # Stored with a right hash, and yet of another version than its key says: TensorRT itself is the last to judge.
    flavour = load_flavour("tensorrt")
    standin.settings.version = "10.3.0.26"
    build_into_store(bundle, EngineRequest(flavour, BuildOptions()))
    standin.settings.version = flavour.version
    opened = open_backend(bundle)
    opened.backend.close()
    assert ", built in " in opened.line
    assert " cannot be loaded: plan of " in caplog.text


def test_without_a_gpu_it_is_onnx_runtime_and_a_forced_choice_is_an_error(bundle: Bundle) -> None:
    with control.changed(control.Setting.DEVICES, 0):
        opened = open_backend(bundle)
        opened.backend.close()
        with pytest.raises(DeviceError, match="--backend onnxruntime"):
            open_backend(bundle, BackendOptions("tensorrt"))
    assert opened.line.startswith("ONNX Runtime ")
    assert " on the CPU: no TensorRT: GPU: " in opened.line
    assert not (bundle.path / "engines").exists()


def test_the_device_to_build_on_is_current_while_an_engine_is_built_and_let_go_after_it(bundle: Bundle) -> None:
    # What is done for a GPU that is not the first one, done with the only one that the software driver has.
    seen: list[int] = []
    settings = BuildSettings(
        device_context=partial(find_or_build._device_current, find_device()),
        on_progress=lambda step: seen.append(control.counters().contexts),
    )
    request = EngineRequest(load_flavour("tensorrt"), BuildOptions(), settings=settings)
    build_into_store(bundle, request)
    assert seen
    assert set(seen) == {1}
    control.fail(control.Fault.CONTEXT, control.Error.OUT_OF_MEMORY)
    with pytest.raises(DeviceError, match="while making its context"):
        build_into_store(bundle, request, rebuild=True)


def test_where_the_device_is_full_at_the_first_load_the_next_one_still_runs_all_golden_frames(bundle: Bundle) -> None:
    control.fail(control.Fault.DEVICE_MEMORY, control.Error.OUT_OF_MEMORY, times=-1)
    with pytest.raises(DeviceError, match="out of memory"):
        open_backend(bundle)
    control.clear_faults()
    opened = open_backend(bundle)
    opened.backend.close()
    assert ", built in " not in opened.line
    assert ", golden frames right (" in opened.line


def test_golden_frames_are_right_where_the_device_works_only_when_waited_for(bundle: Bundle) -> None:
    with control.changed(control.Setting.DEFERRED, 1):
        opened = open_backend(bundle)
        opened.backend.close()
    assert ", golden frames right (" in opened.line
