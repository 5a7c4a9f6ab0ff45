from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from googlenet_edge.latency.layer_format import LayersEntry
from googlenet_edge.latency.page.layers import layers


def entry(**more: Any) -> LayersEntry:
    rows = [
        {"name": "conv1", "rows": ["conv1"], "median_ms": 3.0, "share": 0.75},
        {"name": "other", "rows": [], "median_ms": 1.0, "share": 0.25},
    ]
    layer = {"name": "conv1.relu", "rows": ["conv1"], "median_ms": 3.0, "share": 0.75}
    figures = {"inferences": 9, "frames_per_inference": 2, "wall_ms": 5.0, "layers_ms": 4.0, "not_covered_ms": 1.0}
    return msgspec.convert({**figures, "rows": rows, "layers": [layer], **more}, LayersEntry)


def text_of(shown: LayersEntry) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", str(layers(shown))))


def test_without_layer_times_there_is_nothing() -> None:
    assert layers(None) is None


def test_each_row_has_its_time_its_share_and_a_bar() -> None:
    text = text_of(entry())
    assert "Median of 9 inferences of 2 frames" in text
    assert "conv1 3.00 75.0 %" in text
    assert "other 1.00 25.0 %" in text
    assert "All 1 layers" in text
    assert "MMAC" not in text
    markup = str(layers(entry()))
    assert re.findall(r'width:([\d.]+)%" aria-hidden="true" data-row="(\w+)" data-share="([\d.]+)"', markup) == [
        ("100.0", "conv1", "0.75"),
        ("33.3", "other", "0.25"),
    ]


@pytest.mark.parametrize("bounded", [True, False])
def test_the_work_of_a_row_and_its_share_of_the_roofline_stand_beside_its_time(*, bounded: bool) -> None:
    work = {"name": "conv1", "macs": 118_000_000, "macs_per_s": 39_000_000_000, "bound_by": "compute"}
    peak = {"peak_macs_per_s": 60e9, "bandwidth_bytes_per_s": 12e9} if bounded else {}
    share = {"roofline_share": 0.65} if bounded else {}
    text = text_of(entry(roofline={"how": "it was measured", "rows": [{**work, **share}], **peak}))
    assert ("conv1 3.00 75.0 % 118 39 65 %, compute" in text) == bounded
    assert ("other 1.00 25.0 % - - -" in text) == bounded
    assert ("The machine does 60 GMAC/s and 12 GB/s (it was measured)." in text) == bounded
    assert ("It was measured." in text) == (not bounded)
