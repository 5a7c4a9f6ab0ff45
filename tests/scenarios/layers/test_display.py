"""What the terminal and the file say of a comparison."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from rich.table import Table

from googlenet_edge.bundle import Bundle
from googlenet_edge.cli.output import print_shown
from googlenet_edge.runtime.layer_profile import ProfileConfig
from googlenet_edge.runtime.open_backend import BackendOptions
from googlenet_edge.scenarios.layers.comparison import compare
from googlenet_edge.scenarios.layers.display import comparison_shown
from googlenet_edge.scenarios.layers.document import comparison_document
from googlenet_edge.scenarios.layers.rounds import Entrant, LayersRequest
from googlenet_edge.scenarios.matrix.jobs import LayersTimed
from tests.scenarios.layers.making import graph, rounds

MACS = {"conv1": 118_000_000, "maxpool1": 0, "inception3a": 128_000_000, "inception4e": 170_000_000}
GRAPH = graph(MACS)


def times(factor: float) -> tuple[LayersTimed, ...]:
    rows = {"conv1": 102.5 * factor, "maxpool1": 0.044, "inception3a": 12.83 * factor, "inception4e": 9.99}
    slower = {**rows, "conv1": 102.5 * factor * 1.1}
    return rounds([rows, slower], [129.0 * factor, 131.0 * factor])


def shown(bundle: Bundle, count: int, width: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of a comparison of so many bundles on a terminal of so many characters."""
    request = request_of(bundle, count)
    measured = [times(factor) for factor in (1.0, 0.9, 0.55, 12.0)[:count]]
    found = compare(measured, [GRAPH] * count, "ABCD"[:count])
    print_shown(comparison_shown(request, measured, found, width=width))
    return capsys.readouterr().out.splitlines()


def request_of(bundle: Bundle, count: int) -> LayersRequest:
    titles = ("paper", "torchvision", "factorized", "factorized-asymmetric")
    entrants = tuple(Entrant(letter, title, bundle) for letter, title in zip("ABCD"[:count], titles, strict=False))
    return LayersRequest(entrants, BackendOptions(), ProfileConfig(inferences=7), rounds=2)


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_its_tables_fit_a_terminal(
    bundle: Bundle, count: int, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = shown(bundle, count, width, capsys)
    tables = [line for line in lines if " = " not in line and "rounds, each" not in line]
    assert max(map(len, (line.rstrip() for line in tables))) <= width
    assert not any("…" in line for line in lines), "a figure that is cut is a wrong one"
    row = next(line.split() for line in lines if line.startswith("inception3a"))
    assert row[:3] == ["inception3a", "12.83", "11.55"]
    assert row[3].rstrip("~") == "0.90"
    with_ranges = len(row) == 2 + 3 * (count - 1)
    assert with_ranges or len(row) == 2 * count
    assert with_ranges == ((count, width) != (4, 80)), "there is room for the ranges of three ratios in 120 characters"


def test_it_says_which_bundle_is_which_and_what_each_figure_contains(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = shown(bundle, 2, 100, capsys)
    assert lines[0] == "a scripted backend"
    assert lines[1].startswith("2 rounds, each bundle in a process of its own, forth and back; 7 inferences of 1 frame")
    cells = [line.split() for line in lines]
    assert ["B", "torchvision", "tiny", "onnx", "fp32", "0.416"] in cells
    assert ["whole", "inference", "A", "130.0", "129.0-131.0", "0.416", "3.2", "1"] in cells
    assert ["B", "117.0", "116.1-117.9", "0.416", "3.6", "0.90", "0.90-0.90"] in cells
    assert ["maxpool1", "0.044", "0.044", "1.00", "1.00-1.00"] in cells
    assert ["conv1", "118.00", "1.1", "118.00", "1.2"] in cells
    assert not any(line.startswith("maxpool1") for line in lines[-6:]), "it has no work that is counted"
    for figure in ("whole inference", "all layers", "inception modules", "times and ratios", "row", "MMAC"):
        assert sum(line.startswith(f"{figure} = ") for line in lines) == 1


def test_ratios_on_both_sides_of_1_are_marked_where_ranges_have_no_room(bundle: Bundle) -> None:
    measured = [rounds([{"conv1": 10.0}] * 2), rounds([{"conv1": 9.0}, {"conv1": 12.0}])]
    found = compare(measured, [GRAPH] * 2, "AB")
    request = request_of(bundle, 2)
    narrow = comparison_shown(request, measured, found, width=20)
    wide = comparison_shown(request, measured, found, width=100)
    assert "~ = slower than A in some rounds, and faster in others" in narrow
    assert not any(isinstance(part, str) and part.startswith("~") for part in wide)
    cells = [
        str(cell) for part in narrow if isinstance(part, Table) for column in part.columns for cell in column.cells
    ]
    assert "1.05~" in cells


def test_backends_that_differ_are_told_by_letter(bundle: Bundle) -> None:
    measured = [rounds([{"conv1": 1.0}] * 2), rounds([{"conv1": 1.0}] * 2)]
    measured[1] = tuple(msgspec.structs.replace(one, line="another") for one in measured[1])
    found = compare(measured, [GRAPH] * 2, "AB")
    assert comparison_shown(request_of(bundle, 2), measured, found, width=80)[:2] == [
        "A: a scripted backend",
        "B: another",
    ]


def test_the_document_has_every_round(bundle: Bundle) -> None:
    measured = [times(1.0), rounds([{"conv1": 50.0, "lrn1": 1.0}] * 2)]
    found = compare(measured, [GRAPH, GRAPH], "AB")
    document = comparison_document(request_of(bundle, 2), measured, found, {"machine": {"cpu": "x"}})
    text = json.loads(json.dumps(document, allow_nan=False))
    assert (text["schema_version"], text["kind"], text["rounds"], text["inferences"]) == (1, "layer comparison", 2, 7)
    assert text["machine"] == {"cpu": "x"}
    first, other = text["bundles"]
    assert (first["letter"], first["title"], first["form"], first["precision"]) == ("A", "paper", "onnx", "fp32")
    assert first["graph_sha256"] == bundle.graph_sha256
    assert first["whole"]["ms"] == {"median": 130.0, "low": 129.0, "high": 131.0, "rounds": [129.0, 131.0]}
    assert first["whole"]["macs_per_s"] == 3_200_000_000
    assert first["profiled_wall_ms"]["median"] > first["layers"]["ms"]["median"]
    assert [row["name"] for row in first["rows"]] == [row["name"] for row in other["rows"]]
    by_name = {row["name"]: row["figures"] for row in other["rows"]}
    assert by_name["maxpool1"] is None
    assert by_name["lrn1"]["ratio"] is None
    assert by_name["conv1"]["ratio"]["rounds"] == [pytest.approx(50 / 102.5), pytest.approx(50 / 112.75)]
    assert other["inception"] is None
    assert set(text["definitions"]) >= {"whole", "layers", "inception", "row", "ratio", "macs", "profiled_wall_ms"}
