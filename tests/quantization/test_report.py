from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from googlenet_edge.errors import OutputError
from googlenet_edge.quantization.image_summary import ImageWarning, UnreadableImage
from googlenet_edge.quantization.report import calibration_report, worst_tensors, write_report
from googlenet_edge.quantization.report_picture import histogram_svg, percent
from googlenet_edge.quantization.table import CalibrationTable
from googlenet_edge.quantization.threshold import METHODS


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own


class _Checker(HTMLParser):
    """Checks that tags are closed, and notes whatever a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "data", "xlink:href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        # The end tags of list entries may be left out, ours are not.
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_well_formed(small_table: CalibrationTable) -> None:
    page = calibration_report(small_table, name="small")
    checker = _Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert checker.fetched == []
    assert not checker.tags & {"script", "link", "img", "iframe", "object"}
    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_it_has_every_tensor_threshold_and_hash(small_table: CalibrationTable) -> None:
    page = calibration_report(small_table, name="small")
    for entry in small_table.tensors:
        assert f"<code>{entry.tensor}</code>" in page
        for method in METHODS:
            assert f"<td>{entry.thresholds[method]:.4g}<small>" in page
    assert small_table.model_sha256 in page
    assert small_table.images_sha256 in page
    assert "2 of 7" in page  # dead channels of the concat
    assert "<b>too-few</b>" in page


def test_histograms_are_drawn_to_scale(small_table: CalibrationTable) -> None:
    entry = small_table["pool1"]
    picture = parse(histogram_svg(entry))
    lines = [line for line in picture.iter("line") if line.get("stroke")]
    assert len(lines) == len(METHODS)
    at = {(line.findtext("title") or "").split(":")[0]: float(line.get("x1", "nan")) for line in lines}
    assert set(at) == set(METHODS)
    for method in METHODS:
        share = entry.thresholds[method] / entry.thresholds["max"]
        assert (at[method] - 42) / (at["max"] - 42) == pytest.approx(share, abs=0.01)
    numbers = re.findall(r"-?[\d.]+", picture.find("path").get("d", ""))  # type: ignore[union-attr]
    assert all(0 <= float(number) <= 440 for number in numbers)


def test_dead_tensors_and_odd_names(small_table: CalibrationTable) -> None:
    evil = '<script>alert("1")</script>&\udcff'
    dead = msgspec.structs.replace(
        small_table["pool1"], tensor=evil, dead=True, thresholds=dict.fromkeys(METHODS, 0.0), amax=0.0,
        channel_amax=(0.0,) * 4, histogram=msgspec.structs.replace(small_table["pool1"].histogram, counts=(0,)),
    )  # fmt: skip
    images = msgspec.structs.replace(
        small_table.images,
        source=evil,
        warnings=(ImageWarning("grey", evil),),
        unreadable=tuple(UnreadableImage(f"{evil}{i}", evil) for i in range(105)),
    )
    table = msgspec.structs.replace(small_table, tensors=(*small_table.tensors, dead), images=images)
    page = calibration_report(table, name=evil)
    checker = _Checker()
    checker.feed(page)
    assert "script" not in checker.tags
    assert "dead: always 0" in page
    assert "Dead tensors: <code>&lt;script&gt;" in page
    assert "and 5 more" in page
    assert dead not in worst_tensors(table, 99)
    parse(histogram_svg(msgspec.structs.replace(dead, tensor="dead")))
    only_dead = msgspec.structs.replace(table, tensors=(dead,))
    assert "furthest outliers" not in calibration_report(only_dead, name="dead")


def test_the_worst_comes_first(small_table: CalibrationTable) -> None:
    ratios = [entry.amax / entry.thresholds["mse"] for entry in worst_tensors(small_table, 3)]
    assert ratios == sorted(ratios, reverse=True)
    assert len(ratios) == 3


@pytest.mark.parametrize(("share", "text"), [(0, "0 %"), (0.5, "50 %"), (1e-4, "0.01 %"), (1e-9, "&lt; 0.0001 %")])
def test_a_small_share_is_not_written_as_none(share: float, text: str) -> None:
    assert percent(share) == text


def test_files(small_table: CalibrationTable, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(small_table, path, name="small \udcff")
    assert "Calibration of small ?" in path.read_text(encoding="utf-8")
    with pytest.raises(OutputError, match="calibration report"):
        write_report(small_table, tmp_path, name="small")
