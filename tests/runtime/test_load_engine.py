"""How an engine gets onto a device: built by the real TensorRT-RTX, stored in real files.

The device is a stand-in that computes the bundle's graph with ONNX Runtime; tests/softcuda has the real backend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.engine.build import BuildSettings, BuiltEngine, build_engine
from googlenet_edge.engine.flavour import Flavour, load_flavour
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.engine.progress import BuildProgress
from googlenet_edge.engine.store import EnginePlaces
from googlenet_edge.engine.stored import StoredEngine
from googlenet_edge.errors import BackendError, DeviceError, EngineError
from googlenet_edge.runtime import engines, find_or_build, open_backend, trt_device
from googlenet_edge.runtime.backend import Outputs
from googlenet_edge.runtime.engines import EngineRequest, build_into_store
from googlenet_edge.runtime.open_backend import BackendOptions, OpenedBackend
from googlenet_edge.runtime.ort_backend import OrtBackend
from googlenet_edge.runtime.trt_config import TrtConfig
from googlenet_edge.runtime.trt_device import DeviceFacts
from googlenet_edge.types import ImageArray

pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install '.[rtx]'")


@dataclass
class Device:
    """The stand-in, and what happened on it."""

    graph: Path
    facts: DeviceFacts = field(
        default_factory=lambda: DeviceFacts(0, "RTX 3060", "8.6", 12 << 30, integrated=False, driver_version="13.0")
    )
    flavour: Flavour = field(default_factory=lambda: load_flavour("tensorrt_rtx"))
    offset: float = 0.0
    """Added to each probability: what a wrong engine does."""
    refuses: list[Exception] = field(default_factory=list)
    """Raised at the next loads, one each."""
    loads: list[tuple[bytes, TrtConfig]] = field(default_factory=list)
    frames: int = 0
    open: int = 0

    def find(self, ordinal: int = 0) -> DeviceFacts:
        return replace(self.facts, ordinal=ordinal)

    def load_flavour(self, name: str | None = None) -> Flavour:
        return self.flavour

    def load(self, plan: bytes, flavour: Flavour, config: TrtConfig) -> Engine:
        self.loads.append((plan, config))
        if self.refuses:
            raise self.refuses.pop(0)
        return Engine(self)


class Engine(OrtBackend):
    def __init__(self, device: Device) -> None:
        super().__init__(device.graph)
        self.device = device
        device.open += 1

    def infer(self, batch: ImageArray) -> Outputs:
        logits, probabilities = super().infer(batch)
        self.device.frames += len(batch)
        return logits, probabilities + np.float32(self.device.offset)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.device.open -= 1
        super().close()


def build_for_the_stand_in(
    flavour: Flavour, onnx: bytes, options: BuildOptions, *, settings: BuildSettings | None = None
) -> BuiltEngine:
    """Build for the stand-in by name: TensorRT-RTX can build for "this device" only where the driver knows one."""
    named = options if options.targets else replace(options, targets=("8.6",))
    return build_engine(flavour, onnx, named, settings=settings)


@pytest.fixture
def device(tiny_graph_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    device = Device(tiny_graph_path)
    monkeypatch.setattr(open_backend, "_has_driver", lambda: True)
    monkeypatch.setattr(open_backend, "load_flavour", device.load_flavour)
    monkeypatch.setattr(trt_device, "find_device", device.find)
    monkeypatch.setattr(engines, "find_device", device.find)
    monkeypatch.setattr(engines, "TrtBackend", device.load)
    monkeypatch.setattr(find_or_build, "build_engine", build_for_the_stand_in)
    yield device
    assert device.open == 0  # whatever happened, each loaded engine was closed


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


def open_and_close(bundle: Bundle, options: BackendOptions | None = None) -> OpenedBackend:
    opened = open_backend.open_backend(bundle, options)
    opened.backend.close()
    return opened


def test_the_first_load_builds_and_runs_all_golden_frames_the_next_one_does_neither(
    bundle: Bundle, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    steps: list[BuildProgress] = []
    opened = open_backend.open_backend(bundle, settings=BuildSettings(on_progress=steps.append))
    opened.backend.close()
    assert steps
    assert device.frames == bundle.manifest.golden.count
    start = f"{device.flavour.title} on RTX 3060 (compute capability 8.6): engine tensorrt_rtx-1"
    assert opened.line.startswith(start)
    assert ", built in " in opened.line
    assert ", golden frames right (largest difference of a probability " in opened.line

    again = open_and_close(bundle)
    assert device.frames == bundle.manifest.golden.count
    assert device.loads[0][0] == device.loads[1][0]
    assert again.line.startswith(start)
    assert again.line.endswith(".plan")
    assert caplog.text == ""


@pytest.mark.parametrize("new", ["driver", "device"])
def test_all_golden_frames_are_run_again_on_a_device_or_driver_that_is_new(
    bundle: Bundle, device: Device, new: str
) -> None:
    open_and_close(bundle)
    frames = device.frames
    device.facts = replace(device.facts, driver_version="13.1") if new == "driver" else replace(device.facts, name="A6")
    assert ", golden frames right (" in open_and_close(bundle).line
    assert device.frames == 2 * frames
    assert device.loads[0][0] == device.loads[1][0]  # a plan of RTX is for a compute capability, not for one device


def test_an_engine_that_misses_the_golden_frames_is_refused_now_and_from_then_on(
    bundle: Bundle, device: Device
) -> None:
    device.offset = 0.01
    with pytest.raises(EngineError) as first:
        open_backend.open_backend(bundle)
    message = str(first.value)
    assert "refused on RTX 3060 (compute capability 8.6, driver for CUDA 13.0" in message
    assert re.search(r"got probability [01]\.\d{6} for '\w+', expected [01]\.\d{6} within 0\.0001", message)
    assert f"until `googlenet-edge build {bundle.path} --rebuild` replaces it" in message
    assert "--backend onnxruntime" in message

    device.offset = 0.0  # the record stands: it is not tried again without being asked to
    with pytest.raises(EngineError) as second:
        open_backend.open_backend(bundle)
    assert str(second.value) == message
    assert len(device.loads) == 1

    device.facts = replace(device.facts, driver_version="13.1")  # a new driver may have mended it
    open_and_close(bundle)
    device.facts = replace(device.facts, driver_version="13.0")
    result = build_into_store(bundle, EngineRequest(device.flavour, BuildOptions()))
    assert result.built is not None
    assert result.check is not None
    assert result.check.passed
    open_and_close(bundle)


def test_an_older_engine_that_was_right_serves_before_a_newer_one_that_was_refused(
    bundle: Bundle, device: Device
) -> None:
    right = build_into_store(bundle, EngineRequest(device.flavour, BuildOptions())).engine
    device.offset = 0.01
    with pytest.raises(EngineError, match="refused on RTX 3060"):
        build_into_store(bundle, EngineRequest(device.flavour, BuildOptions(opt_batch=4)))
    device.offset = 0.0
    assert right.path.name in open_and_close(bundle).line


def test_a_gpu_that_fails_says_nothing_about_the_engine(
    bundle: Bundle, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(engine: Engine, batch: ImageArray) -> Outputs:
        raise DeviceError("GPU 0: out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "infer", fail)
        with pytest.raises(DeviceError, match="out of memory"):
            open_backend.open_backend(bundle)
    assert "golden frames right" in open_and_close(bundle).line
    assert device.loads[0][0] == device.loads[1][0]


def test_a_stored_plan_that_tensorrt_refuses_is_built_again_once(
    bundle: Bundle, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    open_and_close(bundle)
    device.refuses = [BackendError("engine: Serialization assertion failed")]
    assert ", built in " in open_and_close(bundle).line
    said = "cannot be loaded: engine: Serialization assertion failed; an engine is built"
    assert caplog.text.count(said) == 1
    assert len(device.loads) == 3

    device.refuses = [BackendError("one"), BackendError("two")]
    with pytest.raises(
        BackendError, match=r"does not load the engine that it has just built, on RTX 3060 .*: two; run on the CPU with"
    ):
        open_backend.open_backend(bundle)
    device.refuses = [DeviceError("GPU 0: out of memory")]
    with pytest.raises(DeviceError, match="out of memory"):
        open_backend.open_backend(bundle)
    assert len(device.loads) == 6


def test_building_replaces_a_stored_plan_that_tensorrt_refuses(bundle: Bundle, device: Device) -> None:
    open_and_close(bundle)
    device.facts = replace(device.facts, driver_version="13.1")  # so that it is loaded for the golden frames
    device.refuses = [BackendError("engine: Serialization assertion failed")]
    result = build_into_store(bundle, EngineRequest(device.flavour, BuildOptions()))
    assert result.built is not None
    assert result.check is not None
    assert result.engine.read() == result.built.plan
    (reason,) = result.reasons
    assert reason.endswith("cannot be loaded: engine: Serialization assertion failed")


def test_for_a_gpu_that_rtx_is_not_made_for_the_remedy_is_not_to_build_again(bundle: Bundle, device: Device) -> None:
    device.facts = replace(device.facts, name="H100", compute_capability="9.0")
    device.refuses = [BackendError("engine: no kernel; build the engine again on this machine with `build`")]
    with pytest.raises(BackendError) as caught:
        open_backend.open_backend(bundle)
    assert "on H100 (compute capability 9.0): engine: no kernel; it is made for compute capabilities" in str(
        caught.value
    )
    assert "build" not in str(caught.value).replace("just built", "")


def test_a_rebuilt_engine_that_misses_the_golden_frames_is_not_told_to_be_rebuilt(
    bundle: Bundle, device: Device
) -> None:
    device.offset = 0.01
    request = EngineRequest(device.flavour, BuildOptions())
    with pytest.raises(EngineError, match="refused on RTX 3060") as caught:
        build_into_store(bundle, request, rebuild=True)
    assert "another version of TensorRT, or the bundle in another precision" in str(caught.value)
    assert "build the engine again" not in str(caught.value)
    assert "--rebuild" not in str(caught.value)
    device.offset = 0.0
    result = build_into_store(bundle, request)
    assert "missed its golden frames here: golden frame " in result.reasons[0]
    again = build_into_store(bundle, request, rebuild=True)
    assert again.reasons == (f"stored engine {str(result.engine.path)!r} is replaced, as asked for",)


def test_with_layer_times_one_golden_frame_is_run_because_there_is_no_classifier(
    bundle: Bundle, device: Device
) -> None:
    open_and_close(bundle)
    frames = device.frames
    options = BackendOptions(trt=TrtConfig(profile_layers=True))
    open_and_close(bundle, options)
    assert device.frames == frames + 1
    device.offset = 0.01
    with pytest.raises(BackendError, match="golden frame 0"):
        open_backend.open_backend(bundle, options)


def test_an_engine_that_is_built_for_many_cameras_takes_a_frame_of_each(bundle: Bundle, device: Device) -> None:
    def batches() -> list[int]:
        paths = (bundle.path / "engines").glob("*.json")
        return sorted(StoredEngine.open(path).key.options.max_batch for path in paths)

    open_and_close(bundle, BackendOptions(built_batch=12))
    assert batches() == [12]
    open_and_close(bundle, BackendOptions(built_batch=40))  # one that is there is taken, whatever it takes at once
    assert batches() == [12]


FULL = "GPU 0 (RTX 3060): out of memory while loading the engine"


def test_an_engine_that_does_not_fit_gives_way_to_a_smaller_one(
    bundle: Bundle, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    def batches() -> list[int]:
        paths = (bundle.path / "engines").glob("*.json")
        return sorted(StoredEngine.open(path).key.options.max_batch for path in paths)

    device.refuses = [DeviceError(FULL)]
    with pytest.raises(DeviceError, match="out of memory"):
        open_backend.open_backend(bundle, BackendOptions(max_batch=64))
    assert batches() == [64]
    device.refuses = [DeviceError(FULL)]
    assert ", built in " in open_and_close(bundle).line
    assert batches() == [8, 64]
    assert "for up to 64 frames, does not fit into the GPU's memory now; engine tensorrt_rtx-" in caplog.text
    assert "for up to 8, is taken instead" in caplog.text

    caplog.clear()
    assert "built in" not in open_and_close(bundle).line  # the one that was right here goes first
    assert caplog.text == ""
    device.refuses = [DeviceError(FULL)]
    with pytest.raises(DeviceError, match="out of memory"):  # there is no smaller one, and none is asked for
        open_backend.open_backend(bundle)
    device.refuses = [DeviceError(FULL)]
    open_and_close(bundle, BackendOptions(max_batch=1))  # the remedy that the message names
    assert batches() == [1, 8, 64]
    device.refuses = [DeviceError(FULL)] * 2
    with pytest.raises(DeviceError, match="out of memory"):
        open_backend.open_backend(bundle, BackendOptions(max_batch=8))
    device.refuses = [DeviceError("GPU 0 (RTX 3060): failed while loading the engine: launch failed")]
    with pytest.raises(DeviceError, match="launch failed"):  # says nothing about memory
        open_backend.open_backend(bundle, BackendOptions(max_batch=64))
    assert batches() == [1, 8, 64]


def test_a_smaller_engine_that_was_refused_is_built_anew(bundle: Bundle, device: Device) -> None:
    build_into_store(bundle, EngineRequest(device.flavour, BuildOptions(max_batch=64)))
    device.offset = 0.01
    with pytest.raises(EngineError, match="refused on"):
        build_into_store(bundle, EngineRequest(device.flavour, BuildOptions()))
    device.offset = 0.0
    device.refuses = [DeviceError(FULL)]
    assert ", built in " in open_and_close(bundle).line


@pytest.mark.parametrize("choice", ["auto", "tensorrt_rtx"])
def test_a_gpu_number_that_there_is_not_is_an_error_where_there_are_gpus(
    bundle: Bundle, device: Device, choice: open_backend.BackendChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(ordinal: int) -> DeviceFacts:
        if ordinal:
            raise DeviceError(f"GPU: got number {ordinal}")
        return device.facts

    monkeypatch.setattr(trt_device, "find_device", find)
    with pytest.raises(DeviceError, match="got number 1"):
        open_backend.open_backend(bundle, BackendOptions(choice, trt=TrtConfig(device=1)))


def test_an_unknown_exception_of_the_library_becomes_one_of_ours(bundle: Bundle, device: Device) -> None:
    device.refuses = [TypeError("incompatible function arguments")]
    with pytest.raises(
        BackendError,
        match=r"TensorRT-RTX .* cannot load it: TypeError: incompatible function arguments; run on the CPU",
    ):
        open_backend.open_backend(bundle)


def test_a_stale_plan_is_built_again_and_the_log_says_which_field_differed(
    bundle: Bundle, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    real = device.flavour
    device.flavour = replace(real, version="1.0.0")
    open_and_close(bundle)
    device.flavour = real
    assert ", built in " in open_and_close(bundle).line
    assert f"TensorRT version: stored 1.0.0, here {real.version}; an engine is built" in caplog.text
    assert len(list((bundle.path / "engines").glob("*.plan"))) == 1  # the old one made room


def test_an_engine_that_is_built_anew_has_the_options_of_the_one_before(bundle: Bundle, device: Device) -> None:
    real = device.flavour
    options = BuildOptions(opt_batch=3, max_batch=3, targets=("8.6", "12.0"))
    device.flavour = replace(real, version="1.0.0")
    build_into_store(bundle, EngineRequest(device.flavour, options))
    device.flavour = real
    for change in ("version", "damage"):
        assert ", built in " in open_and_close(bundle).line, change
        (path,) = (bundle.path / "engines").glob(f"*{real.version}*.plan")
        key = StoredEngine.open(path.with_suffix(".json")).key
        assert key.options == BuildOptions(opt_batch=3, max_batch=3)
        assert key.compute_capability == "8.6"
        path.write_bytes(b"damaged")
    assert ", built in " in open_and_close(bundle, BackendOptions(max_batch=4)).line  # asked for, and so not those


def test_a_damaged_plan_never_reaches_the_device(
    bundle: Bundle, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    open_and_close(bundle)
    (plan,) = (bundle.path / "engines").glob("*.plan")
    data = bytearray(plan.read_bytes())
    data[len(data) // 2] ^= 1
    plan.write_bytes(data)
    assert ", built in " in open_and_close(bundle).line
    assert "it was altered; an engine is built" in caplog.text
    assert [load[0] == bytes(data) for load in device.loads] == [False, False]


def test_a_stored_engine_is_run_whatever_its_options(bundle: Bundle, device: Device) -> None:
    request = EngineRequest(device.flavour, BuildOptions(max_batch=2))
    made = build_into_store(bundle, request).engine
    assert made.path.name in open_and_close(bundle).line
    assert made.path.name in open_and_close(bundle, BackendOptions(max_batch=2)).line
    assert ", built in " in open_and_close(bundle, BackendOptions(max_batch=3)).line
    assert ", built in " in open_and_close(bundle, BackendOptions(build=BuildOptions(opt_batch=2, max_batch=2))).line
    assert made.path.name in open_and_close(bundle, BackendOptions(build=BuildOptions(max_batch=2))).line


def test_where_nothing_can_be_stored_the_engine_is_built_each_time_and_a_warning_says_so(
    bundle: Bundle, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    (bundle.path / "engines").write_text("in the way")
    for _ in range(2):
        line = open_and_close(bundle).line
        assert "an engine that is not stored, built in " in line
        assert "golden frames right" in line
    assert caplog.text.count("the engine will be built each time: engines cannot be kept in ") == 2
    assert len(caplog.records) == 2  # one each: it is not said again when the plan was built


def test_a_record_that_cannot_be_written_costs_only_the_check(
    bundle: Bundle, device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = EngineRequest(device.flavour, BuildOptions(targets=("8.6",)))
    monkeypatch.setattr(engines, "find_device", _none)
    build_into_store(bundle, request)  # elsewhere: no check is recorded
    (sidecar,) = (bundle.path / "engines").glob("*.json")
    in_the_way = _temporary_of(sidecar)
    in_the_way.mkdir()
    for times in (1, 2):
        assert "golden frames right" in open_and_close(bundle).line
        assert device.frames == times * bundle.manifest.golden.count
    in_the_way.rmdir()
    open_and_close(bundle)
    open_and_close(bundle)
    assert device.frames == 3 * bundle.manifest.golden.count


def test_an_engine_for_other_gpus_is_not_run_here(bundle: Bundle, device: Device) -> None:
    result = build_into_store(bundle, EngineRequest(device.flavour, BuildOptions(targets=("12.0",))))
    assert (result.check, result.unchecked) == (None, "the GPU here, RTX 3060, has compute capability 8.6")
    assert device.loads == []


def test_what_saves_time_is_kept_apart_from_the_engines(bundle: Bundle, device: Device, tmp_path: Path) -> None:
    places = EnginePlaces(cache=tmp_path / "cache", scratch=tmp_path / "scratch")
    open_and_close(bundle, BackendOptions(places=places, trt=TrtConfig(cuda_graph="off")))
    config = device.loads[0][1]
    assert config.cuda_graph == "off"
    assert config.runtime_cache is not None
    assert config.runtime_cache.parent == tmp_path / "scratch"
    assert config.runtime_cache.name.startswith(f"tensorrt_rtx-{device.flavour.version}-rtx-3060-")
    assert not (bundle.path / "engines").exists()


def _none(ordinal: int = 0) -> DeviceFacts:
    raise DeviceError("GPU: got none")


def _temporary_of(path: Path) -> Path:
    """Return where atomic_file writes first: a folder there keeps root too from writing."""
    import os

    return path.with_name(f".{path.name}.{os.getpid()}.partial")
