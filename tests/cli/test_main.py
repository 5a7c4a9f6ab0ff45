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
