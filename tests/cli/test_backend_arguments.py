from __future__ import annotations

import json
from pathlib import Path

import pytest

from googlenet_edge.cli.backend_arguments import engine_places
from googlenet_edge.cli.main import main
from googlenet_edge.engine.store import EnginePlaces
from googlenet_edge.runtime import ort_config


def test_engines_of_a_read_only_bundle_go_to_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for unset in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        folder = tmp_path / ".cache" / "googlenet-edge"
        assert engine_places(None) == EnginePlaces(fallback=folder, scratch=folder / "scratch")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    folder = tmp_path / "xdg" / "googlenet-edge"
    assert engine_places(None) == EnginePlaces(fallback=folder, scratch=folder / "scratch")


def test_a_named_cache_takes_everything(tmp_path: Path) -> None:
    assert engine_places(tmp_path) == EnginePlaces(cache=tmp_path, scratch=tmp_path / "scratch")


def test_a_user_without_a_home_has_the_bundle_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", homeless)
    assert engine_places(None) == EnginePlaces()


@pytest.mark.parametrize(
    ("arguments", "at_once"),
    [
        ([], "2"),  # a file waits for us: what counts is the frames a second
        (["--threads", "1"], "1"),
        (["--newest-frame"], "1"),
        (["--fps", "100"], "1"),  # as from a camera: what counts is the time of each frame
        (["--fps", "100", "--at-once", "2"], "2"),
        (["--at-once", "3", "--threads", "1"], "3"),
    ],
)
def test_frames_of_files_are_computed_two_at_once(
    arguments: list[str], at_once: str, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort_config, "usable_cores", lambda: 4)
    report = tmp_path / "report.json"
    command = ["run", str(tiny_bundle), "demo:", "--frames", "12", "--size", "64x48", "--quiet"]
    command += ["--report", str(report)]
    assert main([*command, "--backend", "onnxruntime", *arguments]) == 0
    document = json.loads(report.read_text(encoding="utf-8"))
    assert document["classifier"]["at_once"] == at_once
