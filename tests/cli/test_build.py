"""``googlenet-edge build`` with the real TensorRT-RTX, which needs no GPU for it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from googlenet_edge.cli.main import main

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed for this Python")

Build = Callable[..., tuple[int, str, str]]


@pytest.fixture
def build(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Build:
    """Run the verb on the tiny bundle; returns the exit code, and what was printed to each stream."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(["build", str(tiny_bundle), *arguments])
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def plans(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.plan"))


def test_an_engine_for_gpus_elsewhere_is_stored_in_the_bundle_and_told(build: Build, tiny_bundle: Path) -> None:
    code, out, err = build("--target", "rtx40", "--target", "sm86", "--max-batch", "4")
    assert code == 0, err
    (plan,) = plans(tiny_bundle)
    assert f"engine:  {plan}" in out
    assert "TensorRT-RTX" in out
    assert "for:     compute capability 8.6, 8.9; batches 1 to 4, best at 1" in out
    assert "price:   2 targets" in out
    assert "golden:  not run yet: the golden frames are run at the first load on a device" in out


def test_the_same_engine_is_found_and_not_built_again_unless_asked(build: Build, tiny_bundle: Path) -> None:
    assert "built in" in build("--target", "8.6")[1]
    (first,) = plans(tiny_bundle)
    stamp = first.stat().st_mtime_ns
    code, out, _ = build("--target", "rtx30")
    assert (code, "found;" in out, first.stat().st_mtime_ns) == (0, True, stamp)
    code, out, _ = build("--target", "86", "--rebuild")
    assert (code, "built in" in out) == (0, True)
    assert first.stat().st_mtime_ns > stamp


def test_the_plan_is_copied_where_it_is_wanted(build: Build, tiny_bundle: Path, tmp_path: Path) -> None:
    code, out, err = build("--target", "8.6", "-o", str(tmp_path / "copy.plan"), "--cache", str(tmp_path / "here"))
    assert code == 0, err
    assert plans(tiny_bundle) == []
    (stored,) = plans(tmp_path / "here")
    assert (tmp_path / "copy.plan").read_bytes() == stored.read_bytes()
    assert f"copied:  {tmp_path / 'copy.plan'}" in out


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["--target", "sm87"], 2, "Jetson Orin: TensorRT-RTX is not made for it"),
        (["--target", "ampere"], 2, "A100"),
        (["--workspace", "lots"], 2, "--workspace: got 'lots', expected a size such as 512M or 1G"),
        (["--workspace", "1K"], 2, "got 1024 bytes, expected 1 MiB to"),
        (["--max-batch", "0"], 2, "expected 1 <= min <= opt <= max"),
        (["--opt-batch", "0"], 2, "expected 1 <= min <= opt <= max"),
        (["--optimization-level", "9"], 2, "expected 0 to 5"),
        (["--device", "-1"], 2, "argument --device: got '-1', expected a whole number"),
        (["--target", "sm86", "--timing-cache", "file"], 2, "times nothing while it builds"),
        (["--target", "sm86", "--version-compatible"], 2, "has no such plans"),
        (["--target", "sm86", "--hardware-compatible"], 2, "name the targets"),
        (["--flavour", "tensorrt-rtx", "--dla", "0"], 1, "has no DLA"),
        (["--target", "sm75"], 1, "build an fp16 bundle for it"),
        (["--target", "sm86", "-o", "/no/such/folder/file"], 1, "cannot be written"),
        (["--flavour", "cudnn"], 2, "invalid choice: 'cudnn'"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_leaves_nothing(
    arguments: list[str], code: int, why: str, build: Build, tiny_bundle: Path
) -> None:
    got, out, err = build(*arguments)
    assert (got, out) == (code, "")
    assert why in err
    assert "Traceback" not in err
    assert plans(tiny_bundle) == []


def test_a_place_inside_the_bundle_is_no_place_for_a_copy(build: Build, tiny_bundle: Path) -> None:
    code, _, err = build("--target", "sm86", "-o", str(tiny_bundle / "engine.plan"))
    assert (code, "which is inside the bundle" in err) == (2, True)


def test_a_bundle_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(tmp_path / "none"), "--target", "sm86"]) == 1
    assert "got nothing there, expected a folder" in capsys.readouterr().err


def test_tensorrt_10_and_a_dla_give_the_commands_instead(
    build: Build, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the refusal, TensorRT's version is all that is asked for: a package that has nothing else will do."""
    (tmp_path / "site" / "tensorrt").mkdir(parents=True)
    code = "class Builder: pass\n__version__ = '10.3.0'\n"
    (tmp_path / "site" / "tensorrt" / "__init__.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "site")
    try:
        got, _, err = build("--dla", "1")
    finally:
        sys.modules.pop("tensorrt", None)
    assert got == 1
    cache = tiny_bundle.with_name("tiny_bundle.cache")
    assert f"--cache {cache} --cache-version 100300" in err
    assert f"trtexec --onnx={tiny_bundle / 'model.onnx'} --int8 --fp16 --calib={cache} --useDLACore=1" in err


INTERRUPTED = """
import sys
from googlenet_edge.cli.build_display import BuildDisplay
from googlenet_edge.cli.main import main

def progress(self, step):
    if step.done == 3:
        print("building", flush=True)
        sys.stdin.readline()

BuildDisplay.progress = progress
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_ends_a_build_with_one_word_and_leaves_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    """A real SIGINT, while the real builder is at work in C++ (held at a step, so that it is surely not done)."""
    before = sorted(path.name for path in tiny_bundle.iterdir())
    command = [sys.executable, "-c", INTERRUPTED, "build", str(tiny_bundle), "--target", "sm86"]
    command += ["-o", str(tmp_path / "copy.plan")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # an impatient user
        out, err = process.communicate("\n" * 1000, timeout=60)
    assert (process.returncode, err) == (1, "interrupted\n")
    assert set(out.split()) <= {"building"}
    assert not (tmp_path / "copy.plan").exists()
    left = [path.relative_to(tiny_bundle).as_posix() for path in tiny_bundle.rglob("*") if path.is_file()]
    # The lock's file stays in its folder: to remove it would let two processes in.
    assert sorted(set(left) - {"engines/.lock"}) == before


def test_a_full_disk_is_one_message_and_no_plan(tiny_bundle: Path, tmp_path: Path) -> None:
    """Files may have 100 kB at most in the child: the plan has more."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
        "from googlenet_edge.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "build", str(tiny_bundle), "--target", "sm86"]
    command += ["--cache", str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert plans(tmp_path) == []
    assert [path.name for path in tmp_path.rglob("*.partial")] == []
