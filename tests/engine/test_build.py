"""Builds with the real TensorRT-RTX, which needs no GPU for it."""

from __future__ import annotations

import logging
import re
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from googlenet_edge.engine.build import BuildSettings, build_engine
from googlenet_edge.engine.config import check_supported, make_config, price_of
from googlenet_edge.engine.flavour import Flavour, load_flavour
from googlenet_edge.engine.logger import collect, process_logger
from googlenet_edge.engine.options import TARGETS, BuildOptions
from googlenet_edge.engine.parse import parse_network
from googlenet_edge.engine.progress import BuildProgress
from googlenet_edge.errors import EngineError, UsageError

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed for this Python")

AMPERE = BuildOptions(targets=("8.6",))


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """The real TensorRT-RTX."""
    return load_flavour("tensorrt_rtx")


@pytest.fixture(scope="session")
def graph(tiny_graph_path: Path) -> bytes:
    """The tiny classifier's ONNX file."""
    return tiny_graph_path.read_bytes()


def test_a_plan_is_built_and_timed(flavour: Flavour, graph: bytes) -> None:
    ticks = iter((1_000_000_000, 3_500_000_000))
    built = build_engine(flavour, graph, AMPERE, settings=BuildSettings(clock=lambda: next(ticks)))
    assert len(built.plan) > 100_000
    assert built.seconds == 2.5
    assert (built.log, built.fallback, built.notes) == ((), (), ())


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "7.5"])
def test_every_target_that_computes_float32_is_built_for(target: str, flavour: Flavour, graph: bytes) -> None:
    assert len(build_engine(flavour, graph, BuildOptions(targets=(target,))).plan) > 100_000


def test_several_targets_make_one_larger_plan(flavour: Flavour, graph: bytes) -> None:
    one, three = AMPERE, BuildOptions(targets=("8.6", "8.9", "12.0"))
    log = build_engine(flavour, graph, three, settings=BuildSettings(keep_log=True)).log
    assert "Number of target compute capabilities: 3" in log
    assert price_of(one) == ()
    assert "3 targets" in price_of(three)[0]


def test_the_log_has_the_engines_layers_when_it_is_asked_for(flavour: Flavour, graph: bytes) -> None:
    log = "\n".join(build_engine(flavour, graph, AMPERE, settings=BuildSettings(keep_log=True)).log)
    assert re.search(r"^Name: conv1/Conv\S*, LayerType: ", log, re.MULTILINE)


def test_progress_tells_each_step_of_each_phase_within_its_parent(flavour: Flavour, graph: bytes) -> None:
    steps: list[BuildProgress] = []
    build_engine(flavour, graph, AMPERE, settings=BuildSettings(on_progress=steps.append))
    assert steps[0] == BuildProgress(steps[0].phase, None, 0, steps[0].total, 0)
    known = {steps[0].phase: 0}
    for step in steps:
        assert 0 <= step.done <= step.total
        if step.parent is not None:
            assert step.depth == known[step.parent] + 1
        known[step.phase] = step.depth
    assert max(known.values()) >= 1
    for phase in known:  # which may come again, for another part of the graph
        done = [step.done for step in steps if step.phase == phase]
        assert done[0] == 0
        assert all(now in (0, before + 1) for before, now in pairwise(done))


def test_what_is_set_goes_to_the_builder(flavour: Flavour, graph: bytes) -> None:
    api = flavour.api
    builder = api.Builder(process_logger(flavour))
    parsed = parse_network(flavour, builder, graph)
    options = BuildOptions(optimization_level=5, targets=("8.9", "8.6"))
    config = make_config(flavour, builder, parsed.network, options)
    assert config.builder_optimization_level == 5
    assert config.num_compute_capabilities == 2
    capabilities = [config.get_compute_capability(index) for index in range(2)]
    assert capabilities == [api.ComputeCapability.SM86, api.ComputeCapability.SM89]
    assert config.num_optimization_profiles == 1
    assert config.profiling_verbosity == api.ProfilingVerbosity.DETAILED
    assert not config.get_flag(api.BuilderFlag.TF32)


def test_a_set_stop_ends_the_build(flavour: Flavour, graph: bytes) -> None:
    stop = threading.Event()
    seen: list[BuildProgress] = []

    def stop_at_third(step: BuildProgress) -> None:
        seen.append(step)
        if len(seen) == 3:
            stop.set()

    with pytest.raises(EngineError, match="was stopped before it was done"):
        build_engine(flavour, graph, AMPERE, settings=BuildSettings(on_progress=stop_at_third, stop=stop))
    assert len(seen) < 10
    with pytest.raises(EngineError, match="was stopped before it was done"):
        build_engine(flavour, graph, AMPERE, settings=BuildSettings(stop=stop))
    assert build_engine(flavour, graph, AMPERE).plan


