from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import bench_forms


def test_bundles_that_are_there_are_compared_in_the_order_of_the_forms(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for form in ("paper", "factorized"):
        shutil.copytree(tiny_bundle, tmp_path / form)
    asked: list[list[str]] = []

    def command(argv: list[str]) -> int:
        asked.append(argv)
        return 3

    monkeypatch.setattr(bench_forms, "googlenet_edge", command)
    forms = ["--forms", "factorized", "paper", "factorized", "--folder", str(tmp_path)]
    assert bench_forms.main([*forms, "--rounds", "7", "--threads", "1"]) == 3
    assert asked == [
        ["bench", str(tmp_path / "factorized"), str(tmp_path / "paper"), "--layers", "--rounds", "7", "--threads", "1"]
    ]


def test_what_the_command_does_not_take_is_told_by_it(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("paper", "torchvision"):
        shutil.copytree(tiny_bundle, tmp_path / form)
    forms = ["--forms", "paper", "torchvision", "--folder", str(tmp_path)]
    assert bench_forms.main([*forms, "--top", "3"]) == 2
    assert "--top: got it for 2 bundles" in capsys.readouterr().err


def test_one_form_alone_and_a_folder_that_cannot_be_made_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench_forms.main(["--forms", "paper"])
    assert "--forms: got paper alone, expected two or more" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert bench_forms.main(["--folder", str(tmp_path / "file" / "folder")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
