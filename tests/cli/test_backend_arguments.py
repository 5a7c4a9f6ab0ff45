from __future__ import annotations

from pathlib import Path

import pytest

from googlenet_edge.cli.backend_arguments import engine_places
from googlenet_edge.engine.store import EnginePlaces


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