def test_an_error_of_the_progress_callback_comes_out(flavour: Flavour, graph: bytes) -> None:
    def fail(step: BuildProgress) -> None:
        raise ValueError(f"at {step.done}")

    with pytest.raises(ValueError, match="at 0"):
        build_engine(flavour, graph, AMPERE, settings=BuildSettings(on_progress=fail))


def test_two_threads_build_one_after_the_other_and_each_has_its_own_log(flavour: Flavour, graph: bytes) -> None:
    logs: list[str] = []

    def build(options: BuildOptions) -> None:
        built = build_engine(flavour, graph, options, settings=BuildSettings(keep_log=True))
        logs.append("\n".join(built.log))

    threads = [threading.Thread(target=build, args=(AMPERE,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [log.count("Name: conv1/Conv") for log in logs] == [1, 1]


def test_a_build_that_waits_for_another_one_can_be_stopped(flavour: Flavour, graph: bytes) -> None:
    begun, go_on, stop = threading.Event(), threading.Event(), threading.Event()

    def hold(step: BuildProgress) -> None:
        begun.set()
        go_on.wait(60)

    settings = BuildSettings(on_progress=hold)
    other = threading.Thread(target=build_engine, args=(flavour, graph, AMPERE), kwargs={"settings": settings})
    other.start()
    try:
        assert begun.wait(60)
        stop.set()
        with pytest.raises(EngineError, match="was stopped before it was done"):
            build_engine(flavour, graph, AMPERE, settings=BuildSettings(stop=stop))
    finally:
        go_on.set()
        other.join(60)


def test_a_device_context_is_open_around_the_build_in_its_thread(flavour: Flavour, graph: bytes) -> None:
    events: list[tuple[str, bool]] = []

    class Context:
        def __enter__(self) -> None:
            events.append(("enter", threading.current_thread() is threading.main_thread()))

        def __exit__(self, *_: object) -> None:
            events.append(("exit", threading.current_thread() is threading.main_thread()))

    build_engine(flavour, graph, AMPERE, settings=BuildSettings(device_context=Context))
    assert events == [("enter", False), ("exit", False)]


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        (BuildOptions(), EngineError, "no NVIDIA GPU here to build for: name targets"),
        (BuildOptions(targets=("7.5",)), EngineError, r"FP32 GEMM is not supported.*build an fp16 bundle for it"),
        (BuildOptions(version_compatible=True), UsageError, "has no such plans: its plans are for one version"),
        (BuildOptions(hardware_compatible=True), UsageError, "name the targets, with --target"),
        (BuildOptions(dla_core=0, max_batch=1), EngineError, "has no DLA.*build without --dla"),
    ],
)
def test_what_this_flavour_cannot_do_is_refused_with_advice(
    options: BuildOptions, error: type[Exception], why: str, flavour: Flavour, graph: bytes
) -> None:
    if not options.targets and error is EngineError and options.dla_core is None and Path("/dev/nvidia0").exists():
        pytest.skip("there is a GPU here")
    with pytest.raises(error, match=why):
        build_engine(flavour, graph, options)


def test_targets_are_refused_where_tensorrt_builds_for_its_own_device(flavour: Flavour, tmp_path: Path) -> None:
    """``tensorrt`` itself is not needed to know it: only the name and version of this flavour are changed."""
    with pytest.raises(UsageError, match=r"TensorRT 10\.3\.0 builds for the device it runs on"):
        check_supported(Flavour("tensorrt", "10.3.0", flavour.api), AMPERE, tmp_path)


def test_the_process_has_one_logger_and_errors_that_are_collected_are_not_logged_as_such(
    flavour: Flavour, caplog: pytest.LogCaptureFixture
) -> None:
    assert process_logger(flavour) is process_logger(flavour)
    network_logger = process_logger(flavour)
    severity = flavour.api.ILogger.Severity
    with caplog.at_level(logging.DEBUG), collect() as log:
        network_logger.log(severity.ERROR, "an error")
        network_logger.log(severity.WARNING, "a warning")
        network_logger.log(severity.VERBOSE, "a detail")
    assert (log.errors, log.warnings, log.lines) == (["an error"], ["a warning"], [])
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.INFO, logging.DEBUG]
    caplog.clear()
    network_logger.log(severity.ERROR, "another error")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert log.errors == ["an error"]
