"""The layers as a page and as JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from googlenet_edge.engine.layer_document import layers_document, write_document
from googlenet_edge.engine.layer_page import layers_page, write_page
from googlenet_edge.engine.layer_report import EngineFacts, EngineReport, report_engine
from googlenet_edge.engine.layers import EngineLayer, LayerTensor
from googlenet_edge.errors import OutputError
from googlenet_edge.types import NodeRow

RecordedReport = Callable[[str, str], EngineReport]

HOSTILE = "<script>alert('x')</script>\"&\x1b[2J"


class Page(HTMLParser):
    """Checks that tags close in order, and notes what is on the page."""

    VOID = frozenset(("meta", "br", "input"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_page_is_whole_and_has_each_layer_once(precision: str, recorded_report: RecordedReport) -> None:
    report = recorded_report(precision, "sm86")
    page = Page(layers_page([report]))
    assert page.open == []
    blocks = [value for name, value in page.attributes if name == "data-layer"]
    assert sorted(map(int, map(str, blocks))) == [layer.index for layer in report.kernels]
    listed = Counter(page.text)
    for layer in report.layers:
        assert listed[layer.layer.name] >= 1 + (layer.kind != "synchronization")
    for row in report.rows():
        assert row.row in page.text
    for finding in report.findings:
        assert finding in page.text
    for folded in report.folded:
        assert folded.node.node in page.text


def test_the_page_needs_nothing_else(recorded_report: RecordedReport) -> None:
    text = layers_page([recorded_report("int8", "sm86")])
    page = Page(text)
    assert not page.tags["script"]
    assert not page.tags["link"]
    assert not page.tags["img"]
    assert not [name for name, _ in page.attributes if name in ("src", "href") or name.startswith("on")]
    assert not re.search(r"https?:|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text


def test_two_engines_stand_side_by_side(recorded_report: RecordedReport) -> None:
    reports = [recorded_report("int8", "sm86"), recorded_report("fp16", "sm86")]
    page = Page(layers_page(reports))
    blocks = [value for name, value in page.attributes if name == "data-layer"]
    assert len(blocks) == sum(len(report.kernels) for report in reports)
    classes = Counter(value for name, value in page.attributes if name == "class")
    assert classes["lane"] == sum(bool(row.layers) for row in reports[0].rows())
    assert classes["lane second"] == sum(bool(row.layers) for row in reports[1].rows())
    assert sum(count for name, count in classes.items() if name and "converts" in name) == 31 + 1 + 1  # and the key


def test_widths_are_shares_of_the_widest_row(recorded_report: RecordedReport) -> None:
    report = recorded_report("fp16", "sm86")
    found = re.findall(r'class="lane" style="--m:([\d.]+);--b:([\d.]+)"', layers_page([report]))
    rows = [row for row in report.rows() if row.layers]
    assert len(found) == len(rows)
    for (macs, frame_bytes), row in zip(found, rows, strict=True):
        assert float(macs) == pytest.approx(100 * row.macs / max(each.macs for each in rows), abs=0.01)
        assert float(frame_bytes) == pytest.approx(
            100 * row.frame_bytes / max(each.frame_bytes for each in rows), abs=0.01
        )


def hostile_report() -> EngineReport:
    """An engine in which every name is an attack."""
    tensor = LayerTensor(HOSTILE, HOSTILE, (-1, 3), HOSTILE)
    layers = [
        EngineLayer(HOSTILE, HOSTILE, (tensor,), (tensor,), (HOSTILE, HOSTILE + "2"), HOSTILE),
        EngineLayer("copy", "Reformat", (tensor,), (tensor,), (), None),
    ]
    nodes = [NodeRow(HOSTILE, "Conv", HOSTILE, 5), NodeRow(HOSTILE + "3", HOSTILE, HOSTILE, 0)]
    return report_engine(layers, nodes, EngineFacts(HOSTILE, "int8", HOSTILE, is_rtx=True, targets=(HOSTILE,)))


def test_hostile_names_stay_text() -> None:
    text = layers_page([hostile_report(), hostile_report()])
    page = Page(text)
    assert page.open == []
    assert not page.tags["script"]
    assert "<script" not in text
    assert HOSTILE in page.text


def test_the_document_has_everything(recorded_report: RecordedReport) -> None:
    report = recorded_report("int8", "sm86")
    document = json.loads(json.dumps(layers_document([report])))
    assert document["schema_version"] == 1
    (engine,) = document["engines"]
    assert (engine["bundle"], engine["precision"], engine["targets"]) == ("road-signs", "int8", ["8.6"])
    assert engine["totals"]["kinds"]["epilogue"] == 30
    assert engine["totals"]["types"]["correlation"] == 57
    assert engine["totals"]["macs"] == sum(row["macs"] for row in engine["rows"]) == 1_497_398_272
    assert [layer["name"] for layer in engine["layers"]] == [layer.layer.name for layer in report.layers]
    conv2 = next(layer for layer in engine["layers"] if layer["name"].startswith("conv2.conv"))
    assert conv2["inputs"][0]["dtype"] == "Int8"
    assert conv2["inputs"][0]["shape"] == [-1, 64, 56, 56]
    assert (conv2["kind"], conv2["dtype"], conv2["row"], conv2["macs"]) == ("convolution", "Int8", "conv2", 12845056)
    assert engine["folded"] == [
        {
            "node": "flatten",
            "operator": "Flatten",
            "row": "avgpool",
            "reason": "no work: the same values in another shape",
        }
    ]


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_page([hostile_report()], tmp_path / "page.html")
    write_document([hostile_report()], tmp_path / "layers.json")
    assert json.loads((tmp_path / "layers.json").read_text(encoding="utf-8"))["engines"][0]["bundle"] == HOSTILE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layers.json", "page.html"]
    with pytest.raises(OutputError, match=r"page of layers .*nowhere"):
        write_page([hostile_report()], tmp_path / "nowhere" / "page.html")


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    facts = EngineFacts("\udcff", "fp32", "TensorRT", is_rtx=False)
    report = report_engine([EngineLayer("a", "kgen", (), (), (), None)], [], facts)
    write_page([report], tmp_path / "page.html")
    write_document([report], tmp_path / "layers.json")
    assert "Engine layers of ?," in (tmp_path / "page.html").read_text(encoding="utf-8")
