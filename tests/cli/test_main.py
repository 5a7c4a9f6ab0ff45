"""The command as a whole, as a user meets it: real processes, exit codes, one message for a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge import __version__
from googlenet_edge.cli.main import VERBS, main

COMMAND = [sys.executable, "-m", "googlenet_edge"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=120)


def test_help_and_version() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(verb in done.stdout for verb in VERBS)
    assert run("--version").stdout.strip() == f"googlenet-edge {__version__}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert f"googlenet-edge {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["evaluate"], ["eval"], ["doctor", "--what"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: googlenet-edge" in capsys.readouterr().err


def test_a_failure_is_one_message_and_no_traceback(tmp_path: Path) -> None:
    done = run("eval", str(tmp_path / "nowhere"), "demo:test?count=1")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert str(tmp_path / "nowhere") in done.stderr
    assert "Traceback" not in done.stderr


def test_verbose_shows_the_cause(tmp_path: Path) -> None:
    done = run("--verbose", "eval", str(tmp_path / "nowhere"), "demo:test?count=1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.rstrip().split("\n")[-1].startswith("error: ")


def test_a_reader_that_goes_away_is_no_traceback(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "set" / "red").mkdir(parents=True)
    assert cv2.imwrite(str(tmp_path / "set" / "red" / "a.png"), np.full((230, 300, 3), 90, np.uint8))
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*COMMAND, "eval", str(tiny_bundle), str(tmp_path / "set"), "--threads", "1"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    os.close(write_end)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(("module", "extra"), [("torch", "export"), ("cv2", "cpu")])
def test_a_missing_package_names_the_extra(module: str, extra: str, tmp_path: Path) -> None:
    """As on a board: the host's packages are not there."""
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from googlenet_edge.cli.main import main\n"
        f"sys.exit(main(['deploy', 'demo', '-o', {str(tmp_path / 'bundle')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert f"'.[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run ``command`` in a shell, where ``$GE`` is ours."""
    ours = f"{sys.executable} -m googlenet_edge"
    return subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "GE": ours, "PYTHONWARNINGS": "error", **environment},
        capture_output=True,
        check=False,
        timeout=120,
    )


def test_a_stream_that_cannot_show_a_character_shows_an_escape(tmp_path: Path) -> None:
    (tmp_path / "b\xfcndel").mkdir()
    done = shell(f"$GE eval '{tmp_path}/b\xfcndel' demo:test", PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert rb"b\xfcndel" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "ascii:surrogateescape", "utf-8"])
def test_standard_output_shows_escapes_too(encoding: str, tiny_bundle: Path) -> None:
    bundle = tiny_bundle.rename(tiny_bundle.with_name(os.fsdecode("b\xfcndel".encode() + b"\xff")))
    code = (
        "import sys; from googlenet_edge.cli import inspect; from googlenet_edge.cli.main import main;"
        "inspect.run = lambda arguments: print(arguments.model) or 0; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "inspect", str(bundle)],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    shown = "b\xfcndel".encode() if encoding == "utf-8" else rb"b\xfcndel"
    assert done.stdout.rstrip().endswith(shown + rb"\udcff")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_traceback(closed: str) -> None:
    done = shell(f"$GE doctor {closed}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"googlenet" in done.stdout.lower()) == (">&-" not in closed.replace("2>&-", ""))
    done = shell(f"$GE eval nowhere demo:test {closed}")
    assert (done.returncode, done.stdout) == (1, b"")
    assert (done.stderr == b"") == ("2>&-" in closed)
    assert b"Traceback" not in done.stderr


def test_a_file_does_not_get_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """Else what a library prints ends up in the file that was opened first."""
    code = (
        "import os; from googlenet_edge.cli.main import main; main(['doctor', '--json']);"
        f"print(os.open({str(tmp_path / 'file')!r}, os.O_CREAT), file=open({str(tmp_path / 'number')!r}, 'w'))"
    )
    subprocess.run(["sh", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, code], check=True, timeout=60)
    assert int((tmp_path / "number").read_text()) > 2


@pytest.mark.parametrize(("length", "what"), [(10, ""), (100_000, ", or a temporary file,")])
def test_a_full_disk_under_standard_output_is_named(length: int, what: str) -> None:
    code = (
        "import sys; from googlenet_edge.cli import doctor; from googlenet_edge.cli.main import main;"
        f"doctor.run = lambda arguments: print('x' * {length}) or 0; sys.exit(main(['doctor']))"
    )
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    message = f"standard output{what} cannot be written: No space left on device; make room, or send it elsewhere"
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")


def interrupted_package(folder: Path, name: str) -> None:
    """As pybind11 does it: Ctrl-C while a binary package is imported comes out as ImportError."""
    (folder / name).mkdir(parents=True)
    code = (
        "try:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt as error:\n"
        "    raise ImportError('initialization failed') from error\n"
    )
    (folder / name / "__init__.py").write_text(code, encoding="utf-8")


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("tensorrt", ["build", "{}", "--flavour", "tensorrt"]),
        ("onnxruntime", ["run", "{}", "demo:", "--backend", "onnxruntime"]),
    ],
)
def test_ctrl_c_while_a_package_is_imported_is_an_interruption(
    package: str, arguments: list[str], tiny_bundle: Path, tmp_path: Path
) -> None:
    interrupted_package(tmp_path / "site", package)
    done = subprocess.run(
        [*COMMAND, *(argument.format(tiny_bundle) for argument in arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (1, "interrupted\n")
