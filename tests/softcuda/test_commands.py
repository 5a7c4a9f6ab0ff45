"""The command line, each command a process of its own: with a GPU, without one, and with one that fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.softcuda import control

LABELS = ("red", "green", "blue", "white", "black")
COLORS = ((0, 0, 200), (0, 200, 0), (200, 0, 0), (230, 230, 230), (20, 20, 20))
HERE = "TensorRT 10.3.0.30 on Software CUDA device, sm_86 (compute capability 8.6): engine tensorrt-10.3.0.30-sm86-"
LIMIT_S = 120


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code, what it printed, and what it left on the device."""

    code: int
    out: str
    err: str
    left: dict[str, int]

    @property
    def error(self) -> str:
        """The one message that a failure is told by."""
        assert "Traceback" not in self.err
        assert self.err.count("error: ") == 1, self.err
        return self.err[self.err.index("error: ") :]


Command = Callable[..., Ended]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of this process, which has the driver and the stand-in, and a cache of the test's own."""
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "120"}


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> Command:
    """Run ``googlenet-edge`` with arguments; keywords are environment variables."""

    def run(*arguments: str | Path, prefix: tuple[str, ...] = (), **variables: str) -> Ended:
        report = tmp_path / "report"
        report.unlink(missing_ok=True)
        ended = subprocess.run(
            [*prefix, sys.executable, "-m", "googlenet_edge", *map(str, arguments)],
            env={**environment, "SOFTCUDA_REPORT": str(report), **variables},
            text=True,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        left = control.Counters.read_report(report).left if report.exists() else {}
        return Ended(ended.returncode, ended.stdout, ended.stderr, left)

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with two pictures of each class."""
    folder = tmp_path / "pictures"
    for label, color in zip(LABELS, COLORS, strict=True):
        (folder / label).mkdir(parents=True)
        for number in (1, 2):
            cv2.imwrite(str(folder / label / f"{number}.png"), np.full((240, 320, 3), color, np.uint8))
    return folder


def plans(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.plan"))


def run_red(command: Command, bundle: Path, pictures: Path, *more: str, **variables: str) -> Ended:
    """``run`` on the two red pictures; checks that both were labelled."""
    ended = command("run", bundle, pictures / "red", *more, **variables)
    assert ended.code == 0, ended.err
    assert ended.left == {}
    return ended


def test_build_then_run_eval_and_bench_on_the_gpu(
    command: Command, tiny_bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    built = command("build", tiny_bundle, "--max-batch", "4")
    assert (built.code, built.left) == (0, {})
    (plan,) = plans(tiny_bundle)
    assert f"engine:  {plan}" in built.out
    assert "golden:  3 frames on Software CUDA device, sm_86: largest difference of a probability" in built.out

    figures = tmp_path / "figures.json"
    ran = run_red(command, tiny_bundle, pictures, "--report", str(figures), "--warmup", "0")
    assert f"{HERE}" in ran.out + ran.err
    assert "red" in ran.out
    report = json.dumps(json.loads(figures.read_text()))
    assert '"backend": "tensorrt"' in report
    assert all(stage in report for stage in ("h2d", "compute", "d2h"))

    evaluated = command("eval", tiny_bundle, pictures, "--backend", "tensorrt", "--json", figures)
    assert (evaluated.code, evaluated.left) == (0, {})
    assert "100" in evaluated.out
    assert '"tensorrt"' in figures.read_text()

    timed = command("bench", tiny_bundle, "--layers", "--backend", "tensorrt", "--iterations", "5")
    assert (timed.code, timed.left) == (0, {})
    assert "conv1" in timed.out
    assert plans(tiny_bundle) == [plan]


def test_the_first_run_builds_and_the_second_does_not(command: Command, tiny_bundle: Path, pictures: Path) -> None:
    first = run_red(command, tiny_bundle, pictures)
    assert ", built in " in first.out + first.err
    assert "golden frames right" in first.out + first.err
    (plan,) = plans(tiny_bundle)
    written = plan.stat().st_mtime_ns
    second = run_red(command, tiny_bundle, pictures)
    assert "built in" not in second.out + second.err
    assert plan.stat().st_mtime_ns == written


def test_an_engine_too_large_for_the_gpu_is_no_obstacle_to_later_runs(
    command: Command, tiny_bundle: Path, pictures: Path
) -> None:
    small = {"SOFTCUDA_MEM_MB": "16"}  # 256 frames of 224 x 224 pixels take 39 MB
    failed = command("run", tiny_bundle, pictures / "red", "--max-batch", "256", **small)
    assert (failed.code, failed.left) == (1, {})
    assert "out of memory" in failed.error
    assert len(plans(tiny_bundle)) == 1
    first = run_red(command, tiny_bundle, pictures, **small)
    assert "for up to 256 frames, does not fit into the GPU's memory now" in first.err
    assert len(plans(tiny_bundle)) == 2
    second = run_red(command, tiny_bundle, pictures, **small)
    assert "does not fit" not in second.err
    assert "built in" not in second.out + second.err
    assert len(plans(tiny_bundle)) == 2


def test_the_remedy_for_a_gpu_that_is_full_works(command: Command, tiny_bundle: Path, pictures: Path) -> None:
    small = {"SOFTCUDA_MEM_MB": "1"}  # 8 frames take 1.2 MB
    assert command("build", tiny_bundle).code == 0
    failed = command("run", tiny_bundle, pictures / "red", **small)
    assert failed.code == 1
    assert "or use an engine of a smaller largest batch (--max-batch)" in failed.error
    run_red(command, tiny_bundle, pictures, "--max-batch", "2", **small)
    run_red(command, tiny_bundle, pictures, **small)


def test_a_gpu_number_that_there_is_not_is_one_error(command: Command, tiny_bundle: Path, pictures: Path) -> None:
    for arguments in (["run", tiny_bundle, pictures / "red"], ["build", tiny_bundle]):
        ended = command(*arguments, "--device", "1")
        assert ended.code == 1
        assert "got number 1, but this machine has 1, numbered from 0" in ended.error
    assert plans(tiny_bundle) == []


def test_build_says_why_it_built_again(command: Command, tiny_bundle: Path) -> None:
    first = command("build", tiny_bundle, STANDIN_VERSION="10.3.0.26")
    assert "was: " not in first.out
    again = command("build", tiny_bundle)
    (told,) = [line for line in again.out.splitlines() if line.startswith("was: ")]
    assert told.endswith("TensorRT version: stored 10.3.0.26, here 10.3.0.30")
    assert again.err == ""
    assert "was: " not in command("build", tiny_bundle, "--max-batch", "2").out
    rebuilt = command("build", tiny_bundle, "--rebuild", STANDIN_ERROR="0.01")
    assert "refused on Software CUDA device" in rebuilt.error
    assert "--rebuild" not in rebuilt.error


def test_names_are_printed_without_what_a_terminal_obeys(command: Command, tiny_bundle: Path) -> None:
    named = tiny_bundle.with_name("red\x1b[31m\x07")
    tiny_bundle.rename(named)
    built = command("build", named)
    assert built.code == 0
    assert "\x1b" not in built.out
    assert "\x07" not in built.out
    assert "/red\ufffd[31m\ufffd/engines/" in built.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--workspace", "999999999999G"], 2, "expected 1 MiB to 16 TiB"),
        (["--cache", "a" * 300], 1, "File name too long; make it writable, or name another folder with --cache"),
    ],
)
def test_what_cannot_be_is_one_error_with_a_remedy(
    command: Command, tiny_bundle: Path, arguments: list[str], code: int, said: str
) -> None:
    ended = command("build", tiny_bundle, *arguments)
    assert ended.code == code
    assert said in ended.error


STALE = {
    "TensorRT": ({"STANDIN_VERSION": "10.3.0.26"}, "10.3.0.26", "10.3.0.30"),
    "compute capability": ({"SOFTCUDA_CC": "87"}, "8.7", "8.6"),
}


@pytest.mark.parametrize("what", STALE)
def test_a_stale_plan_is_built_again_and_the_field_that_differs_is_told(
    command: Command, tiny_bundle: Path, pictures: Path, what: str
) -> None:
    variables, stored, here = STALE[what]
    run_red(command, tiny_bundle, pictures, **variables)
    again = run_red(command, tiny_bundle, pictures)
    assert ", built in " in again.out + again.err
    (told,) = [line for line in again.err.splitlines() if "an engine is built" in line]
    assert stored in told
    assert here in told
    assert told.index(stored) < told.index(here)


def _truncate(plan: bytes) -> bytes:
    return plan[: len(plan) // 2]


def _flip(plan: bytes) -> bytes:
    middle = len(plan) // 2
    return plan[:middle] + bytes([plan[middle] ^ 1]) + plan[middle + 1 :]


def _empty(plan: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [_truncate, _flip, _empty])
def test_a_damaged_plan_is_found_before_tensorrt_sees_it_and_built_again(
    command: Command, tiny_bundle: Path, pictures: Path, damage: Callable[[bytes], bytes]
) -> None:
    command("build", tiny_bundle)
    (plan,) = plans(tiny_bundle)
    whole = plan.read_bytes()
    plan.write_bytes(damage(whole))
    ran = run_red(command, tiny_bundle, pictures)
    assert ", built in " in ran.out + ran.err
    (told,) = [line for line in ran.err.splitlines() if "an engine is built" in line]
    assert plan.name in told
    # TensorRT's own words for such a plan.
    assert "magicTagRead" not in ran.err
    assert "the plan is damaged" not in ran.err
    (plan,) = plans(tiny_bundle)
    assert plan.read_bytes() == whole


def test_a_read_only_bundle_has_its_engine_in_the_cache(
    command: Command, tiny_bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere, and setpriv (util-linux), which could forbid it, is not installed")
    for path in (tiny_bundle, *tiny_bundle.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    without = "-dac_override,-dac_read_search,-fowner"
    prefix = ("setpriv", f"--bounding-set={without}", f"--inh-caps={without}") if os.geteuid() == 0 else ()
    first = command("run", tiny_bundle, pictures / "red", prefix=prefix)
    second = command("run", tiny_bundle, pictures / "red", prefix=prefix)
    tiny_bundle.chmod(0o755)
    assert (first.code, second.code) == (0, 0), first.err
    assert plans(tiny_bundle) == []
    (plan,) = plans(tmp_path / "cache" / "googlenet-edge")
    assert ", built in " in first.out + first.err
    assert "built in" not in second.out + second.err
    assert plan.name in second.out + second.err


def test_a_cache_folder_that_is_asked_for_is_used(
    command: Command, tiny_bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    run_red(command, tiny_bundle, pictures, "--cache", str(tmp_path / "elsewhere"))
    assert plans(tiny_bundle) == []
    assert len(plans(tmp_path / "elsewhere")) == 1


def _skip_if_this_machine_has_a_driver(what: str) -> None:
    """It would be found as soon as the software one is out of the way."""
    if what == "no driver":
        program = "import ctypes; ctypes.CDLL('libcuda.so.1')"
        without = {**os.environ, "LD_LIBRARY_PATH": ""}
        looked = subprocess.run([sys.executable, "-c", program], env=without, capture_output=True, check=False)
        if looked.returncode == 0:
            pytest.skip("this machine has an NVIDIA driver of its own")


NO_GPU = {
    "no device": ({"SOFTCUDA_NODEVICE": "1"}, "CUDA_ERROR_NO_DEVICE"),
    "no driver": ({"LD_LIBRARY_PATH": ""}, "no NVIDIA driver"),
}


@pytest.mark.parametrize("what", NO_GPU)
def test_without_a_gpu_onnx_runtime_serves_and_one_line_says_why(
    command: Command, tiny_bundle: Path, pictures: Path, what: str
) -> None:
    _skip_if_this_machine_has_a_driver(what)
    variables, reason = NO_GPU[what]
    ran = run_red(command, tiny_bundle, pictures, **variables)
    (line,) = [line for line in (ran.out + ran.err).splitlines() if line.startswith("ONNX Runtime")]
    assert reason in line
    assert plans(tiny_bundle) == []


@pytest.mark.parametrize("what", NO_GPU)
@pytest.mark.parametrize("verb", ["run", "eval", "build", "bench"])
def test_without_a_gpu_tensorrt_by_name_is_one_error(
    command: Command, tiny_bundle: Path, pictures: Path, what: str, verb: str
) -> None:
    _skip_if_this_machine_has_a_driver(what)
    variables, _ = NO_GPU[what]
    more: dict[str, list[str | Path]] = {
        "run": [pictures / "red", "--backend", "tensorrt"],
        "eval": [pictures, "--backend", "tensorrt"],
        "build": ["--flavour", "tensorrt"],
        "bench": ["--layers", "--backend", "tensorrt"],
    }
    ended = command(verb, tiny_bundle, *more[verb], **variables)
    assert (ended.code, ended.out) == (1, "")
    assert ended.error.startswith("error: GPU: got ")
    assert plans(tiny_bundle) == []


@pytest.mark.parametrize("verb", ["run", "build"])
def test_an_engine_that_computes_something_else_is_refused(
    command: Command, tiny_bundle: Path, pictures: Path, verb: str
) -> None:
    more: list[str | Path] = [pictures / "red"] if verb == "run" else []
    ended = command(verb, tiny_bundle, *more, STANDIN_ERROR="0.01")
    assert (ended.code, ended.left) == (1, {})
    assert "refused on Software CUDA device, sm_86" in ended.error
    assert "golden frame" in ended.error


FAULTS = {
    "no memory on the device": (control.Fault.DEVICE_MEMORY, control.Error.OUT_OF_MEMORY, False, 3),
    "no pinned memory": (control.Fault.PINNED_MEMORY, control.Error.OUT_OF_MEMORY, False, 1),
    "a copy fails": (control.Fault.COPY, control.Error.LAUNCH_FAILED, True, 40),
    "the engine fails": (control.Fault.EXECUTE, control.Error.ILLEGAL_ADDRESS, True, 60),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_gpu_that_fails_is_one_error(command: Command, tiny_bundle: Path, what: str) -> None:
    kinds, error, sticky, nth = FAULTS[what]
    assert command("build", tiny_bundle).code == 0
    fault = control.fault_variable(kinds, error, nth=nth, times=2, sticky=sticky)
    ended = command("run", tiny_bundle, "demo:", "--frames", "200", SOFTCUDA_FAULT=fault)
    assert ended.code == 1
    assert ended.error.startswith("error: ")
    assert "GPU 0 (Software CUDA device, sm_86)" in ended.error or "TensorRT 10.3.0.30: cannot" in ended.error
    assert "PyCUDA" not in ended.err
    assert sticky or ended.left == {}


def _interrupt_when(arguments: list[str | Path], environment: dict[str, str], said: str) -> Ended:
    """Start a command, send it Ctrl-C when it has said something, and wait for its end."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "googlenet_edge", *map(str, arguments)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    lines = []
    with process:
        for line in process.stdout:
            lines.append(line)
            if said in line:
                break
        process.send_signal(signal.SIGINT)
        lines.append(process.stdout.read())
        process.wait(LIMIT_S)
    return Ended(process.returncode, "".join(lines), "", {})


@pytest.mark.parametrize("verb", ["build", "run"])
def test_ctrl_c_stops_a_build_at_once_and_leaves_no_file(
    tiny_bundle: Path, environment: dict[str, str], verb: str
) -> None:
    before = sorted(tiny_bundle.rglob("*"))
    more = ["demo:"] if verb == "run" else []
    began = time.monotonic()
    minutes = {"STANDIN_BUILD_STEPS": "60000"}
    ended = _interrupt_when(["-v", verb, tiny_bundle, *more], {**environment, **minutes}, "building from ")
    assert time.monotonic() - began < LIMIT_S / 2
    assert ended.code == 1
    assert ended.out.endswith("interrupted\n")
    assert "Traceback" not in ended.out
    left = {path.name for path in tiny_bundle.rglob("*") if path not in before and path.is_file()}
    assert left <= {".lock"}  # which no process holds any more


def test_ctrl_c_ends_a_run_with_its_report(tiny_bundle: Path, environment: dict[str, str], tmp_path: Path) -> None:
    report = tmp_path / "counters"
    ended = _interrupt_when(
        ["run", tiny_bundle, "demo:"], {**environment, "SOFTCUDA_REPORT": str(report)}, "capture to result"
    )
    assert "Traceback" not in ended.out
    assert "frames measured" in ended.out
    assert ended.code == 0
    counters = control.Counters.read_report(report)
    assert counters.left == {}
    assert counters.threads_ended_with_context == 0


WAYS: dict[str, tuple[dict[str, str], list[str]]] = {
    "at once": ({}, []),
    "deferred": ({"SOFTCUDA_DEFER": "1"}, []),
    "integrated, deferred": ({"SOFTCUDA_DEFER": "1", "SOFTCUDA_INTEGRATED": "1"}, []),
    "no graphs, deferred": ({"SOFTCUDA_DEFER": "1"}, ["--no-cuda-graph"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_stream_of_frames_gets_the_labels_of_onnx_runtime(
    command: Command, tiny_bundle: Path, pictures: Path, tmp_path: Path, way: str
) -> None:
    """With two frames under way, in order, and each file's own label."""
    frames = tmp_path / "frames"
    frames.mkdir()
    rng = np.random.default_rng(5)
    for number in range(60):
        cv2.imwrite(str(frames / f"{number:02}.png"), np.full((240, 320, 3), rng.integers(0, 256, 3), np.uint8))
    variables, more = WAYS[way]
    labelled = []
    for backend in ("onnxruntime", "tensorrt"):
        arguments = [frames, "--backend", backend, "--jsonl", "-", "--quiet", *more]
        ended = command("run", tiny_bundle, *arguments, **variables)
        assert (ended.code, ended.left) == (0, {}), ended.err
        lines = [json.loads(line) for line in ended.out.splitlines()]
        labelled.append([(line["sequence"], [best["label"] for best in line["top"]]) for line in lines])
    assert labelled[0] == labelled[1]
    assert [sequence for sequence, _ in labelled[1]] == list(range(60))
    assert len({labels[0] for _, labels in labelled[1]}) >= 4


def test_the_doctor_sees_the_gpu_and_tensorrt(command: Command) -> None:
    seen = command("doctor")
    assert "Traceback" not in seen.err
    assert "10.3.0.30" in seen.out
    assert "Software CUDA device, sm_86, 8.6" in seen.out
    (line,) = [line for line in seen.out.splitlines() if line.split()[:1] == ["tensorrt"]]
    assert line.split()[-1] == "ready"
