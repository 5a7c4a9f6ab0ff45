"""The set-up script for boards, in dry runs over the files of pretended ones: what it would do, what it refuses."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "tools" / "jetson" / "setup.sh"

ORIN_NANO_MODES = """\
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=25W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< PM_CONFIG DEFAULT=1 >
"""
AGX_ORIN_MODES = """\
< POWER_MODEL ID=0 NAME=MAXN >
< POWER_MODEL ID=3 NAME=MODE_50W >
< PM_CONFIG DEFAULT=2 >
"""


def make_board(
    root: Path, *, release: str = "36", revision: str = "4.3", modes: str = "", cuda: str = "12.6.68"
) -> Path:
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "nv_tegra_release").write_text(
        f"# R{release} (release), REVISION: {revision}, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: today\n"
    )
    if modes:
        (root / "etc" / "nvpmodel.conf").write_text(modes)
    (root / "usr" / "local" / "cuda").mkdir(parents=True)
    if cuda:
        (root / "usr" / "local" / "cuda" / "version.json").write_text(
            f'{{\n   "cuda" : {{\n      "name" : "CUDA SDK",\n      "version" : "{cuda}"\n   }},\n'
            '   "cuda_cccl" : {\n      "version" : "2.5.34"\n   }\n}\n'
        )
    return root


def run_setup(root: Path, *arguments: str, folder: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """Run the script as it stands; in the project's own folder, a .venv of other making may lie."""
    if "--venv" not in arguments:
        arguments = (*arguments, "--venv", str(root / "env"))
    environment = {**os.environ, "JETSON_ROOT": str(root)}
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def commands(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [line[2:].removeprefix("sudo ") for line in done.stdout.splitlines() if line.startswith("+ ")]


def test_the_environment_sees_the_systems_packages_and_gets_the_boards_cuda_major(tmp_path: Path) -> None:
    said = commands(run_setup(make_board(tmp_path / "orin"), "--dry-run", "--venv", str(tmp_path / "env")))
    assert any(line.endswith(f"-m venv --system-site-packages {tmp_path / 'env'}") for line in said)
    (install,) = (line for line in said if "pip install" in line)
    assert "cuda-bindings==12.*" in install
    assert ".[jetson]" in install
    assert "opencv-python" not in " ".join(said).replace("python3-opencv", "")
    assert said[-1] == f"{tmp_path / 'env'}/bin/googlenet-edge doctor"
    assert not (tmp_path / "env").exists()


@pytest.mark.parametrize(("cuda", "expected"), [("13.0.48", "13"), ("", "13")])
def test_jetpack_7_gets_cuda_bindings_13(tmp_path: Path, cuda: str, expected: str) -> None:
    said = commands(run_setup(make_board(tmp_path / "thor", release="38", revision="2.0", cuda=cuda), "--dry-run"))
    assert any(f"cuda-bindings=={expected}.*" in line for line in said)


@pytest.mark.parametrize(("modes", "number"), [(ORIN_NANO_MODES, "2"), (AGX_ORIN_MODES, "0")])
def test_the_power_mode_is_set_on_request_by_its_name(tmp_path: Path, modes: str, number: str) -> None:
    board = make_board(tmp_path / "board", modes=modes)
    said = commands(run_setup(board, "--dry-run", "--max-power"))
    assert f"nvpmodel -m {number}" in said
    assert said.index(f"nvpmodel -m {number}") < said.index("jetson_clocks")
    assert not [
        line for line in commands(run_setup(board, "--dry-run")) if "nvpmodel" in line or "jetson_clocks" in line
    ]


def test_a_board_without_a_maxn_mode_is_told_how_to_choose_one(tmp_path: Path) -> None:
    done = run_setup(
        make_board(tmp_path / "board", modes="< POWER_MODEL ID=0 NAME=15W >\n"), "--dry-run", "--max-power"
    )
    assert "nvpmodel -m " not in "\n".join(commands(done))
    assert "names no MAXN mode" in done.stderr


@pytest.mark.parametrize(("release", "revision"), [("35", "5.0"), ("36", "3.0"), ("32", "7.4")])
def test_a_jetpack_that_is_too_old_is_refused_before_anything_is_done(
    tmp_path: Path, release: str, revision: str
) -> None:
    done = run_setup(make_board(tmp_path / "old", release=release, revision=revision), "--dry-run")
    assert done.returncode == 1
    assert f"got L4T {release}.{revision}, expected 36.4 (JetPack 6.1) or newer" in done.stderr
    assert "+ " not in done.stdout


def test_a_machine_that_is_no_jetson_is_refused(tmp_path: Path) -> None:
    done = run_setup(tmp_path, "--dry-run")
    assert done.returncode == 1
    assert done.stderr.startswith("error: got no /etc/nv_tegra_release, expected a Jetson")


def test_an_environment_that_hides_tensorrt_is_refused(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    environment.mkdir()
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    done = run_setup(make_board(tmp_path / "board"), "--dry-run", "--venv", str(environment))
    assert done.returncode == 1
    assert "does not see the system's packages" in done.stderr


def test_it_must_be_run_in_the_projects_root(tmp_path: Path) -> None:
    done = run_setup(make_board(tmp_path / "board"), "--dry-run", folder=tmp_path)
    assert done.returncode == 1
    assert "run this in the root of the project" in done.stderr


@pytest.mark.parametrize("arguments", [["--fast"], ["--dry-run", "--venv"]])
def test_wrong_usage_has_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    done = run_setup(tmp_path, *arguments)
    assert done.returncode == 2
    assert "Usage:" in done.stderr
