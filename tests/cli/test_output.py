from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from rich.table import Table

from googlenet_edge.cli.output import print_shown, write_json


def test_figures_are_whole_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    table = Table(box=None)
    table.add_column("name", overflow="fold")
    for number in range(6):
        table.add_column(f"heading {number}", no_wrap=True)
    table.add_row("x", *["1234.5678"] * 6)
    print_shown([table, "[bold]a line that is longer than the terminal is wide, with a bell: \a"])
    shown = capsys.readouterr().out
    assert shown.count("1234.5678") == 6
    assert "[bold]a line that is longer than the terminal is wide, with a bell: \ufffd\n" in shown


def test_a_document_is_written_whole_whatever_names_are_in_it(tmp_path: Path) -> None:
    odd = os.fsdecode(b"b\xffndle")
    write_json(tmp_path / "figures.json", {"path": odd, "ms": 1.5})
    assert json.loads((tmp_path / "figures.json").read_bytes()) == {"path": odd, "ms": 1.5}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "figures.json", {"ms": float("nan")})
    assert json.loads((tmp_path / "figures.json").read_bytes())["ms"] == 1.5
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
